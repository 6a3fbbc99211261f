"""Spearman's rank correlation."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.dialects import pearson

_PEARSON = pearson()


def spearman(x: NDArray[Any], y: NDArray[Any]) -> Float[NDArray[np.float64], "..."]:
    """Of each pair of vectors (..., N), mid-ranks for ties; NaN where either side is constant."""
    return correlation(mid_ranks(x), mid_ranks(y))


def correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> Float[NDArray[np.float64], "..."]:
    """Of vectors (..., N) that are ranks already."""
    return np.asarray(_PEARSON(x, y))


def mid_ranks(x: NDArray[Any]) -> NDArray[np.float64]:
    """The rank from 1 of each value in its vector (..., N); equal values share the mean of theirs."""
    order, places = np.argsort(x, axis=-1), np.arange(x.shape[-1])
    ordered = np.take_along_axis(x, order, axis=-1)
    differs = ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*x.shape[:-1], 1), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), places, 0), axis=-1)
    last = np.where(np.concatenate([differs, edge], axis=-1), places, x.shape[-1])
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(x.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=-1)
    return ranks
