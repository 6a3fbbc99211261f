"""From a metric per condition to one number for a whole sweep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import MEAN, Levels, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.statistics.intervals import Estimate, estimate
from qamoe_bench.store.cell import ORACLE

Values = NDArray[np.float64]
Reduction = Callable[[Values], Values]
"""From values whose last axis is conditions to one without it."""


@dataclass(frozen=True)
class SweepSummary:
    """A number for a sweep: its values per row and seed, and those of every resample.

    Attributes:
        title: What it is.
        values: (M, S).
        resampled: (R, M, S).
        is_share: Whether it is a share, to print as percent, and not in the metric's unit.
    """

    title: str
    values: Float[Values, "M S"]
    resampled: Float[Values, "R M S"]
    is_share: bool = False

    def estimate(self) -> Estimate:
        """Mean over seeds of each row."""
        return estimate(self.values.T, np.moveaxis(self.resampled, 1, 2))

    def show(self, metric: Metric, value: float) -> str:
        """A value as tables print it."""
        if not self.is_share:
            return metric.show(value)
        return f"{100 * value:.1f}" if np.isfinite(value) else "–"


def summaries(section: Section, scores: Scores) -> Mapping[str, SweepSummary]:
    """Every summary that makes sense for the section, by name.

    mean       over all conditions
    auilc      area under the curve over the levels of the axis, by trapezia, divided by the axis' length (TFR-Net's
               AUILC is not divided, so it grows with the axis; over 0 to 1 they are the same)
    worst      the worst level
    retention  value at the worst level over that at the clean one
    reached    share of the way from `mean`'s value to the oracle's, where both are rows
    """
    metric, levels = scores.metric, section.levels
    found = {"mean": _each(scores, "mean over all levels", lambda x: x.mean(-1))}
    if len(levels.numbers) > 1:
        found["auilc"] = _each(scores, "area under the curve", lambda x: _area(levels, levels.means(x)))
    if len(levels.labels) > 1:
        found["worst"] = _each(scores, "worst level", lambda x: _worst(metric, levels.means(x)))
    if section.clean is not None and len(levels.labels) > 1 and metric.range[0] == 0:
        clean = section.clean
        kept = _each(scores, "worst over clean", lambda x: _worst(metric, levels.means(x)) / _nonzero(x[..., clean]))
        found["retention"] = SweepSummary(kept.title, kept.values, kept.resampled, is_share=True)
    floor, limit = section.find(MEAN), section.find(ORACLE)
    if floor is not None and limit is not None:
        found["reached"] = _reached(found["mean"], floor, limit)
    return found


def _each(scores: Scores, title: str, reduce: Reduction) -> SweepSummary:
    return SweepSummary(title, reduce(scores.values), reduce(scores.resampled))


def _area(levels: Levels, values: Float[Values, "*more L"]) -> Float[Values, "*more"]:
    ends = levels.numbers
    steps = ((b - a) / 2 / (ends[-1] - ends[0]) for a, b in pairwise(ends))
    return np.asarray(sum(step * (values[..., k] + values[..., k + 1]) for k, step in enumerate(steps)))


def _worst(metric: Metric, values: Float[Values, "*more L"]) -> Float[Values, "*more"]:
    return np.asarray(values.min(-1) if metric.better == "higher" else values.max(-1))


def _nonzero(x: Values) -> Values:
    return np.where(x == 0, np.nan, x)


def _reached(mean: SweepSummary, floor: int, limit: int) -> SweepSummary:
    def share(x: Float[Values, "*more M S"]) -> Float[Values, "*more M S"]:
        start, end = x[..., floor, :][..., None, :], x[..., limit, :][..., None, :]
        return (x - start) / _nonzero(end - start)

    return SweepSummary(
        "share of the way from mean to oracle", share(mean.values), share(mean.resampled), is_share=True
    )
