"""Quantiles of the normal distribution and of Student's.

SciPy is imported when the first one is needed: that takes as long as importing NumPy twice, and a check of results that
are equal to their reference needs none.
"""

import numpy as np

from qamoe_bench.statistics.arrays import Values


def normal_quantile(probability: float | Values) -> Values:
    """The value that a standard normal variable stays below with this probability."""
    from scipy.special import ndtri

    return np.asarray(ndtri(probability), np.float64)


def student_quantile(freedom: float | Values, probability: float | Values) -> Values:
    """The same of Student's distribution; `freedom` and `probability` are broadcast."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, probability), np.float64)
