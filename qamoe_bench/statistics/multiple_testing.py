"""Families of tests: what is sure when many questions are asked at once (Holm 1979), and ranks with their ties."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

ALPHA = 0.05


def holm_alphas(p: Float[NDArray[np.float64], " M"], alpha: float = ALPHA) -> Float[NDArray[np.float64], " M"]:
    """The level at which each of M tests is decided, so that any false alarm at all has probability alpha at most.

    The k-th smallest p (from 0) is held against alpha / (M − k); after the first that fails, all fail. An interval at
    the level that is returned excludes the margin exactly where the test is rejected. A test without a p (NaN) is
    none: it does not count in M.
    """
    levels = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]  # NaN comes last
    steps = alpha / np.arange(len(order), 0, -1)
    failed = np.flatnonzero(p[order] > steps)
    if len(failed):
        steps[failed[0] :] = steps[failed[0]]
    levels[order] = steps
    return levels


def rejected(p: NDArray[np.float64], alpha: float = ALPHA) -> Bool[NDArray[np.bool_], "..."]:
    """Which tests of a family, of any shape, are rejected."""
    found: NDArray[np.bool_] = p <= np.nan_to_num(holm_alphas(p.ravel(), alpha), nan=-1.0).reshape(p.shape)
    return found


def step_down(
    sure: Callable[[Float[NDArray[np.float64], " K"]], Bool[NDArray[np.bool_], "M K"]],
    tests: Int[NDArray[np.int64], " K"],
    alpha: float = ALPHA,
) -> Bool[NDArray[np.bool_], "M K"]:
    """The tests that Holm rejects in K families at once, where it is cheaper to ask what a level rejects than for p.

    With r of M rejected, all that alpha / (M − r) rejects are; this goes on until there are no more.

    Args:
        sure: From a level per family to the tests that it rejects by itself; more for a larger level.
        tests: M of each family.
        alpha: Probability of any false alarm in a family.
    """
    found = sure(alpha / np.maximum(tests, 1))
    while (more := sure(alpha / np.maximum(tests - found.sum(0), 1))).sum() > found.sum():
        found = more
    return found


def rank_intervals(
    better: Bool[NDArray[np.bool_], "M M"],
) -> tuple[Int[NDArray[np.int64], " M"], Int[NDArray[np.int64], " M"]]:
    """Best and worst rank that each of M contestants may have, from `better[i, j]`: i is surely better than j."""
    return 1 + better.sum(0), len(better) - better.sum(1)
