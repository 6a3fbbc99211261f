"""Spearman's rank correlation."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.dialects import pearson

_PEARSON = pearson()


def spearman(x: NDArray[Any], y: NDArray[Any]) -> Float[NDArray[np.float64], "..."]:
    """Of each pair of vectors (..., N), mid-ranks for ties; NaN where either side is constant."""
    return np.asarray(_PEARSON(_ranks(x), _ranks(y)))


def _ranks(x: NDArray[Any]) -> NDArray[np.float64]:
    rows = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
    return np.stack([_mid_ranks(row) for row in rows]).reshape(x.shape)


def _mid_ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = ((2 * last - counts + 1) / 2)[inverse]
    return ranks
