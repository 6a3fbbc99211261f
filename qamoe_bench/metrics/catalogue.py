"""The metrics of multimodal sentiment and emotion analysis: titles, ranges, units and directions.

Their definitions depend on the dialect, see `qamoe_bench.metrics.dialects`. Only the names of the dialects are
here, because help texts need them, and definitions load NumPy.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["%", "label units", "nats", ""]
UNLIMITED = float("inf")


@dataclass(frozen=True)
class Metric:
    """A metric, independent of how a dialect defines it.

    Attributes:
        name: Its identifier in options, columns and files.
        title: A description in words.
        better: The direction of improvement.
        range: Lowest and highest possible value.
        unit: The unit in which tables print it; metrics printed in percent are stored as shares.
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
        """The factor from a stored to a printed value."""
        return 100 if self.unit == "%" else 1

    def show(self, value: float) -> str:
        """A value as tables print it; `–` where it is undefined."""
        if not math.isfinite(value):
            return "–"
        return f"{100 * value:.1f}" if self.unit == "%" else f"{value:.3f}"

    def show_change(self, value: float) -> str:
        """A difference of two values as tables print it, with its sign."""
        shown = self.show(value)
        is_positive = shown[0].isdigit()  # neither a minus sign nor the dash of undefined values
        return f"+{shown}" if is_positive else shown


METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("acc2_has0", "two-class accuracy, all labels", "higher", (0, 1), "%"),
        Metric("acc2_non0", "two-class accuracy, labels other than 0", "higher", (0, 1), "%"),
        Metric("f1_has0", "weighted F1 of two classes, all labels", "higher", (0, 1), "%"),
        Metric("f1_non0", "weighted F1 of two classes, labels other than 0", "higher", (0, 1), "%"),
        Metric("acc3", "three-class accuracy", "higher", (0, 1), "%"),
        Metric("f1_macro3", "mean F1 of three classes: negative, neutral, positive", "higher", (0, 1), "%"),
        Metric("acc5", "five-class accuracy", "higher", (0, 1), "%"),
        Metric("acc7", "seven-class accuracy", "higher", (0, 1), "%"),
        Metric("mae", "mean absolute error, in label units", "lower", (0, UNLIMITED), "label units"),
        Metric("corr", "Pearson correlation; undefined for constant predictions", "higher", (-1, 1), ""),
        # Of classes and of several labels
        Metric("wa", "accuracy, the share of decisions that are right", "higher", (0, 1), "%"),
        Metric("ua", "mean recall of the classes, or of both answers of a label", "higher", (0, 1), "%"),
        Metric("exact_match", "share of samples of which all labels are right", "higher", (0, 1), "%"),
        Metric("f1_weighted", "F1 of classes or labels, weighted by their size", "higher", (0, 1), "%"),
        Metric("f1_macro", "mean F1 of classes or labels", "higher", (0, 1), "%"),
        Metric("f1_micro", "F1 of all decisions together; of classes, the accuracy", "higher", (0, 1), "%"),
        Metric("f1_binary", "F1 of the second of two classes; undefined for more", "higher", (0, 1), "%"),
        Metric("precision_macro", "mean precision of classes", "higher", (0, 1), "%"),
        Metric("auroc", "area under the ROC curve; of more than two classes, mean over them", "higher", (0, 1), ""),
        Metric("nll", "mean negative log-likelihood, in nats", "lower", (0, UNLIMITED), "nats"),
        Metric("brier", "Brier score; of classes, the sum over all of them", "lower", (0, 2), ""),
        Metric("ece", "expected calibration error, 15 bins of equal width", "lower", (0, 1), "%"),
    )
}

DIALECT_NAMES: Mapping[str, tuple[str, ...]] = {
    "regression": ("mmsa", "mai", "mult", "sims", "sdk-mosei"),
    "classes": ("scikit-learn", "gcnet", "mmin", "mintrec"),
    "multi-label": ("scikit-learn-labels", "mult-iemocap", "mme2e"),
}
"""Names of the dialects of each kind of task, its default first."""
