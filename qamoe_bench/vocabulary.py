"""Names of modalities, tasks, axes of corruption and metrics, with the labels that tables, figures and the page show.

An axis or metric that is not listed is shown by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

MODALITIES = ("text", "audio", "vision")
"""In canonical order."""

FIRST_REGIME = "spectrum"
"""The training regime that is shown first where there are several; `run` trains in it by default."""


TaskKind = Literal["regression", "classes", "multi-label"]
TASK_KINDS: tuple[str, ...] = get_args(TaskKind)


@dataclass(frozen=True)
class Task:
    """What the label of a sample says. In every task it is one number per sample.

    Attributes:
        kind: `regression`: a value on the annotation scale. `classes`: the index of one class; two classes are a binary
            task. `multi-label`: any of several labels hold, and bit k of the number says whether label k does.
        names: Names of the classes or labels, in the order of their index; empty for regression.
    """

    kind: TaskKind = "regression"
    names: tuple[str, ...] = ()

    @property
    def is_regression(self) -> bool:
        """Whether labels are values on a scale."""
        return self.kind == "regression"

    @property
    def outputs(self) -> int:
        """The number of values that a model predicts per sample: 1, or one per class or label."""
        return 1 if self.is_regression else len(self.names)

    @property
    def facts(self) -> dict[str, Any]:
        """Both attributes as plain values; nothing for regression, as in files of before there were other tasks."""
        return {} if self.is_regression else {"kind": self.kind, "names": list(self.names)}

    @staticmethod
    def of(facts: Mapping[str, Any]) -> "Task":
        """The task of such values."""
        return Task(facts["kind"], tuple(facts["names"])) if facts else REGRESSION


REGRESSION = Task()
"""The task of sentiment analysis as MOSI, MOSEI and SIMS set it."""

LOG_PROBABILITY = "log_probability_"
"""Prefix of the stored columns of log-probabilities; the index of the class or label follows."""


@dataclass(frozen=True)
class Axis:
    """An axis of corruption, along which a protocol has levels.

    Attributes:
        symbol: Its symbol in table heads and legends.
        meaning: What its level measures.
        unit: Unit or range of the level.
    """

    symbol: str
    meaning: str
    unit: str


AXES: Mapping[str, Axis] = {
    "eta": Axis("η", "nominal missing rate", "share"),
    "lambda": Axis("λ", "nominal corruption level", "0 is clean"),
    "s": Axis("s", "shift", "share of the length"),
}

METRIC_LABELS: Mapping[str, str] = {
    "acc2_has0": "ACC2, all labels",
    "acc2_non0": "ACC2, labels ≠ 0",
    "f1_has0": "F1, all labels",
    "f1_non0": "F1, labels ≠ 0",
    "acc3": "ACC3",
    "f1_macro3": "Macro F1 of three classes",
    "acc5": "ACC5",
    "acc7": "ACC7",
    "mae": "MAE",
    "corr": "Pearson correlation",
    "wa": "WA (accuracy)",
    "ua": "UA (mean recall)",
    "exact_match": "Exact match",
    "f1_weighted": "Weighted F1",
    "f1_macro": "Macro F1",
    "f1_micro": "Micro F1",
    "f1_binary": "F1 of the second class",
    "precision_macro": "Macro precision",
    "auroc": "AUROC",
    "nll": "Negative log-likelihood",
    "brier": "Brier score",
    "ece": "Calibration error",
}


def axis_symbol(axis: str) -> str:
    """The symbol of an axis, such as η."""
    return AXES[axis].symbol if axis in AXES else axis


def axis_label(axis: str) -> str:
    """An axis with meaning, symbol and unit, for the axis of a chart."""
    if axis not in AXES:
        return f"{axis} (level)"
    known = AXES[axis]  # such as: shift s (share of the length)
    return f"{known.meaning} {known.symbol} ({known.unit})"


def metric_label(metric: str) -> str:
    """The label of a metric, such as `ACC2, all labels`."""
    return METRIC_LABELS.get(metric, metric)
