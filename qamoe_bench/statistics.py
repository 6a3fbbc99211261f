"""Intervals by resampling: what a difference would be with other seeds and other test samples."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.seeding import stream

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends lie on the same side of zero."""
        return self.low > 0 or self.high < 0


def two_level_interval(values: Float[NDArray[np.float64], "S N"]) -> Interval:
    """The mean over seeds and samples with its percentile interval, both resampled (bootstrap on two crossed factors).

    Every seed meets the same test samples, so a resample draws S seeds and N samples, with replacement and
    independently, and takes the mean of all their pairs. It covers both the chance of training and the choice of test
    samples; with few seeds the first is known poorly, and with one seed it is not covered at all. The resamples are
    always the same ones.
    """
    seeds, samples = values.shape
    draws = stream("two-level-interval", seeds, samples)
    of_seeds = draws.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds  # (R, S)
    of_samples = draws.multinomial(samples, np.full(samples, 1 / samples), RESAMPLES) / samples  # (R, N)
    means = np.einsum("rn,rn->r", of_seeds @ values, of_samples)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))
