"""What choosing the epoch on the test split would add to a result, from the curves of `qamoe_bench.store.selection`.

Many publications choose the epoch by its test error, some one epoch for each metric. This measures the difference from
the epoch that the validation split selected, on the same trainings; no result depends on it.

Dimension legend: S seeds, E epochs, C conditions, M metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.shapes import Float, Int
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.quantiles import student_quantile
from qamoe_bench.store.selection import CurveFiles, SelectionCurve

CRITERIA = {"regression": "mae", "classes": "nll", "multi-label": "nll"}
"""By kind of task, the metric by which one epoch is chosen for all metrics, as the validation split does."""


@dataclass(frozen=True)
class SelectionGain:
    """The gain of a row in one metric; positive changes of a metric of which lower is better are losses.

    Attributes:
        selected: The value at the epoch that the validation split selected, mean over seeds and conditions.
        per_metric: Change at the test split's best epoch of this metric, per seed (S).
        one_epoch: Change at the epoch with the lowest test error, that of `CRITERIA`, per seed (S).
    """

    selected: float
    per_metric: Float[Values, " S"]
    one_epoch: Float[Values, " S"]


def selection_gains(row: Row, dialect: str, metrics: Sequence[str], files: CurveFiles) -> list[SelectionGain]:
    """The gain of a row in each metric, over the seeds with a curve; none without any.

    Args:
        row: A row.
        dialect: Name of the dialect.
        metrics: Names of metrics of the dialect.
        files: Finds the curves.
    """
    curves = [curve for curve in map(files.read, row.cells) if curve is not None and curve.values]
    if not curves:
        return []
    # Specialists are trained and selected one by one, all other weights for all conditions together.
    is_common = row.regime != "matched"
    criterion = CRITERIA[row.task.kind]
    by_criterion = [_best(curve, _dialect_with(curve, criterion, dialect), criterion, is_common) for curve in curves]
    gains = []
    for metric in metrics:
        selected = np.array([_at(c, dialect, metric, np.array(c.selected)) for c in curves])
        best = [_at(c, dialect, metric, _best(c, dialect, metric, is_common)) for c in curves]
        common = [_at(c, dialect, metric, epoch) for c, epoch in zip(curves, by_criterion, strict=True)]
        gains.append(SelectionGain(float(selected.mean()), np.array(best) - selected, np.array(common) - selected))
    return gains


def half_width(gains: Float[Values, " S"]) -> float:
    """Half of the 95 % interval of the mean over seeds, paired and with Student's distribution; NaN for one seed."""
    seeds = len(gains)
    if seeds < 2:
        return float("nan")
    return float(student_quantile(seeds - 1, 0.975) * gains.std(ddof=1) / np.sqrt(seeds))


def _values(curve: SelectionCurve, dialect: str, metric: str) -> Float[NDArray[np.float64], "E C"]:
    # A curve of another version may lack a metric.
    undefined = np.full_like(next(iter(curve.values.values())), np.nan)
    return curve.values.get((dialect, metric), undefined)


def _dialect_with(curve: SelectionCurve, metric: str, dialect: str) -> str:
    """The dialect, or another one if it does not define the metric; all define errors and likelihoods alike."""
    if (dialect, metric) in curve.values:
        return dialect
    return next((other for other, name in curve.values if name == metric), dialect)


def _at(curve: SelectionCurve, dialect: str, metric: str, epochs: Int[NDArray[np.int64], " C"]) -> float:
    """Mean over conditions at one epoch (from 1) per condition."""
    values = _values(curve, dialect, metric)
    return float(values[epochs - 1, np.arange(values.shape[1])].mean())


def _best(curve: SelectionCurve, dialect: str, metric: str, is_common: bool) -> Int[NDArray[np.int64], " C"]:
    """The epoch (from 1) with the best test metric for each condition, or with the best mean for all."""
    values = _values(curve, dialect, metric)
    if is_common:
        values = np.broadcast_to(values.mean(1, keepdims=True), values.shape)
    sign = 1 if METRICS[metric].better == "higher" else -1
    ranked = np.where(np.isfinite(values), sign * values, -np.inf)  # the first of equal ones, as in validation
    return np.asarray(ranked.argmax(0) + 1, np.int64)
