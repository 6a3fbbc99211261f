"""Spearman's rank correlation."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def spearman(x: NDArray[Any], y: NDArray[Any]) -> Float[NDArray[np.float64], "..."]:
    """Of each pair of vectors (..., N), mid-ranks for ties; NaN where either side is constant."""
    return correlation(mid_ranks(x), mid_ranks(y))


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> Float[NDArray[np.float64], "..."]:
    """Of vectors (..., N) that are mid-ranks already."""
    middle = (x.shape[-1] + 1) / 2
    a, b = x - middle, y - middle
    both, of_x, of_y = (np.einsum("...n,...n->...", *pair) for pair in ((a, b), (a, a), (b, b)))
    size = np.sqrt(of_x * of_y)
    return np.asarray(both / np.where(size == 0, np.nan, size))


def mid_ranks(x: NDArray[Any]) -> NDArray[np.float64]:
    """The rank from 1 of each value in its vector (..., N); equal values share the mean of theirs."""
    vectors = x.reshape(-1, x.shape[-1])
    ahead = np.arange(len(vectors))[:, None] * x.shape[-1]  # of each vector, where all are one behind the other
    order = (np.argsort(vectors, axis=-1) + ahead).ravel()
    ordered = vectors.ravel()[order].reshape(vectors.shape)
    starts = np.ones(vectors.shape, bool)  # of runs of equal values
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=x.size)
    ranks = np.empty(vectors.shape)
    ranks.ravel()[order] = np.repeat(first + (lengths + 1) / 2, lengths)
    return np.asarray((ranks - ahead).reshape(x.shape))
