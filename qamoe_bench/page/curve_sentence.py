"""The main finding of a robustness curve, in one sentence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.comparisons import Ranking
from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.vocabulary import metric_label

Values = NDArray[np.float64]


@dataclass(frozen=True)
class _Contest:
    """The contestants with a value at every level.

    Attributes:
        metric: The metric.
        names: Their names, K.
        values: Their values, (K, L).
        is_first: Where one is significantly better than every other row, (K, L + 1).
    """

    metric: Metric
    names: Sequence[str]
    values: Float[Values, "K L"]
    is_first: Bool[NDArray[np.bool_], "K L+1"]

    def leader(self, level: int) -> int:
        """The best contestant at a level."""
        return int((self.metric.sign * self.values[:, level]).argmax())  # sign is −1 for errors

    def hardest_level(self) -> int:
        """The level with the worst mean over contestants."""
        return int((self.metric.sign * self.values.mean(0)).argmin())

    def lead(self, level: int) -> str:
        """The value of the leader, and a remark if its lead is significant."""
        leader = self.leader(level)
        # The last column of `is_first` is the mean over all levels, which is not used here.
        remark = ", significantly" if self.is_first[leader, level] else ""
        return f"({self.metric.show(self.values[leader, level])}{remark})"


def curve_sentence(
    section: Section, metric: Metric, values: Float[Values, "M L"], ranking: Ranking, rows: Collection[int]
) -> str:  # fmt: skip
    """The leaders at the first and at the hardest level, and the largest and smallest loss between them.

    Args:
        section: The section of the rows.
        metric: The metric.
        values: Its values by level, of every row of the section.
        ranking: Of all rows; says whether a lead is significant.
        rows: Indices of the rows that the sentence is about.
    """
    # The oracle does not compete, the model that ignores its inputs cannot lose, a level without a value has no leader.
    yardsticks = [i for i in rows if section.rows[i].is_limit or section.rows[i].model == MEAN]
    kept = [i for i in rows if i not in yardsticks and np.isfinite(values[i]).all()]
    if not kept:
        return f"Every model has a level at which {metric_label(metric.name)} is undefined."
    contest = _Contest(metric, [section.rows[i].name for i in kept], values[kept], ranking.is_first()[kept])
    start = contest.names[contest.leader(0)]
    if len(section.levels.labels) == 1:
        return f"{start} is best {contest.lead(0)}."
    # The first level is the mildest. The hardest is found in the data, because a metric need not fall on the way.
    easy = _level_name(section, 0)
    worst = contest.hardest_level()
    if worst == 0:
        return f"No level is harder than {easy}; {start} leads there {contest.lead(0)}."
    end = contest.names[contest.leader(worst)]
    hard = _level_name(section, worst)
    if end == start:
        leads = f"{start} leads at {easy} {contest.lead(0)} and still at {hard} {contest.lead(worst)}"
    else:
        leads = f"{start} leads at {easy} {contest.lead(0)}, {end} at {hard} {contest.lead(worst)}"
    return f"{leads}{_losses(contest, worst)}."


def _losses(contest: _Contest, worst: int) -> str:
    """Who loses most and least from the first level to the hardest, unless fewer than two change at all."""
    change = contest.values[:, worst] - contest.values[:, 0]  # (K,)
    gain = contest.metric.sign * change  # negative where it gets worse
    moved = [i for i in range(len(gain)) if abs(gain[i]) > 0]
    # The mean of the labels never changes; a single model that does leaves nothing to compare.
    if len(moved) < 2:
        return ""
    most = min(moved, key=lambda i: gain[i])
    least = max(moved, key=lambda i: gain[i])
    # Changes are printed with the sign of the metric, not of the gain.
    shown_most = contest.metric.show_change(float(change[most]))
    shown_least = contest.metric.show_change(float(change[least]))
    loser, keeper = (contest.names[i] for i in (most, least))
    return f". In between, {loser} loses most ({shown_most}) and {keeper} least ({shown_least})"


def _level_name(section: Section, level: int) -> str:
    """A level as sentences refer to it, such as `η=0.7` or `“audio missing”`."""
    labels = section.levels.labels
    if not section.levels.axis:
        return f"“{labels[level]}”"
    # Only the first label names the axis, as in `η=0`.
    return labels[0] if level == 0 else f"{labels[0].partition('=')[0]}={labels[level]}"
