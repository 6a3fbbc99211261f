"""Spearman's rank correlation of many pairs of vectors at once.

Dimension legend: B vectors, N elements of each.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.metrics.definitions import SMALLEST_SPREAD
from qamoe_bench.shapes import Float, Shaped
from qamoe_bench.statistics.arrays import Values


def spearman(x: NDArray[Any], y: NDArray[Any]) -> Float[Values, "..."]:
    """Spearman's ρ of each pair of vectors (..., N), with mid-ranks for ties; NaN where either is constant."""
    return correlation(mid_ranks(x), mid_ranks(y))


def correlation(x: Float[Values, "... N"], y: Float[Values, "... N"]) -> Float[Values, "..."]:
    """Spearman's ρ of vectors (..., N) that are mid-ranks already: the Pearson correlation of ranks."""
    mean = (x.shape[-1] + 1) / 2  # of mid-ranks, with or without ties
    a = x - mean
    b = y - mean
    # Unlike (a * b).sum(-1), einsum makes no temporary array of the size of the input.
    products = np.einsum("...n,...n->...", a, b)
    squares_x = np.einsum("...n,...n->...", a, a)
    squares_y = np.einsum("...n,...n->...", b, b)
    scale = np.sqrt(squares_x * squares_y)
    return np.asarray(products / np.where(scale == 0, np.nan, scale))


def _without_rounding(vectors: Shaped[NDArray[Any], "B N"]) -> Shaped[NDArray[Any], "B N"]:
    """Vectors with zeros in place of values that are equal up to rounding."""
    largest = np.abs(vectors).max(-1)
    is_constant = np.ptp(vectors, axis=-1) <= SMALLEST_SPREAD * largest
    return np.where(is_constant[:, None], 0, vectors) if is_constant.any() else vectors


def mid_ranks(x: NDArray[Any]) -> Float[Values, "... N"]:
    """The rank, from 1, of each value in its vector (..., N); equal values share the mean of their ranks.

    All values of a vector that differ by rounding only are equal, see `SMALLEST_SPREAD` of the metrics.
    """
    vectors = _without_rounding(x.reshape(-1, x.shape[-1]))  # (B, N)
    # All vectors are ranked as one long vector, in which the elements of vector b start at b·N.
    offsets = np.arange(len(vectors))[:, None] * x.shape[-1]  # (B, 1)
    order = (np.argsort(vectors, axis=-1) + offsets).ravel()  # (B·N)
    ordered = vectors.ravel()[order].reshape(vectors.shape)  # (B, N)
    # Runs of equal values; each vector starts one.
    starts = np.ones(vectors.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=x.size)
    # The ranks first + 1 … first + length have the mean first + (length + 1) / 2.
    ranks = np.empty(vectors.shape)
    ranks.ravel()[order] = np.repeat(first + (lengths + 1) / 2, lengths)
    return np.asarray((ranks - offsets).reshape(x.shape))
