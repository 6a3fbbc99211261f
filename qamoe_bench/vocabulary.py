"""Names of modalities, axes of corruption and metrics, with the labels that tables, figures and the page show.

An axis or metric that is not listed is shown by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MODALITIES = ("text", "audio", "vision")
"""In canonical order."""

FIRST_REGIME = "spectrum"
"""The training regime that is shown first where there are several; `run` trains in it by default."""


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
    "acc5": "ACC5",
    "acc7": "ACC7",
    "mae": "MAE",
    "corr": "Pearson correlation",
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
