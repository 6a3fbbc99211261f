"""Significance of differences: every row against the control, and all rows against each other, on the same samples.

Dimension legend: M rows, S seeds, C conditions, P pairs of rows, R resamples, D metrics, K levels and, last, the mean
over all conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.scores import Reduction, Scores, over_conditions
from qamoe_bench.analysis.section import Section
from qamoe_bench.registry import without_evaluation
from qamoe_bench.shapes import Bool, Float, Int
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, differences, estimate
from qamoe_bench.statistics.multiple_testing import ALPHA, holm_alphas, rank_intervals, rejected, step_down


@dataclass(frozen=True)
class Difference:
    """A row minus another one, usually the control, in a metric's mean over all conditions.

    Attributes:
        value: The difference.
        low: Lower end of its interval, at the level of Holm's correction.
        high: Upper end.
        p: The p-value of the hypothesis of no difference, not corrected.
        detectable: The smallest difference that the test detects with 80 % power, not corrected.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def reversed(self) -> "Difference":
        """The other row minus this one."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


PairDifferences = Mapping[tuple[int, int], Difference]
"""The first row of a pair minus the second, by their indices."""


def differences_from_control(section: Section, scores: Scores, pairs: PairDifferences) -> dict[int, Difference]:
    """Differences of one metric by row from the control that was trained in the same regime.

    They are those of all pairs, so that a difference is significant exactly where the ranks tell the two rows apart.
    The oracle, which has no regime, is compared with the first control; it is no contestant, so its test is neither
    part of the family nor corrected.

    Args:
        section: Its rows.
        scores: The metric.
        pairs: See `pairwise_differences`.
    """
    table = {}
    for row in range(len(section.rows)):
        control = section.control_of(row)
        if control is None:
            continue
        if section.rows[row].is_limit:
            table[row] = _uncorrected(section, scores, row, control)
        elif (row, control) in pairs:
            table[row] = pairs[row, control]
        elif (control, row) in pairs:
            table[row] = pairs[control, row].reversed()
    return table


def _uncorrected(section: Section, scores: Scores, row: int, control: int) -> Difference:
    """The difference of two rows with its 95 % interval."""
    gap = _mean_differences(section, scores, [(row, control)])
    (difference,) = _as_differences(gap, gap.two_sided(), np.array([ALPHA]))
    return difference


def evaluation_effects(section: Section, scores: Sequence[Scores]) -> Mapping[tuple[int, int], Estimate]:
    """Effects of evaluation settings: rows minus the row of the same weights under default settings.

    The keys are the indices of both rows. The estimates are arrays over the metrics, in order, of the difference of
    the means over all conditions.
    """
    effects = {}
    for i, row in enumerate(section.rows):
        default = section.find(without_evaluation(row.model), row.regime)
        if default is None or default == i:
            continue
        by_metric = [s.reduced(over_conditions) for s in scores]  # D times (M, S) and (R, M, S)
        values = [v[i] - v[default] for v, _ in by_metric]  # D times (S)
        resampled = [r[:, i] - r[:, default] for _, r in by_metric]  # D times (R, S)
        effects[i, default] = estimate(
            np.stack(values, axis=-1), np.stack(resampled, axis=-1), section.resampling.freedom
        )
    return effects


def pairwise_differences(section: Section, scores: Scores) -> PairDifferences:
    """The first row of each pair of contestants minus the second, in the mean over all conditions, as one family.

    The tests are those of the last column of `ranking`. Rows without a value for each of their seeds take no part.
    """
    has_value = np.isfinite(scores.means(over_conditions))  # (M)
    rows = [i for i, row in enumerate(section.rows) if not row.is_limit and has_value[i]]
    pairs = list(combinations(rows, 2))
    if not pairs:
        return {}
    return family_of_differences(section, scores, pairs)


def family_of_differences(
    section: Section, scores: Scores, pairs: list[tuple[int, int]]
) -> dict[tuple[int, int], Difference]:
    """The first row of each pair minus the second, in the mean over all conditions, with the pairs as one family."""
    gaps = _mean_differences(section, scores, pairs)
    p = gaps.two_sided()
    alphas = np.nan_to_num(holm_alphas(p), nan=ALPHA)
    return dict(zip(pairs, _as_differences(gaps, p, alphas), strict=True))


def _mean_differences(section: Section, scores: Scores, pairs: list[tuple[int, int]]) -> Estimate:
    """Differences of pairs in the mean over all conditions, (P)."""
    values, resampled = scores.reduced(over_conditions)
    return differences(values, resampled, pairs, _trained(section), scores.sample_freedom)


def differences_by_condition(
    section: Section, scores: Scores
) -> dict[tuple[int, int], tuple[Values, Bool[NDArray[np.bool_], " C"]]]:
    """The first row of each pair minus the second under each condition, and where that is significant.

    The conditions of a pair are one family of tests. The oracle is included, to show the distance of rows from it.
    """
    pairs = list(combinations(range(len(section.rows)), 2))
    if not pairs:
        return {}
    gaps = differences(*scores.reduced(), pairs, _trained(section), scores.sample_freedom)
    p = gaps.two_sided()  # (P, C)
    return {pair: (gaps.value[k], rejected(p[k])) for k, pair in enumerate(pairs)}


def differences_by_level(section: Section, scores: Scores) -> Estimate:
    """The first row of each pair minus the second at each level and, last, in the mean over all conditions, (P, K).

    Pairs are those of all rows, in the order of `combinations`; nothing is corrected for their number.
    """
    pairs = list(combinations(range(len(section.rows)), 2))
    reduced = scores.reduced(section.levels.with_mean)
    return differences(*reduced, pairs, _trained(section), scores.sample_freedom)


def _trained(section: Section) -> Bool[NDArray[np.bool_], " M"]:
    return np.array([row.is_trained for row in section.rows])


def _as_differences(gaps: Estimate, p: Values, alphas: Values) -> list[Difference]:
    """One `Difference` per pair, from arrays over pairs."""
    low, high = gaps.interval(alphas)
    columns = (gaps.value, low, high, p, gaps.detectable())
    return [Difference(*map(float, numbers)) for numbers in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Ranking:
    """Best and worst rank that each row may have, by level and, last, for the mean over all conditions.

    Attributes:
        best: (M, K); 0 for rows that are no contestants or have no value.
        worst: (M, K), in the same way.
    """

    best: Int[NDArray[np.int64], "M K"]
    worst: Int[NDArray[np.int64], "M K"]

    def show(self, row: int, column: int = -1) -> str:
        """`2`, or `1–3` where ranks 1 to 3 are not significantly different."""
        low = self.best[row, column]
        high = self.worst[row, column]
        if not low:
            return ""
        return str(low) if low == high else f"{low}–{high}"

    def is_first(self) -> Bool[NDArray[np.bool_], "M K"]:
        """Where a row is significantly better than every other."""
        return np.asarray((self.best == 1) & (self.worst == 1))


def ranking(section: Section, scores: Scores, *, by_level: bool = True) -> Ranking:
    """Intervals of the ranks of all contestants; all pairs of a column are one family of tests.

    Without `by_level`, of the mean over all conditions alone (K = 1), which takes a fraction of the time.
    """
    reduce = section.levels.with_mean if by_level else _mean_alone
    has_value = np.isfinite(scores.means(reduce))  # (M, K)
    best = np.zeros(has_value.shape, np.int64)
    worst = np.zeros(has_value.shape, np.int64)
    rows = [i for i, row in enumerate(section.rows) if not row.is_limit and has_value[i].any()]
    if len(rows) < 2:
        return Ranking(best, worst)
    better = _significantly_better(section, scores, rows, reduce)
    for k in range(has_value.shape[1]):
        ranked = np.flatnonzero(has_value[rows, k])  # among `rows`
        indices = np.array(rows)[ranked]  # among all rows
        best[indices, k], worst[indices, k] = rank_intervals(better[np.ix_(ranked, ranked)][..., k])
    return Ranking(best, worst)


def _mean_alone(values: Float[Values, "*more C"]) -> Float[Values, "*more 1"]:
    return over_conditions(values)[..., None]


def _significantly_better(
    section: Section, scores: Scores, rows: list[int], reduce: Reduction
) -> Bool[NDArray[np.bool_], "M M K"]:
    """Whether the first row is significantly better than the second, by level and in the mean.

    M counts the given rows only.
    """
    values, resampled = scores.reduced(reduce)
    pairs = list(combinations(rows, 2))
    gaps = differences(values, resampled, pairs, _trained(section), scores.sample_freedom)
    is_significant = step_down(gaps.excludes_zero, np.isfinite(gaps.value).sum(0))  # (P, K)
    gain = scores.metric.sign * gaps.value  # (P, K)
    first, second = np.triu_indices(len(rows), 1)  # in the order of `combinations`
    better = np.zeros((len(rows), len(rows), values.shape[-1]), bool)
    better[first, second] = is_significant & (gain > 0)
    better[second, first] = is_significant & (gain < 0)
    return better
