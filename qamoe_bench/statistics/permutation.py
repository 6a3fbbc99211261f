"""Permutation tests, and how well a score separates two groups."""

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.ranks import mid_ranks


def permutation_p(own: float, permuted: Float[Values, " K"]) -> float:
    """The p-value of the hypothesis that permuting costs nothing, (1 + b) / (1 + K).

    b counts the permutations whose error is at most the own one. It is small where the error rises under nearly every
    permutation. The smallest possible value is 1 / (1 + K).

    Args:
        own: The error without permutation, lower is better.
        permuted: The error of each permutation.
    """
    return float(1 + np.count_nonzero(permuted <= own)) / (1 + len(permuted))


def auroc(score: Float[NDArray[np.floating], " N"], positive: Bool[NDArray[np.bool_], " N"]) -> float:
    """The probability that a positive sample has a higher score than a negative one; equal scores count one half.

    NaN if all samples are of one kind.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    # Mann and Whitney's U, which is the number of pairs in which the positive sample has the higher score.
    wins = mid_ranks(score)[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))
