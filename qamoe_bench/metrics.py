"""Metrics of multimodal sentiment analysis, and the dialects in which the field computes them.

A metric has one name and, as data, a direction, a range and a unit. A dialect is a named set of definitions; the same
name may be computed differently in two dialects, so every table states its dialect. All definitions take predictions
and labels as vectors of length N and compute in float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import unknown_name

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric as data.

    Attributes:
        name: Its name everywhere.
        title: What it is, in words.
        better: The direction of improvement.
        range: Lowest and highest possible value.
        percent: Whether tables show it times 100.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    range: tuple[float, float]
    percent: bool

    def show(self, value: float) -> str:
        """A value as tables print it; `–` where it is undefined."""
        if not np.isfinite(value):
            return "–"
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def show_change(self, value: float) -> str:
        """The same for a difference of two values, with its sign."""
        shown = self.show(value)
        return f"+{shown}" if shown[0].isdigit() else shown


METRICS: Mapping[str, Metric] = {
    m.name: m
    for m in (
        Metric("acc2_has0", "two-class accuracy, all labels, positive = at least 0", "higher", (0, 1), True),
        Metric("acc2_non0", "two-class accuracy, labels other than 0", "higher", (0, 1), True),
        Metric("f1_has0", "weighted F1 of the two classes, all labels", "higher", (0, 1), True),
        Metric("f1_non0", "weighted F1 of the two classes, labels other than 0", "higher", (0, 1), True),
        Metric("acc5", "five-class accuracy after clipping to [-2, 2] and rounding", "higher", (0, 1), True),
        Metric("acc7", "seven-class accuracy after clipping to [-3, 3] and rounding", "higher", (0, 1), True),
        Metric("mae", "mean absolute error, in label units", "lower", (0, float("inf")), False),
        Metric("corr", "Pearson correlation; undefined for constant predictions", "higher", (-1, 1), False),
    )
}


def accuracy_rounded(prediction: Vector, label: Vector, limit: float) -> float:
    """Share of samples with equal classes after clipping to ±limit and rounding, halves to even as numpy does."""
    classes = [np.round(np.clip(v, -limit, limit)) for v in (prediction, label)]
    return float(np.mean(classes[0] == classes[1]))


def accuracy(prediction: NDArray[np.bool_], label: NDArray[np.bool_]) -> float:
    """Share of equal classes; NaN without samples."""
    return float(np.mean(prediction == label)) if len(label) else float("nan")


def weighted_f1(prediction: NDArray[np.bool_], label: NDArray[np.bool_]) -> float:
    """Σ_c (n_c/N)·F1_c over both classes, weighted by the classes' true sizes; NaN without samples."""
    if not len(label):
        return float("nan")
    total = 0.0
    for p, y in ((prediction, label), (~prediction, ~label)):
        hits, size = np.sum(p & y), np.sum(p) + np.sum(y)
        total += np.sum(y) * (2 * hits / size if size else 0.0)
    return float(total / len(label))


def mean_absolute_error(prediction: Vector, label: Vector) -> float:
    """Mean |p − y|, without clipping; NaN without samples."""
    return float(np.mean(np.abs(prediction - label))) if len(label) else float("nan")


def pearson(prediction: Vector, label: Vector) -> float:
    """Pearson correlation; NaN where either side is constant, for it is undefined there and not 0."""
    if len(label) < 2 or np.ptp(prediction) == 0 or np.ptp(label) == 0:
        return float("nan")
    p, y = (_unit(values - values.mean()) for values in (prediction, label))
    return float(np.clip(np.dot(p, y), -1, 1))


def _unit(x: Vector) -> Vector:
    """The vector x / ‖x‖, scaled first so that tiny squares do not vanish; NaN where only rounding is left."""
    largest = np.max(np.abs(x))
    if largest < np.finfo(np.float64).tiny:
        return np.full_like(x, np.nan)
    scaled = x / largest
    unit: Vector = scaled / np.linalg.norm(scaled)
    return unit


Definition = Callable[[Vector, Vector], float]


@dataclass(frozen=True)
class Dialect:
    """A named set of metric definitions and where it comes from."""

    name: str
    source: str
    definitions: Mapping[str, Definition]


def _non0(definition: Definition) -> Definition:
    return lambda p, y: definition(p[y != 0], y[y != 0])


DIALECTS: Mapping[str, Dialect] = {
    "mmsa": Dialect(
        "mmsa",
        "MMSA's metricsTop (thuiar/MMSA @ a94e65d): Has0 compares >= 0, Non0 drops labels equal to 0 and compares > 0",
        {
            "acc2_has0": lambda p, y: accuracy(p >= 0, y >= 0),
            "acc2_non0": _non0(lambda p, y: accuracy(p > 0, y > 0)),
            "f1_has0": lambda p, y: weighted_f1(p >= 0, y >= 0),
            "f1_non0": _non0(lambda p, y: weighted_f1(p > 0, y > 0)),
            "acc5": lambda p, y: accuracy_rounded(p, y, 2),
            "acc7": lambda p, y: accuracy_rounded(p, y, 3),
            "mae": mean_absolute_error,
            "corr": pearson,
        },
    ),
    "mai": Dialect(
        "mai",
        "C-MIB's own code (TmacMai/Multimodal-Information-Bottleneck @ f6d006b): all but ACC7 on labels other than 0, "
        "positive = at least 0; its MAE and Corr are not comparable with MMSA's",
        {
            "acc2_non0": _non0(lambda p, y: accuracy(p >= 0, y >= 0)),
            "f1_non0": _non0(lambda p, y: weighted_f1(p >= 0, y >= 0)),
            "acc7": lambda p, y: accuracy_rounded(p, y, 3),
            "mae": _non0(mean_absolute_error),
            "corr": _non0(pearson),
        },
    ),
}


def find_dialect(name: str) -> Dialect:
    """A dialect by name; an unknown name is a `BenchError`."""
    if name not in DIALECTS:
        raise unknown_name("dialect", name, DIALECTS)
    return DIALECTS[name]


def scores(dialect: Dialect, columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Every metric of a dialect from columns `prediction` and `target`.

    A column `prediction_<metric>` takes the place of `prediction` for that metric: a predictor that knows the whole
    distribution answers each question with its own best decision (mean for corr, median for mae, and so on).
    """
    label = np.asarray(columns["target"], np.float64)
    return {
        name: definition(np.asarray(columns.get(f"prediction_{name}", columns["prediction"]), np.float64), label)
        for name, definition in dialect.definitions.items()
    }


def spearman(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Spearman's rank correlation with mid-ranks for ties; NaN where either side is constant."""
    return pearson(_ranks(np.asarray(x, np.float64)), _ranks(np.asarray(y, np.float64)))


def _ranks(x: Vector) -> Vector:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[inverse]
