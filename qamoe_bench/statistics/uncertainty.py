"""Is a predicted variance worth anything? Likelihood, ranking and calibration of σ² against the errors made.

All take errors y − ŷ and variances σ² of shape (..., N), and read σ² as that of a normal distribution around ŷ.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import ndtri

Errors = Float[NDArray[np.float64], "... N"]


def gaussian_nll(error: Errors, variance: Errors) -> Float[NDArray[np.float64], "..."]:
    """Mean −ln N(y; ŷ, σ²), in nats."""
    return np.asarray(0.5 * (math.log(2 * math.pi) + np.log(variance) + error**2 / variance).mean(-1))


def ause(error: Errors, variance: Errors) -> Float[NDArray[np.float64], "..."]:
    """Area under the sparsification error (Ilg et al., ECCV 2018), in units of the mean absolute error.

    The curve is the mean |error| of what is left when the most uncertain samples are taken away one by one; the area
    is that between it and the curve of a variance that knows the errors. 0 is perfect; a variance that knows nothing
    leaves the curve flat.
    """
    size = np.abs(error)
    own = _left(np.take_along_axis(size, np.argsort(variance, axis=-1, kind="stable"), axis=-1))
    best = _left(np.sort(size, axis=-1))
    return np.asarray((own - best).mean(-1) / size.mean(-1))


def _left(ordered: Errors) -> Errors:
    """Mean of the first n, for n = 1 … N."""
    means: NDArray[np.float64] = ordered.cumsum(-1) / np.arange(1, ordered.shape[-1] + 1)
    return means


def coverage(error: Errors, variance: Errors, levels: Sequence[float]) -> Float[NDArray[np.float64], "... L"]:
    """Share of labels inside the central interval of each level: the calibration curve; the levels if calibrated."""
    reach = ndtri((1 + np.asarray(levels)) / 2)
    standardised = np.abs(error) / np.sqrt(variance)
    return np.stack([(standardised <= z).mean(-1) for z in reach], axis=-1)
