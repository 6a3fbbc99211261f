"""How sure a mean over seeds is, when both the seeds and the test samples could have been others.

Every seed meets the same test samples, so the two are crossed factors. A value v_s per seed, and its resamples over
samples v_rs (the same resampled samples for every seed), give three variances of the mean over S seeds:

    of_seeds    Var_s(v_s) / S                    other trainings and other draws of the corruption
    of_samples  Var_r(mean_s v_rs)                other test samples
    both        the chance that a seed has with a sample, which both of these contain once

and the variance of the mean is of_seeds + of_samples − both (two-way clustering: Cameron, Gelbach, Miller 2011). `both`
follows from Var_r(v_rs) within seeds: it is what averaging over seeds makes vanish.

The first variance rests on few seeds, so it counts with Student's t, the rest with the normal quantile z:

    half-width = √(t² · of_seeds + z² · (of_samples − both))

which covers at least as often as it says for any mix of the three (simulated in tests/test_statistics.py). With one
seed only the samples are covered.

Dimension legend: R resamples, S seeds; all functions keep any further axes.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Values = NDArray[np.float64]
LEVEL = 0.95
POWER = 0.8
SMALLEST = 1e-12
"""p-values are not told apart below this."""


@dataclass(frozen=True)
class Estimate:
    """Means over seeds with their variances; every field may be an array of many.

    Attributes:
        value: The mean over seeds; NaN where no seed has a value.
        of_seeds: Its variance from the choice of seeds; 0 with one seed, where it is not known.
        of_samples: Its variance from the choice of test samples.
        both: What both of these contain.
        freedom: Degrees of freedom of `of_seeds`; at least 1.
    """

    value: Values
    of_seeds: Values
    of_samples: Values
    both: Values
    freedom: Values

    @property
    def error(self) -> Values:
        """Standard error."""
        return np.asarray(np.sqrt(self.of_seeds + self._rest))

    def interval(self, alpha: float | Values = 1 - LEVEL) -> tuple[Values, Values]:
        """Ends of the two-sided interval that misses the truth with probability alpha at most."""
        reach = self._reach(alpha / 2)
        return np.asarray(self.value - reach), np.asarray(self.value + reach)

    def two_sided(self) -> Values:
        """The p-value of "the truth is 0"."""
        return np.asarray(np.minimum(2 * self._tail(np.abs(self.value)), 1.0))

    def above(self, margin: float | Values) -> Values:
        """The p-value of "the truth is at most the margin"; small where it is surely more."""
        distance = self.value - margin
        tail = self._tail(np.abs(distance))
        return np.where(distance >= 0, tail, 1 - tail)

    def excludes_zero(self, alpha: float | Values) -> NDArray[np.bool_]:
        """Whether the interval at alpha does: where `two_sided` is at most alpha."""
        distance = np.abs(self.value)
        return np.asarray((distance > 0) & (distance >= self._reach(alpha / 2)))

    def detectable(self, alpha: float = 1 - LEVEL, power: float = POWER) -> Values:
        """The smallest true value that a test at alpha finds with this power."""
        return np.asarray(self._reach(alpha / 2) + self._reach(1 - power))

    @property
    def _rest(self) -> Values:
        return np.asarray(np.maximum(self.of_samples - self.both, 0))

    def _reach(self, tail: float | Values) -> Values:
        """How far the truth may lie above, missed with this probability."""
        one = self.freedom.flat[0]  # which is nearly always that of all, and a quantile is not cheap
        freedom = one if (self.freedom == one).all() else self.freedom
        t, z = stdtrit(freedom, 1 - tail), ndtri(1 - tail)
        return np.asarray(np.sqrt(t**2 * self.of_seeds + z**2 * self._rest))

    def _tail(self, distance: float | Values) -> Values:
        """The probability whose reach is this distance, found by halving its logarithm's range; 1/2 at 0."""
        low, high = np.full(np.shape(distance), np.log(SMALLEST)), np.full(np.shape(distance), np.log(0.5))
        for _ in range(30):
            middle = (low + high) / 2
            near = self._reach(np.exp(middle)) > distance  # a larger tail is needed to come down to the distance
            low, high = np.where(near, middle, low), np.where(near, high, middle)
        return np.where(np.isfinite(distance), np.where(distance == 0, 0.5, np.exp(high)), np.nan)


def estimate(values: Float[Values, "S ..."], resampled: Float[Values, "R S ..."]) -> Estimate:
    """The mean over seeds; a seed without a value (NaN) is left out, as is a resample without one."""
    known = np.isfinite(values)
    if known.all() and np.isfinite(resampled.sum()):  # nearly always; and resamples are many
        return _estimate(values, _spread(resampled.mean(1)), np.asarray(_spread(resampled).mean(0)))
    there = np.isfinite(resampled) & known
    averaged = _mean(resampled, there, 1)
    of_samples = _variance(averaged, np.isfinite(averaged), 0)
    return _estimate(values, of_samples, _mean(_variance(resampled, there, 0), known, 0))


def _estimate(values: Float[Values, "S ..."], of_samples: Values, within: Values) -> Estimate:
    """From the variances of the resampled means over seeds, and of the resampled values of each seed on average."""
    known = np.isfinite(values)
    seeds = known.sum(0)
    several = seeds > 1
    of_seeds = np.where(several, _variance(values, known, 0) / np.maximum(seeds - 1, 1), 0.0)
    # of_samples = b + c/S and within = b + c, where c/S is the part that both contain.
    shared = np.maximum(within - of_samples, 0) / np.maximum(seeds - 1, 1)
    both = np.where(several, np.minimum(shared, np.minimum(of_seeds, of_samples)), 0.0)
    freedom = np.asarray(np.maximum(seeds - 1, 1), np.float64)
    return Estimate(_mean(values, known, 0), of_seeds, of_samples, both, freedom)


def differences(
    values: Float[Values, "M S ..."],
    resampled: Float[Values, "R M S ..."],
    pairs: list[tuple[int, int]],
    trained: NDArray[np.bool_],
) -> Estimate:
    """The first of each pair of contestants minus the second, on the same seeds and samples; pairs are the first axis.

    Three seeds say little of one variance, but the contestants of a table together say how much seeds matter: a
    difference's variance from seeds is the larger of its own and that of the table's average pair, with the degrees of
    freedom of the table, (M − 1)(S − 1). Only `trained` contestants that have a
    value everywhere count there.
    """
    first, second = (list(side) for side in zip(*pairs, strict=True))
    gaps = np.moveaxis(values[first] - values[second], 0, 1)  # (S, P, ...)
    if np.isfinite(gaps).all() and np.isfinite(resampled.sum(0)[sorted({*first, *second})]).all():
        averaged = _of_pairs(resampled.mean(2), first, second)
        within = np.mean([_of_pairs(resampled[:, :, s], first, second) for s in range(values.shape[1])], axis=0)
        found = _estimate(gaps, averaged, within)
    else:
        found = estimate(gaps, np.moveaxis(resampled[:, first] - resampled[:, second], 1, 2))
    whole = trained & np.isfinite(values).reshape(len(values), -1).all(1)
    count, seeds = int(whole.sum()), values.shape[1]
    if count < 2 or seeds < 2:
        return found
    kept = values[whole]
    residual = kept - kept.mean(0) - kept.mean(1, keepdims=True) + kept.mean((0, 1))
    freedom = (count - 1) * (seeds - 1)
    average = 2 * (residual**2).sum((0, 1)) / freedom / seeds
    any_trained = (trained[first] | trained[second]).reshape(-1, *[1] * (found.value.ndim - 1))
    return replace(
        found,
        of_seeds=np.where(any_trained, np.maximum(found.of_seeds, average), found.of_seeds),
        freedom=np.where(any_trained, freedom, found.freedom),
    )


def mean_of_defined(x: Values, axis: int = 0) -> Values:
    """The mean of what is defined; NaN where nothing is."""
    return _mean(x, np.isfinite(x), axis)


def _of_pairs(resampled: Float[Values, "R M ..."], first: list[int], second: list[int]) -> Float[Values, "P ..."]:
    """Variance over resamples of the difference of each pair, from covariances: pairs are many, contestants few."""
    centred = np.moveaxis(resampled - resampled.mean(0), 0, -1).reshape(resampled.shape[1], -1, len(resampled))
    each = centred.swapaxes(0, 1)  # (K, M, R)
    covariance = np.moveaxis(each @ each.swapaxes(1, 2), 0, -1) / len(resampled)  # (M, M, K)
    own = np.einsum("mmk->mk", covariance)
    both = own[first] + own[second]
    found = both - 2 * covariance[first, second]
    # What is left of two equal rows is rounding.
    return np.where(found > 1e-12 * both, found, 0.0).reshape(len(first), *resampled.shape[2:])


def _mean(x: Values, known: NDArray[np.bool_], axis: int) -> Values:
    count = known.sum(axis)
    total: Values = np.where(known, x, 0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _variance(x: Values, known: NDArray[np.bool_], axis: int) -> Values:
    """Mean squared difference from the mean, not corrected for the number; 0 where all are equal."""
    mean = np.expand_dims(_mean(x, known, axis), axis)
    square = _mean(np.where(known, x - mean, 0) ** 2, known, axis)
    return _without_rounding(square, np.squeeze(mean, axis))


def _spread(x: Float[Values, "R ..."]) -> Float[Values, "..."]:
    """The same over the first axis of values that are all known."""
    mean = np.asarray(x.mean(0))
    square = x - mean
    square *= square
    return _without_rounding(np.asarray(square.mean(0)), mean)


def _without_rounding(square: Values, mean: Values) -> Values:
    return np.where(square > 1e-24 * np.maximum(mean**2, 1e-12), square, 0.0)
