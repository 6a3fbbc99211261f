"""Families of tests: significance when many tests are done at once (Holm 1979), and intervals of ranks.

Dimension legend: M tests of a family, or contestants; K families.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.shapes import Bool, Float, Int
from qamoe_bench.statistics.arrays import Values

ALPHA = 0.05


def holm_alphas(p: Float[Values, " M"], alpha: float = ALPHA) -> Float[Values, " M"]:
    """The level at which each of M tests is decided, so that the family-wise error rate is at most alpha.

    Holm (1979): the k-th smallest p-value (from 0) is compared with alpha / (M − k); after the first that is larger,
    no test is rejected. A confidence interval at the returned level excludes the margin exactly where the test is
    rejected. Tests without a p-value (NaN) do not count in M; their level is NaN.
    """
    levels = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: np.isfinite(p).sum()]  # NaN is sorted last
    steps = alpha / np.arange(len(order), 0, -1)
    failed = np.flatnonzero(p[order] > steps)
    if len(failed):
        steps[failed[0] :] = steps[failed[0]]  # this and all larger p-values are not rejected
    levels[order] = steps
    return levels


def rejected(p: Float[Values, "..."], alpha: float = ALPHA) -> Bool[NDArray[np.bool_], "..."]:
    """Which tests of one family, of any shape, Holm's procedure rejects."""
    levels = np.nan_to_num(holm_alphas(p.ravel(), alpha), nan=-1.0)  # no p-value is below a negative level
    is_rejected: NDArray[np.bool_] = p <= levels.reshape(p.shape)
    return is_rejected


def step_down(
    rejects: Callable[[Float[Values, " K"]], Bool[NDArray[np.bool_], "M K"]],
    tests: Int[NDArray[np.int64], " K"],
    alpha: float = ALPHA,
) -> Bool[NDArray[np.bool_], "M K"]:
    """The tests that Holm's procedure rejects in K families at once, without computing p-values.

    Useful where deciding tests at a level is cheaper than computing their p-values. When r of M tests are rejected,
    all tests that alpha / (M − r) rejects are too; this repeats until no test is added.

    Args:
        rejects: Maps one level per family to the tests rejected at that level; must be monotonic in the level.
        tests: M of each family.
        alpha: Family-wise error rate of each family.
    """
    rejections = rejects(alpha / np.maximum(tests, 1))
    while True:
        remaining = np.maximum(tests - rejections.sum(0), 1)
        more = rejects(alpha / remaining)
        if more.sum() <= rejections.sum():
            return rejections
        rejections = more


def rank_intervals(
    better: Bool[NDArray[np.bool_], "M M"],
) -> tuple[Int[NDArray[np.int64], " M"], Int[NDArray[np.int64], " M"]]:
    """Best and worst possible rank of each of M contestants; `better[i, j]`: i is significantly better than j."""
    return 1 + better.sum(0), len(better) - better.sum(1)
