"""The decisions that are best in expectation, from the posterior probabilities of the possible labels.

Both functions take the logarithm of p(s, x) for every possible label s, up to a constant per sample, and return columns
of decisions, one value per sample.

Dimension legend: N samples, S possible labels.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.vocabulary import LOG_PROBABILITY

Values = NDArray[np.float64]

Decide = Callable[[Float[Values, " S"], Float[Values, "N S"]], dict[str, Values]]
"""A function of the possible labels, ascending, and the log-joint probabilities."""


def probabilities(log_joint: Float[Values, "N S"]) -> Float[Values, "N S"]:
    """The posterior of every possible label; the probabilities of a sample sum to 1."""
    # Subtracting the maximum keeps the exponential from overflowing.
    weight = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))  # (N, S)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def scale_decisions(grid: Float[Values, " S"], log_joint: Float[Values, "N S"]) -> dict[str, Values]:
    """The optimal decision for every metric of regression, and the posterior variance.

    `prediction` is the posterior mean, `prediction_mae` the median, `prediction_acc7` and `prediction_acc5` the centre
    of the most probable class, `prediction_acc2_*` and `prediction_f1_*` the more probable sign as ±1. In `has0` the
    label 0 counts as positive, in `non0` it is ignored. Correlation and F1 are not averages over samples, so for them
    the mean and the sign are only asymptotically optimal, in large splits.
    """
    posterior = probabilities(log_joint)
    mean = posterior @ grid  # (N,)
    at_least_half = np.cumsum(posterior, axis=1) >= 0.5  # (N, S)
    has0 = _probable_sign(posterior, grid >= 0, grid < 0)
    non0 = _probable_sign(posterior, grid > 0, grid < 0)
    return {
        "prediction": mean,
        "prediction_mae": grid[np.argmax(at_least_half, axis=1)],
        "prediction_acc7": _probable_class(posterior, grid, 3),
        "prediction_acc5": _probable_class(posterior, grid, 2),
        "prediction_acc2_has0": has0,
        "prediction_f1_has0": has0,
        "prediction_acc2_non0": non0,
        "prediction_f1_non0": non0,
        "variance": ((grid - mean[:, None]) ** 2 * posterior).sum(axis=1),
    }


def class_decisions(grid: Float[Values, " S"], log_joint: Float[Values, "N S"]) -> dict[str, Values]:
    """The most probable class as `prediction`, and the logarithm of each posterior as `log_probability_<index>`.

    The most probable class is optimal for accuracy, the posterior for every proper score, such as the negative
    log-likelihood. The logarithms are computed as such and not from probabilities, so none of them is infinite however
    improbable a class is.
    """
    log_posterior = log_joint - np.logaddexp.reduce(log_joint, axis=1, keepdims=True)  # (N, S)
    columns = {"prediction": grid[np.argmax(log_posterior, axis=1)]}
    for index, values in enumerate(log_posterior.T):
        columns[f"{LOG_PROBABILITY}{index}"] = values
    return columns


def _probable_class(
    posterior: Float[NDArray[np.float64], "N S"], grid: Float[NDArray[np.float64], " S"], limit: int
) -> Float[NDArray[np.float64], " N"]:
    """The integer from -limit to limit whose class (clipped, rounded half to even) is the most probable."""
    centres = np.arange(-limit, limit + 1.0)  # (classes,)
    member = np.round(np.clip(grid, -limit, limit))[:, None] == centres  # (S, classes)
    return np.asarray(centres[np.argmax(posterior @ member, axis=1)])


def _probable_sign(
    posterior: Float[NDArray[np.float64], "N S"], positive: NDArray[np.bool_], negative: NDArray[np.bool_]
) -> Float[NDArray[np.float64], " N"]:
    """+1 if the positive labels are at least as probable as the negative ones, otherwise -1."""
    return np.where(posterior @ positive >= posterior @ negative, 1.0, -1.0)
