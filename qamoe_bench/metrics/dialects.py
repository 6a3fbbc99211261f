"""Dialects: named sets of metric definitions.

Publications compute metrics of the same name in different ways, so every table states the dialect that it uses. Each is
for one kind of task; `default_dialect` says which one a task has unless the user selects another.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import unknown_name
from qamoe_bench.metrics.class_definitions import (
    class_accuracy,
    class_weighted_f1,
    exact_match,
    label_accuracy,
    label_macro_f1,
    label_mean_recall,
    label_micro_f1,
    label_weighted_f1,
    macro_f1,
    macro_precision,
    mean_recall,
    micro_f1,
    second_class_f1,
    value_macro_f1,
)
from qamoe_bench.metrics.definitions import (
    Array,
    Definition,
    above_zero,
    accuracy,
    at_least_zero,
    between,
    clipped,
    mean_absolute_error,
    no_one,
    non_zero,
    outward,
    pearson,
    rounded,
    weighted_f1,
)
from qamoe_bench.metrics.probability_definitions import (
    area_under_roc,
    brier_score,
    calibration_error,
    label_area_under_roc,
    label_brier_score,
    label_calibration_error,
    label_negative_log_likelihood,
    negative_log_likelihood,
)
from qamoe_bench.vocabulary import LOG_PROBABILITY, Task


@dataclass(frozen=True)
class Dialect:
    """A named set of metric definitions and its source.

    Attributes:
        name: Its name.
        source: The code that computes metrics in this way, and how it differs from other code.
        definitions: By metric.
        shown: The metrics that tables show unless the user selects others.
        whole_steps: The metrics whose classes are whole steps from -3 to 3.
        task: The kind of task that it is for, see `qamoe_bench.vocabulary.Task`.
    """

    name: str
    source: str
    definitions: Mapping[str, Definition]
    shown: tuple[str, ...] = ("acc2_non0", "acc7", "mae", "corr")
    whole_steps: tuple[str, ...] = ("acc5", "acc7")
    task: Literal["regression", "classes", "multi-label"] = "regression"

    def on_scale(self, label: NDArray[np.floating]) -> "Dialect":
        """The dialect for labels [N], with metrics undefined whose classes mean nothing on their scale.

        Dialects of classes and of several labels have no scale and stay as they are.
        """
        if self.task != "regression" or have_whole_steps(label):
            return self
        definitions = {}
        for name, definition in self.definitions.items():
            definitions[name] = _UNDEFINED if name in self.whole_steps else definition
        return replace(self, definitions=definitions)


_UNDEFINED = accuracy(above_zero, no_one)


def have_whole_steps(label: NDArray[np.floating]) -> bool:
    """Whether whole steps from -3 to 3 divide labels [N] into classes.

    On a scale of ±50, nearly all labels would be clipped to the outermost classes; on one of ±0.5, all of them would be
    rounded to 0.
    """
    return bool(0.5 < np.abs(label).max() <= 3)


MMSA = Dialect(
    "mmsa",
    "MMSA's metricsTop (thuiar/MMSA @ a94e65d): Has0 compares >= 0, Non0 drops labels equal to 0 and compares "
    "> 0; ACC5 and ACC7 clip and round, halves to even",
    {
        "acc2_has0": accuracy(at_least_zero),
        "acc2_non0": accuracy(above_zero, non_zero),
        "f1_has0": weighted_f1(at_least_zero),
        "f1_non0": weighted_f1(above_zero, non_zero),
        "acc5": accuracy(rounded(2)),
        "acc7": accuracy(rounded(3)),
        "mae": mean_absolute_error(),
        "corr": pearson(),
    },
)

# Definitions of other dialects that equal MMSA's are taken from it: equal definitions are computed only once.
MAI = Dialect(
    "mai",
    "C-MIB's own code (TmacMai/Multimodal-Information-Bottleneck @ f6d006b): all but ACC7 on labels other "
    "than 0, positive = at least 0; its MAE and Corr are not comparable with MMSA's",
    {
        "acc2_non0": accuracy(at_least_zero, non_zero),
        "f1_non0": weighted_f1(at_least_zero, non_zero),
        "acc7": MMSA.definitions["acc7"],
        "mae": mean_absolute_error(non_zero),
        "corr": pearson(non_zero),
    },
)

MULT = Dialect(
    "mult",
    "MulT's eval_metrics (yaohungt/Multimodal-Transformer) and code that took it over: as mmsa without Has0, "
    "but F1 with its arguments swapped, so that classes are weighted by their predicted sizes",
    {
        "acc2_non0": MMSA.definitions["acc2_non0"],
        "acc5": MMSA.definitions["acc5"],
        "acc7": MMSA.definitions["acc7"],
        "mae": MMSA.definitions["mae"],
        "corr": MMSA.definitions["corr"],
        "f1_non0": weighted_f1(above_zero, non_zero, sizes="prediction"),
    },
)

SIMS = Dialect(
    "sims",
    "MMSA's metricsTop for CH-SIMS: everything clipped to [-1, 1] first, positive = above 0, class borders at "
    "±.1 (3) and ±.1, ±.7 (5), upper border included",
    {
        "acc2_has0": accuracy(between(0)),
        "f1_has0": clipped(weighted_f1(above_zero), 1),
        "acc3": accuracy(between(-0.1, 0.1)),
        "acc5": accuracy(between(-0.7, -0.1, 0.1, 0.7)),
        "mae": clipped(mean_absolute_error(), 1),
        "corr": clipped(pearson(), 1),
    },
    shown=("acc2_has0", "acc5", "mae", "corr"),
    whole_steps=(),
)

SDK_MOSEI = Dialect(
    "sdk-mosei",
    "the CMU-MultimodalSDK's README for CMU-MOSEI: as mmsa, but ACC7's classes lie away from zero, 0 alone in "
    "the middle: [-3, -2), [-2, -1), [-1, 0), 0, (0, 1], (1, 2], (2, 3]",
    {
        **{name: definition for name, definition in MMSA.definitions.items() if name != "acc5"},
        "acc7": accuracy(outward),
    },
)

_POLARITY = between(-0.1, 0.1)

POLARITY = Dialect(
    "polarity",
    "negative, neutral and positive as scikit-learn judges three classes: neutral is above -.1 and at most .1, the "
    "borders of MMSA's ACC3 for CH-SIMS; no label of CMU-MOSI or CMU-MOSEI other than 0 lies there. No publication is "
    "known to print macro F1 of a regression by a fixed rule",
    {
        "acc3": accuracy(_POLARITY),
        "f1_macro3": value_macro_f1(_POLARITY, 3),
        "mae": MMSA.definitions["mae"],
        "corr": MMSA.definitions["corr"],
    },
    shown=("acc3", "f1_macro3", "mae", "corr"),
    whole_steps=(),
)

# Of classes

SCIKIT_LEARN = Dialect(
    "scikit-learn",
    "scikit-learn's functions with zero_division=0 (accuracy_score, balanced_accuracy_score, f1_score, log_loss, "
    "roc_auc_score, brier_score_loss with scale_by_half=False) on the most probable class or on the probabilities; the "
    "calibration error is that of Guo et al. (ICML 2017)",
    {
        "wa": class_accuracy(),
        "ua": mean_recall(),
        "f1_weighted": class_weighted_f1(),
        "f1_macro": macro_f1(),
        "f1_micro": micro_f1(),
        "f1_binary": second_class_f1(),
        "auroc": area_under_roc(),
        "nll": negative_log_likelihood(),
        "brier": brier_score(),
        "ece": calibration_error(),
    },
    shown=("wa", "ua", "f1_weighted", "f1_macro", "nll"),
    whole_steps=(),
    task="classes",
)

GCNET = Dialect(
    "gcnet",
    "GCNet for IEMOCAP (zeroQiaoba/GCNet @ c2dfd3b, gcnet/train_gcnet.py), as MERBench for IEMOCAP and MELD "
    "(zeroQiaoba/MERTools @ fb8dda0): accuracy and weighted F1 of the most probable class",
    {name: SCIKIT_LEARN.definitions[name] for name in ("wa", "f1_weighted")},
    shown=("wa", "f1_weighted"),
    whole_steps=(),
    task="classes",
)

_OCCURRING_RECALL = mean_recall(over="occurring")

MMIN = Dialect(
    "mmin",
    "MMIN (AIM3-RUC/MMIN @ 2f22403, train_miss.py): accuracy, and the macro averages of recall (UA) and F1, in which a "
    "class that is predicted but occurs in no label counts as 0",
    {
        "wa": SCIKIT_LEARN.definitions["wa"],
        "ua": _OCCURRING_RECALL,
        "f1_macro": SCIKIT_LEARN.definitions["f1_macro"],
    },
    shown=("wa", "ua", "f1_macro"),
    whole_steps=(),
    task="classes",
)

MINTREC = Dialect(
    "mintrec",
    "MIntRec (thuiar/MIntRec @ 2fef2c2, utils/metrics.py): accuracy, and the macro averages of F1, precision and "
    "recall (here ua), in which a class that is predicted but occurs in no label counts as 0",
    {
        "wa": SCIKIT_LEARN.definitions["wa"],
        "f1_macro": SCIKIT_LEARN.definitions["f1_macro"],
        "precision_macro": macro_precision(),
        "ua": _OCCURRING_RECALL,
    },
    shown=("wa", "f1_macro", "precision_macro", "ua"),
    whole_steps=(),
    task="classes",
)

# Of several labels, any of which may hold

SCIKIT_LEARN_LABELS = Dialect(
    "scikit-learn-labels",
    "as scikit-learn, for indicators of labels that hold where their probability is above one half; accuracy, mean "
    "recall, likelihood, Brier score and AUROC are means over the labels",
    {
        "wa": label_accuracy(),
        "ua": label_mean_recall(),
        "exact_match": exact_match(),
        "f1_weighted": label_weighted_f1(),
        "f1_macro": label_macro_f1(),
        "f1_micro": label_micro_f1(),
        "auroc": label_area_under_roc(),
        "nll": label_negative_log_likelihood(),
        "brier": label_brier_score(),
        "ece": label_calibration_error(),
    },
    shown=("wa", "ua", "f1_weighted", "f1_macro", "nll"),
    whole_steps=(),
    task="multi-label",
)

_F1_OF_BOTH_ANSWERS = label_weighted_f1(of="both answers")

MULT_IEMOCAP = Dialect(
    "mult-iemocap",
    "MulT's eval_iemocap (yaohungt/Multimodal-Transformer @ 029afeb, src/eval_metrics.py): accuracy of each emotion "
    "and F1 of its two answers, weighted by their sizes; it prints them by emotion, and these are their means",
    {"wa": SCIKIT_LEARN_LABELS.definitions["wa"], "f1_weighted": _F1_OF_BOTH_ANSWERS},
    shown=("wa", "f1_weighted"),
    whole_steps=(),
    task="multi-label",
)

MME2E = Dialect(
    "mme2e",
    "MME2E for the emotions of CMU-MOSEI (wenliangdai/Multimodal-End2end-Sparse @ 0727085, src/evaluate.py, "
    "eval_mosei_emo) with threshold 0.5: weighted accuracy (TP·N/P + TN) / 2N, here ua, F1 of both answers weighted by "
    "their sizes, and AUROC, each the mean over the emotions; strict accuracy is here exact_match",
    {
        "ua": SCIKIT_LEARN_LABELS.definitions["ua"],
        "f1_weighted": _F1_OF_BOTH_ANSWERS,
        "auroc": SCIKIT_LEARN_LABELS.definitions["auroc"],
        "exact_match": SCIKIT_LEARN_LABELS.definitions["exact_match"],
    },
    shown=("ua", "f1_weighted", "auroc"),
    whole_steps=(),
    task="multi-label",
)

_BY_TASK = (
    (MMSA, MAI, MULT, SIMS, SDK_MOSEI, POLARITY),
    (SCIKIT_LEARN, GCNET, MMIN, MINTREC),
    (SCIKIT_LEARN_LABELS, MULT_IEMOCAP, MME2E),
)
"""The default of each kind of task comes first."""
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialects in _BY_TASK for dialect in dialects}


def dialects_for(task: Task) -> list[Dialect]:
    """All dialects of a kind of task, its default first."""
    return [dialect for dialect in DIALECTS.values() if dialect.task == task.kind]


def default_dialect(task: Task) -> Dialect:
    """The dialect in which results of a task are shown unless the user selects another: for regression, `mmsa`."""
    return dialects_for(task)[0]


def find_dialect(name: str) -> Dialect:
    """A dialect by name; `qamoe_bench.metrics.choice` refuses one for another task than that of the data.

    Raises:
        BenchError: For an unknown name; the message suggests the most similar one.
    """
    if name not in DIALECTS:
        raise unknown_name("dialect", name, DIALECTS)
    return DIALECTS[name]


def judged_columns(names: Collection[str], metric: str) -> tuple[str, ...]:
    """The columns, of those that results have, that hold the predictions which a metric judges.

    For classes and several labels they are the log-probabilities, by rising index. Otherwise a column
    `prediction_<metric>` replaces `prediction` for that metric: a predictor of the whole distribution predicts the
    value that is optimal for each metric (the mean for corr, the median for mae, ...).
    """
    count = sum(name.startswith(LOG_PROBABILITY) for name in names)
    if count:
        return tuple(f"{LOG_PROBABILITY}{index}" for index in range(count))
    own = f"prediction_{metric}"
    return (own if own in names else "prediction",)


def judged_predictions(columns: Mapping[str, NDArray[Any]], metric: str) -> Array:
    """The predictions that a metric judges: (..., N), or log-probabilities (..., N, C) of classes or labels."""
    names = judged_columns(columns, metric)
    if names[0].startswith(LOG_PROBABILITY):
        return np.stack([columns[name] for name in names], axis=-1).astype(np.float64)
    return np.asarray(columns[names[0]], np.float64)


def scores(dialect: Dialect, columns: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    """Every metric of a dialect, (...), from the columns of one model.

    Args:
        dialect: A dialect for the task of the columns.
        columns: `target` (N), and either `prediction` (..., N) or `log_probability_0` and so on, each (..., N).
    """
    label = np.asarray(columns["target"], np.float64)
    return {
        name: definition(judged_predictions(columns, name), label) for name, definition in dialect.definitions.items()
    }
