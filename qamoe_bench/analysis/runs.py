"""Across runs: every seed at every level is a run, and few runs deserve more than their mean (rliable).

Dimension legend: M rows, S seeds, C conditions, T thresholds.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.scores import Scores, Values
from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.statistics.aggregates import interquartile_mean, performance_profile, probability_of_improvement
from qamoe_bench.store.cell import ORACLE

THRESHOLDS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the way from `mean` to the oracle, for performance profiles."""


def interquartile_means(section: Section, scores: Scores) -> list[float]:
    """Of each row; NaN where one of its runs has no value."""
    return [float(interquartile_mean(_runs(section, scores, i))) for i in range(len(section.rows))]


def improvement_probabilities(section: Section, scores: Scores) -> list[float]:
    """Of each row, the probability that a run is better than one of its control's; NaN where that cannot be said."""
    return [_chance(section, scores, i) for i in range(len(section.rows))]


def oracle_profile(section: Section, scores: Scores) -> Float[NDArray[np.float64], "M T"] | None:
    """Share of runs that go further than each threshold from `mean` to the oracle, where both are rows."""
    floor, limit = section.find(MEAN), section.find(ORACLE)
    if floor is None or limit is None:
        return None
    start, end = scores.values[floor], scores.values[limit]  # (S, C)
    reached = (scores.values - start) / np.where(end == start, np.nan, end - start)  # (M, S, C)
    shares = [
        performance_profile(reached[i, section.seed_indices(row)], np.array(THRESHOLDS))
        for i, row in enumerate(section.rows)
    ]
    return np.stack(shares)


def _runs(section: Section, scores: Scores, row: int) -> Values:
    return scores.values[row, section.seed_indices(section.rows[row])]


def _chance(section: Section, scores: Scores, row: int) -> float:
    control = section.control_of(row)
    if control is None:
        return float("nan")
    runs, other = (scores.metric.sign * _runs(section, scores, i) for i in (row, control))
    if not (np.isfinite(runs).all() and np.isfinite(other).all()):
        return float("nan")
    return float(probability_of_improvement(runs, other))
