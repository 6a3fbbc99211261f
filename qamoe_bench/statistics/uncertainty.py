"""Quality of predicted uncertainty: likelihood, ranking and calibration against the observed errors.

All functions take errors y − ŷ and variances σ² of shape (..., N), and read σ² as that of a normal distribution
around ŷ. Those that only rank also take other errors and scores of uncertainty, such as the predictive entropy.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values

Errors = Float[Values, "... N"]


def gaussian_nll(error: Errors, variance: Errors) -> Float[Values, "..."]:
    """Mean negative log-likelihood −ln N(y; ŷ, σ²), in nats."""
    return np.asarray(0.5 * (math.log(2 * math.pi) + np.log(variance) + error**2 / variance).mean(-1))


def ause(error: Errors, variance: Errors) -> Float[Values, "..."]:
    """Area under the sparsification error (Ilg et al., ECCV 2018), in units of the mean absolute error.

    The sparsification curve is the mean |error| of the samples that remain when the most uncertain ones are removed
    one by one; the area is that between it and the curve of samples removed by their true |error|. 0 is perfect; with
    an uninformative variance the curve is flat.
    """
    size = np.abs(error)
    by_variance = np.take_along_axis(size, np.argsort(variance, axis=-1, kind="stable"), axis=-1)
    by_error = np.sort(size, axis=-1)
    gap = _running_mean(by_variance) - _running_mean(by_error)
    return np.asarray(gap.mean(-1) / size.mean(-1))


def risk_coverage(wrong: Errors, uncertain: Errors) -> Float[Values, "..."]:
    """Area under the risk–coverage curve (Geifman, Uziel and El-Yaniv, ICLR 2019).

    The risk at a coverage of n samples is the mean error of the n least uncertain ones.

    Args:
        wrong: 1 where a decision is wrong and 0 where it is right, or any other error.
        uncertain: A score that is higher for less certain decisions.
    """
    ordered = np.take_along_axis(wrong, np.argsort(uncertain, axis=-1, kind="stable"), axis=-1)
    return np.asarray(_running_mean(ordered).mean(-1))


def _running_mean(ordered: Errors) -> Errors:
    """Mean of the first n values, for n = 1 … N."""
    means: Values = ordered.cumsum(-1) / np.arange(1, ordered.shape[-1] + 1)
    return means


def coverage(error: Errors, variance: Errors, levels: Sequence[float]) -> Float[Values, "... L"]:
    """Calibration curve: share of labels inside the central interval of each level; the levels if calibrated."""
    quantiles = ndtri((1 + np.asarray(levels)) / 2)
    standardised = np.abs(error) / np.sqrt(variance)
    covered = [(standardised <= z).mean(-1) for z in quantiles]
    return np.stack(covered, axis=-1)
