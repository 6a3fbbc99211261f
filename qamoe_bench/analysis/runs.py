"""Statistics across runs, where every seed at every level is a run: aggregates for few runs (rliable).

Dimension legend: M rows, S seeds, C conditions, T thresholds.
"""

import numpy as np

from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.aggregates import interquartile_mean, performance_profile, probability_of_improvement
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.store.cell import ORACLE

THRESHOLDS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the way from `mean` to the oracle, for performance profiles."""


def interquartile_means(section: Section, scores: Scores) -> list[float]:
    """The interquartile mean of each row; NaN where one of its runs has no value."""
    return [float(interquartile_mean(_runs(section, scores, i))) for i in range(len(section.rows))]


def improvement_probabilities(section: Section, scores: Scores) -> list[float]:
    """The probability that a run of a row is better than one of its control, for each row; NaN where undefined."""
    return [_improvement_probability(section, scores, i) for i in range(len(section.rows))]


def oracle_profile(section: Section, scores: Scores) -> Float[Values, "M T"] | None:
    """Share of runs beyond each threshold of the way from `mean` to the oracle; None unless both are rows."""
    mean = section.find(MEAN)
    oracle = section.find(ORACLE)
    if mean is None or oracle is None:
        return None
    start = scores.values[mean]  # (S, C)
    end = scores.values[oracle]  # (S, C)
    reached = (scores.values - start) / np.where(end == start, np.nan, end - start)  # (M, S, C)
    thresholds = np.array(THRESHOLDS)
    profiles = []
    for i, row in enumerate(section.rows):
        profiles.append(performance_profile(reached[i, section.seed_indices(row)], thresholds))
    return np.stack(profiles)


def _runs(section: Section, scores: Scores, row: int) -> Float[Values, "S C"]:
    """The values of a row's own seeds."""
    return scores.values[row, section.seed_indices(section.rows[row])]


def _improvement_probability(section: Section, scores: Scores, row: int) -> float:
    control = section.control_of(row)
    if control is None:
        return float("nan")
    own_runs = scores.metric.sign * _runs(section, scores, row)
    control_runs = scores.metric.sign * _runs(section, scores, control)
    if not (np.isfinite(own_runs).all() and np.isfinite(control_runs).all()):
        return float("nan")
    return float(probability_of_improvement(own_runs, control_runs))
