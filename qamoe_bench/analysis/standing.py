"""Who leads, and how many pairs of models differ significantly: the order of some rows of a section in one metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.comparisons import PairDifferences
from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.multiple_testing import rank_intervals


@dataclass(frozen=True)
class Standing:
    """The order of some rows, as far as the pairwise tests of their section support it.

    Attributes:
        ranks: By row, the best and the worst rank that the tests allow among these rows.
        models: The rows that compete, by decreasing quality of their means: all but the model that ignores its inputs.
        leaders: Those of them that no row is significantly better than, in the same order.
        pairs: Number of pairs of competing models.
        significant: How many of these pairs differ significantly.
    """

    ranks: Mapping[int, tuple[int, int]]
    models: tuple[int, ...]
    leaders: tuple[int, ...]
    pairs: int
    significant: int


def standing(
    section: Section,
    metric: Metric,
    means: Float[Values, " M"],
    differences: PairDifferences,
    rows: Sequence[int],
) -> Standing:
    """The standing of some rows.

    Args:
        section: The section of the rows.
        metric: Gives the direction of improvement.
        means: The metric's mean over the sweep, of every row of the section.
        differences: Of `qamoe_bench.analysis.comparisons.pairwise_differences`. Its correction for all pairs of the
            section also covers the pairs of fewer rows.
        rows: Indices of rows; the oracle and rows without a value take no part.
    """
    tested = {i for pair in differences for i in pair}
    contestants = [i for i in rows if i in tested]
    better = _significantly_better(metric, differences, contestants)
    best, worst = rank_intervals(better)
    ranks = {row: (int(best[a]), int(worst[a])) for a, row in enumerate(contestants)}
    # The model that ignores its inputs is a yardstick: that others beat it says nothing about their order.
    models = [i for i in contestants if section.rows[i].model != MEAN] or contestants
    models.sort(key=lambda i: -metric.sign * means[i])
    places = [contestants.index(i) for i in models]
    return Standing(
        ranks=ranks,
        models=tuple(models),
        leaders=tuple(i for i in models if ranks[i][0] == 1),
        pairs=len(models) * (len(models) - 1) // 2,
        significant=int(better[np.ix_(places, places)].sum()),  # each pair is significant one way at most
    )


def _significantly_better(
    metric: Metric, differences: PairDifferences, contestants: Sequence[int]
) -> Bool[NDArray[np.bool_], "M M"]:
    """Whether the first contestant is significantly better than the second, M contestants in order."""
    places = {row: place for place, row in enumerate(contestants)}
    better = np.zeros((len(places), len(places)), bool)
    for (i, j), difference in differences.items():
        if i in places and j in places and difference.is_significant:
            winner, loser = (i, j) if metric.sign * difference.value > 0 else (j, i)
            better[places[winner], places[loser]] = True
    return better
