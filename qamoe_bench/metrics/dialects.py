"""Dialects: named sets of metric definitions.

Publications compute metrics of the same name in different ways, so every table states the dialect that it uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import unknown_name
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
from qamoe_bench.shapes import Float
from qamoe_bench.vocabulary import Task


@dataclass(frozen=True)
class Dialect:
    """A named set of metric definitions and its source.

    Attributes:
        name: Its name.
        source: The code that computes metrics in this way, and how it differs from other code.
        definitions: By metric.
        shown: The metrics that tables show unless the user selects others.
        whole_steps: The metrics whose classes are whole steps from -3 to 3.
    """

    name: str
    source: str
    definitions: Mapping[str, Definition]
    shown: tuple[str, ...] = ("acc2_non0", "acc7", "mae", "corr")
    whole_steps: tuple[str, ...] = ("acc5", "acc7")

    def on_scale(self, label: NDArray[np.floating]) -> "Dialect":
        """The dialect for labels [N], with metrics undefined whose classes mean nothing on their scale."""
        if have_whole_steps(label):
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

DIALECTS: Mapping[str, Dialect] = {d.name: d for d in (MMSA, MAI, MULT, SIMS, SDK_MOSEI)}


def find_dialect(name: str) -> Dialect:
    """A dialect by name.

    Raises:
        BenchError: for an unknown name; the message suggests the most similar one.
    """
    if name not in DIALECTS:
        raise unknown_name("dialect", name, DIALECTS)
    return DIALECTS[name]


def default_dialect(task: Task) -> Dialect:
    """The dialect of a task unless the user selects another."""
    return MMSA


def dialects_for(task: Task) -> list[Dialect]:
    """The dialects of a task."""
    return list(DIALECTS.values())


def judged_predictions(columns: Mapping[str, NDArray[Any]], metric: str) -> Float[Array, "... N"]:
    """The predictions that a metric judges.

    A column `prediction_<metric>` replaces `prediction` for that metric: a predictor of the whole distribution
    predicts the value that is optimal for each metric (the mean for corr, the median for mae, ...).
    """
    return np.asarray(columns.get(f"prediction_{metric}", columns["prediction"]), np.float64)


def scores(dialect: Dialect, columns: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    """Every metric of a dialect, (...), from columns `prediction` (..., N) and `target` (N)."""
    label = np.asarray(columns["target"], np.float64)
    return {
        name: definition(judged_predictions(columns, name), label) for name, definition in dialect.definitions.items()
    }
