"""Which differences are real: every row against the control, and all rows against each other, on the same samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.registry import without_evaluation
from qamoe_bench.statistics.intervals import Estimate, differences, estimate
from qamoe_bench.statistics.multiple_testing import holm_alphas, rank_intervals, rejected, step_down

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A row minus the control, in a metric's mean over all levels.

    Attributes:
        value: The difference.
        low: Lower end of its interval at the level that Holm's correction leaves it.
        high: Upper end.
        p: Of "there is none", not corrected.
        detectable: What would have been found with 80 % power, not corrected.
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


def differences_from_control(section: Section, scores: Sequence[Scores]) -> dict[tuple[str, int], Difference]:
    """Differences by (metric, row) from the control that was trained in the same regime, as one family.

    The oracle, which has no regime, is compared with the first control; it is no contestant and not in the family.
    """
    controls = ((i, section.control_of(i)) for i in range(len(section.rows)))
    pairs = [(i, control) for i, control in controls if control is not None]
    if not pairs:
        return {}
    contestant = np.array([not section.rows[i].is_oracle for i, _ in pairs])
    trained = np.array([r.is_trained for r in section.rows])
    found = [differences(s.values.mean(-1), s.resampled.mean(-1), pairs, trained) for s in scores]
    p = np.stack([f.two_sided() for f in found])  # (metrics, pairs)
    alphas = np.full(p.shape, 0.05)
    alphas[:, contestant] = holm_alphas(p[:, contestant].ravel()).reshape(len(scores), -1)
    table = {}
    for s, f, of_metric, level in zip(scores, found, p, alphas, strict=True):
        low, high = f.interval(level)
        power = f.detectable()
        for k, (row, _) in enumerate(pairs):
            numbers = (f.value[k], low[k], high[k], of_metric[k], power[k])
            table[s.metric.name, row] = Difference(*map(float, numbers))
    return table


def evaluation_effects(section: Section, scores: Sequence[Scores]) -> Mapping[tuple[int, int], Estimate]:
    """What settings of the evaluation change: by row and the row of the same weights that were asked as usual.

    The estimates are arrays over the metrics, in order, of the difference of the means over all conditions.
    """
    found = {}
    for i, row in enumerate(section.rows):
        usual = section.find(without_evaluation(row.model), row.regime)
        if usual not in (None, i):
            values = np.stack([s.values[i].mean(-1) - s.values[usual].mean(-1) for s in scores], axis=-1)
            again = [s.resampled[:, i].mean(-1) - s.resampled[:, usual].mean(-1) for s in scores]
            found[i, usual] = estimate(values, np.stack(again, axis=-1))
    return found


def pairwise_differences(section: Section, scores: Scores) -> dict[tuple[int, int], Difference]:
    """The first row of each pair of contestants minus the second, in the mean over all conditions, as one family.

    The same tests as those of the last column of `ranking`.
    """
    rows = _contestants(section, scores)
    pairs = list(combinations(rows, 2))
    if not pairs:
        return {}
    found = _paired(section, scores.values.mean(-1), scores.resampled.mean(-1), pairs)
    p = found.two_sided()
    low, high = found.interval(np.nan_to_num(holm_alphas(p), nan=0.05))
    numbers = (found.value, low, high, p, found.detectable())
    return {pair: Difference(*(float(x[k]) for x in numbers)) for k, pair in enumerate(pairs)}


def differences_by_condition(
    section: Section, scores: Scores
) -> dict[tuple[int, int], tuple[Values, Bool[NDArray[np.bool_], " C"]]]:
    """The first row of each pair minus the second under each condition, and where that is sure.

    The conditions of a pair are one family. The limit is among the rows, for its distance is worth seeing too.
    """
    pairs = list(combinations(range(len(section.rows)), 2))
    if not pairs:
        return {}
    found = _paired(section, scores.values, scores.resampled, pairs)
    p = found.two_sided()
    return {pair: (found.value[k], rejected(p[k])) for k, pair in enumerate(pairs)}


def _paired(section: Section, values: Values, again: Values, pairs: list[tuple[int, int]]) -> Estimate:
    return differences(values, again, pairs, np.array([r.is_trained for r in section.rows]))


def _contestants(section: Section, scores: Scores) -> list[int]:
    known = np.isfinite(scores.values.mean(-1)).any(1)
    return [i for i, r in enumerate(section.rows) if not r.is_oracle and known[i]]


@dataclass(frozen=True)
class Ranking:
    """Best and worst rank that each row may have, by level and, last, for the mean over all conditions.

    Attributes:
        best: (M, L + 1); 0 for rows that are no contestants or have no value.
        worst: The same.
    """

    best: Int[NDArray[np.int64], "M K"]
    worst: Int[NDArray[np.int64], "M K"]

    def show(self, row: int, column: int = -1) -> str:
        """`2`, or `1–3` where ranks 1 to 3 cannot be told apart."""
        low, high = self.best[row, column], self.worst[row, column]
        if not low:
            return ""
        return str(low) if low == high else f"{low}–{high}"

    def is_first(self) -> Bool[NDArray[np.bool_], "M K"]:
        """Where a row is surely better than every other."""
        return np.asarray((self.best == 1) & (self.worst == 1))


def ranking(section: Section, scores: Scores) -> Ranking:
    """Ranks of the contestants with their ties; all pairs of a column are one family."""
    shape = len(section.rows), len(section.levels.labels) + 1
    best, worst = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    known = np.asarray(np.isfinite(section.levels.with_mean(scores.values)).any(1))  # (M, K)
    rows = [i for i, r in enumerate(section.rows) if not r.is_oracle and known[i].any()]
    if len(rows) > 1:
        surely = _surely_better(section, scores, rows)  # (M, M, K)
        for k in range(shape[1]):
            there = np.flatnonzero(known[rows, k])
            places = np.array(rows)[there]
            best[places, k], worst[places, k] = rank_intervals(surely[np.ix_(there, there)][..., k])
    return Ranking(best, worst)


def _surely_better(section: Section, scores: Scores, rows: list[int]) -> Bool[NDArray[np.bool_], "M M K"]:
    """By place among these rows: whether the first is surely better than the second, by level and in the mean."""
    trained = np.array([r.is_trained for r in section.rows])
    values, again = section.levels.with_mean(scores.values), section.levels.with_mean(scores.resampled)
    found = differences(values, again, list(combinations(rows, 2)), trained)
    surely = step_down(found.excludes_zero, np.isfinite(found.value).sum(0))  # (P, K)
    gain = scores.metric.sign * found.value
    first, second = np.triu_indices(len(rows), 1)
    better = np.zeros((len(rows), len(rows), values.shape[-1]), bool)
    better[first, second], better[second, first] = surely & (gain > 0), surely & (gain < 0)
    return better
