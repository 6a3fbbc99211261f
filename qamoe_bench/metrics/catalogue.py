"""The metrics of multimodal sentiment analysis, as data; dialects say how they are computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Unit = Literal["%", "label units", ""]


@dataclass(frozen=True)
class Metric:
    """A metric as data.

    Attributes:
        name: Its name everywhere.
        title: What it is, in words.
        better: The direction of improvement.
        range: Lowest and highest possible value.
        unit: What tables print it in; values are stored as shares where they print percent.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    range: tuple[float, float]
    unit: Unit

    @property
    def sign(self) -> int:
        """1 where higher is better, −1 where lower is."""
        return 1 if self.better == "higher" else -1

    @property
    def scale(self) -> int:
        """What a value is multiplied by to be printed."""
        return 100 if self.unit == "%" else 1

    def show(self, value: float) -> str:
        """A value as tables print it; `–` where it is undefined."""
        if not np.isfinite(value):
            return "–"
        return f"{100 * value:.1f}" if self.unit == "%" else f"{value:.3f}"

    def show_change(self, value: float) -> str:
        """The same for a difference of two values, with its sign."""
        shown = self.show(value)
        return f"+{shown}" if shown[0].isdigit() else shown


METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("acc2_has0", "two-class accuracy, all labels", "higher", (0, 1), "%"),
        Metric("acc2_non0", "two-class accuracy, labels other than 0", "higher", (0, 1), "%"),
        Metric("f1_has0", "weighted F1 of two classes, all labels", "higher", (0, 1), "%"),
        Metric("f1_non0", "weighted F1 of two classes, labels other than 0", "higher", (0, 1), "%"),
        Metric("acc3", "three-class accuracy", "higher", (0, 1), "%"),
        Metric("acc5", "five-class accuracy", "higher", (0, 1), "%"),
        Metric("acc7", "seven-class accuracy", "higher", (0, 1), "%"),
        Metric("mae", "mean absolute error, in label units", "lower", (0, float("inf")), "label units"),
        Metric("corr", "Pearson correlation; undefined for constant predictions", "higher", (-1, 1), ""),
    )
}
