"""Aggregates over runs, in the manner of rliable (Agarwal et al., NeurIPS 2021): few runs, no single mean.

Runs are seeds, tasks are conditions. All take scores whose last two axes are S seeds and C conditions; higher is
better.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Scores = Float[NDArray[np.float64], "*more S C"]
Others = Float[NDArray[np.float64], "*more Z C"]


def interquartile_mean(scores: Scores) -> Float[NDArray[np.float64], "*more"]:
    """Mean of the middle half of all runs: a quarter is cut at each end, rounded down."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(-1))


def probability_of_improvement(x: Scores, y: Others) -> Float[NDArray[np.float64], "*more"]:
    """P(a run of x scores more than one of y), ties half, mean over conditions: Mann and Whitney's U over S·Z."""
    a, b = x[..., :, None, :], y[..., None, :, :]
    return np.asarray(((a > b) + 0.5 * (a == b)).mean((-3, -2, -1)))


def performance_profile(scores: Scores, thresholds: Float[NDArray[np.float64], " T"]) -> NDArray[np.float64]:
    """Share of runs that score more than each threshold, (*more, T)."""
    return np.asarray((scores[..., None] > thresholds).mean((-3, -2)))
