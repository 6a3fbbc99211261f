"""Summaries of a sweep: from a metric per condition to one number.

Dimension legend: M rows, S seeds, C conditions, L levels, R resamples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from qamoe_bench.analysis.scores import Reduction, Scores, over_conditions
from qamoe_bench.analysis.section import MEAN, Levels, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, estimate
from qamoe_bench.store.cell import ORACLE


@dataclass(frozen=True)
class SweepSummary:
    """One number for a sweep, by row and seed.

    Attributes:
        title: A description in words.
        by_seed: Computes it by row and seed (M, S), with NaN for all seeds of a row if one of them is undefined, and
            the same for every resample of the test samples, (R, M, S). Not all are shown, and the resamples are large.
        sample_freedom: Degrees of freedom of a variance over resamples.
        is_share: Whether it is a share, printed in percent, instead of a value in the metric's unit.
    """

    title: str
    by_seed: Callable[[], tuple[Float[Values, "M S"], Float[Values, "R M S"]]]
    sample_freedom: float
    is_share: bool = False

    def estimate(self) -> Estimate:
        """Mean over seeds of each row, with its variances; computed once."""
        return self._estimate

    @cached_property
    def _estimate(self) -> Estimate:
        values, resampled = self.by_seed()
        return estimate(values.T, np.moveaxis(resampled, 1, 2), self.sample_freedom)

    def show(self, metric: Metric, value: float) -> str:
        """A value as tables print it."""
        if not self.is_share:
            return metric.show(value)
        return f"{100 * value:.1f}" if np.isfinite(value) else "–"


def summaries(section: Section, scores: Scores) -> Mapping[str, SweepSummary]:
    """Every summary that is defined for the section, by name.

    mean       the mean over all conditions
    auilc      area under the curve over the levels of the axis, by the trapezoidal rule, divided by the length of the
               axis (TFR-Net's AUILC is not divided, so it grows with the axis; over 0 to 1 the two are equal)
    worst      the value at the worst level
    retention  the value at the worst level divided by that at the clean one
    reached    share of the way from the value of `mean` to that of the oracle, where both are rows
    """
    levels = section.levels
    mean = _summary(scores, "mean over all levels", over_conditions)
    by_name = {"mean": mean}
    if len(levels.numbers) > 1:
        by_name["auilc"] = _summary(scores, "area under the curve", lambda x: _area(levels, levels.means(x)))
    if len(levels.labels) > 1:
        by_name["worst"] = _summary(scores, "worst level", lambda x: _worst(scores.metric, levels.means(x)))
    # A ratio needs a metric with a natural zero; correlations may be negative.
    if section.clean is not None and len(levels.labels) > 1 and scores.metric.range[0] == 0:
        by_name["retention"] = _retention(scores, levels, section.clean)
    floor = section.find(MEAN)
    oracle = section.find(ORACLE)
    if floor is not None and oracle is not None:
        by_name["reached"] = _reached(mean, floor, oracle)
    return by_name


def _summary(scores: Scores, title: str, reduce: Reduction, *, is_share: bool = False) -> SweepSummary:
    return SweepSummary(title, partial(scores.reduced, reduce), scores.sample_freedom, is_share)


def _area(levels: Levels, values: Float[Values, "*more L"]) -> Float[Values, "*more"]:
    """Area under the curve by the trapezoidal rule, divided by the length of the axis."""
    length = levels.numbers[-1] - levels.numbers[0]
    trapezoids = (
        (end - start) / 2 / length * (values[..., k] + values[..., k + 1])
        for k, (start, end) in enumerate(pairwise(levels.numbers))
    )
    return np.asarray(sum(trapezoids))


def _worst(metric: Metric, values: Float[Values, "*more L"]) -> Float[Values, "*more"]:
    return np.asarray(values.min(-1) if metric.better == "higher" else values.max(-1))


def _retention(scores: Scores, levels: Levels, clean: int) -> SweepSummary:
    def ratio(values: Float[Values, "*more C"]) -> Float[Values, "*more"]:
        return _worst(scores.metric, levels.means(values)) / _nonzero(values[..., clean])

    return _summary(scores, "worst over clean", ratio, is_share=True)


def _reached(mean: SweepSummary, floor: int, oracle: int) -> SweepSummary:
    """The share of the way from the row `floor` to the row `oracle`, from means over all conditions."""

    def share(values: Float[Values, "*more M S"]) -> Float[Values, "*more M S"]:
        start = values[..., floor : floor + 1, :]  # (*more, 1, S)
        end = values[..., oracle : oracle + 1, :]  # (*more, 1, S)
        return (values - start) / _nonzero(end - start)

    def by_seed() -> tuple[Float[Values, "M S"], Float[Values, "R M S"]]:
        values, resampled = mean.by_seed()
        return share(values), share(resampled)

    return SweepSummary("share of the way from mean to oracle", by_seed, mean.sample_freedom, is_share=True)


def _nonzero(x: Values) -> Values:
    """NaN in place of 0, for denominators."""
    return np.where(x == 0, np.nan, x)
