"""Aggregates over few runs, as recommended by rliable (Agarwal et al., NeurIPS 2021), instead of a single mean.

Runs are seeds, tasks are conditions. All functions take scores whose last two axes are S seeds and C conditions;
higher is better.
"""

import numpy as np

from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values

RunScores = Float[Values, "*more S C"]
OtherRunScores = Float[Values, "*more Z C"]


def interquartile_mean(scores: RunScores) -> Float[Values, "*more"]:
    """Mean of the middle half of all runs: a quarter is cut at each end, rounded down."""
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)  # (*more, S·C)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(-1))


def probability_of_improvement(x: RunScores, y: OtherRunScores) -> Float[Values, "*more"]:
    """P(a run of x scores higher than one of y), ties count half: Mann–Whitney U / (S·Z), mean over conditions."""
    a = x[..., :, None, :]  # (*more, S, 1, C)
    b = y[..., None, :, :]  # (*more, 1, Z, C)
    return np.asarray(((a > b) + 0.5 * (a == b)).mean((-3, -2, -1)))


def performance_profile(scores: RunScores, thresholds: Float[Values, " T"]) -> Float[Values, "*more T"]:
    """Share of runs that score higher than each threshold, (*more, T)."""
    return np.asarray((scores[..., None] > thresholds).mean((-3, -2)))
