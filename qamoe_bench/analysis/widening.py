"""How much wider intervals become because the test samples are resampled by clusters.

Dimension legend: M rows, P pairs of rows.
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from qamoe_bench.analysis.clusters import NONE, ClusterRule, Clusters
from qamoe_bench.analysis.scores import Scores, over_conditions, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, differences


@dataclass(frozen=True)
class Widening:
    """Widths of 95 % intervals with clusters, divided by those with independent samples.

    Attributes:
        clusters: The clusters.
        metric: Name of the metric.
        means: Of the mean of a row over all conditions; the median over rows.
        differences: Of the difference of two rows; the median over pairs. NaN for a single row.
    """

    clusters: Clusters
    metric: str
    means: float
    differences: float


def widening(section: Section, dialect: Dialect, scores: Scores) -> Widening | None:
    """The widening of the intervals of one metric; None where the samples are independent."""
    if section.clusters is None:
        return None
    other = score_independent(section, dialect, scores.metric.name)
    pairs = list(combinations([i for i, row in enumerate(section.rows) if not row.is_limit], 2))
    trained = np.array([row.is_trained for row in section.rows])
    sides = []
    for s in (scores, other):
        gaps = differences(*s.reduced(over_conditions), pairs, trained, s.sample_freedom) if pairs else None
        sides.append((_widths(s.estimate(over_conditions)), np.full(1, np.nan) if gaps is None else _widths(gaps)))
    (means, gaps_of_pairs), (means_independent, gaps_independent) = sides
    return Widening(
        section.clusters,
        scores.metric.name,
        means=_median_ratio(means, means_independent),
        differences=_median_ratio(gaps_of_pairs, gaps_independent),
    )


def score_independent(section: Section, dialect: Dialect, metric: str) -> Scores:
    """One metric of every row as if the test samples were independent."""
    independent = replace(section, cluster_rule=ClusterRule(NONE))
    scores = score(independent, dialect, metric)
    independent.clear_cache()
    return scores


def _widths(estimate: Estimate) -> Float[Values, " _"]:
    low, high = estimate.interval()
    return np.asarray(high - low)


def _median_ratio(widths: Float[Values, " _"], others: Float[Values, " _"]) -> float:
    """The median ratio where both are defined and not 0; NaN if there is none."""
    is_known = np.isfinite(widths) & np.isfinite(others) & (others > 0)
    return float(np.median(widths[is_known] / others[is_known])) if is_known.any() else float("nan")
