"""Confidence intervals of a mean over seeds, when both the seeds and the test samples are random.

Every seed is evaluated on the same test samples, so the two are crossed factors. A value v_s per seed, and its
bootstrap resamples over samples v_rs (the same resamples for every seed), give three variances of the mean over S
seeds:

    of_seeds    Var_s(v_s) / S                    other trainings and other draws of the corruption
    of_samples  Var_r(mean_s v_rs)                other test samples
    both        the interaction of seeds and samples, which each of these contains once

and the variance of the mean is of_seeds + of_samples − both (two-way clustering: Cameron, Gelbach, Miller 2011). `both`
follows from Var_r(v_rs) within seeds: it is the part that averaging over seeds reduces.

The first variance is estimated from few seeds, so it is multiplied by the quantile t of Student's distribution. The
rest is multiplied by the normal quantile z if the test samples are independent; if they come in few clusters, such as
videos, by Student's quantile too, with one degree of freedom less than there are clusters:

    half-width = √(t² · of_seeds + z² · (of_samples − both))

which has at least nominal coverage for any mix of the three (simulated in tests/statistics). With one seed, the
interval covers the variance over samples only.

Dimension legend: R resamples, S seeds, M contestants, P pairs; all functions keep any further axes.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.quantiles import normal_quantile, student_quantile

LEVEL = 0.95
POWER = 0.8
SMALLEST = 1e-12
"""The smallest p-value that is computed; smaller ones are reported as this."""
BISECTIONS = 30
"""Halvings of the range of log p, which leave a relative error of p below 3e-8."""


@dataclass(frozen=True)
class Estimate:
    """Means over seeds with their variances; all fields are arrays of one shape.

    Attributes:
        value: The mean over seeds; NaN where no seed has a value.
        of_seeds: Its variance over the choice of seeds; 0 with one seed, where it cannot be estimated.
        of_samples: Its variance over the choice of test samples.
        both: The variance from the interaction of seeds and samples, contained in each of the two.
        freedom: Degrees of freedom of `of_seeds`; at least 1.
        sample_freedom: Degrees of freedom of `of_samples`; infinite if the samples are independent.
    """

    value: Values
    of_seeds: Values
    of_samples: Values
    both: Values
    freedom: Values
    sample_freedom: float = math.inf

    @property
    def error(self) -> Values:
        """Standard error."""
        return np.asarray(np.sqrt(self.of_seeds + self._of_samples_alone))

    def interval(self, alpha: float | Values = 1 - LEVEL) -> tuple[Values, Values]:
        """Ends of the two-sided confidence interval at level 1 − alpha."""
        if isinstance(alpha, float) and alpha == 1 - LEVEL:
            return self._usual_interval
        return self._interval(alpha)

    @cached_property
    def _usual_interval(self) -> tuple[Values, Values]:
        """The interval at the usual level, which many tables and charts show."""
        return self._interval(1 - LEVEL)

    def _interval(self, alpha: float | Values) -> tuple[Values, Values]:
        half_width = self._half_width(alpha / 2)
        return np.asarray(self.value - half_width), np.asarray(self.value + half_width)

    def two_sided(self) -> Values:
        """The p-value of the hypothesis that the true value is 0."""
        return np.asarray(np.minimum(2 * self._tail(np.abs(self.value)), 1.0))

    def above(self, margin: float | Values) -> Values:
        """The one-sided p-value of "the true value is at most the margin"; small where it is significantly larger."""
        distance = self.value - margin
        tail = self._tail(np.abs(distance))
        return np.where(distance >= 0, tail, 1 - tail)

    def excludes_zero(self, alpha: float | Values) -> NDArray[np.bool_]:
        """Whether the interval at level 1 − alpha excludes 0, which is where `two_sided` is at most alpha."""
        distance = np.abs(self.value)
        return np.asarray((distance > 0) & (distance >= self._half_width(alpha / 2)))

    def detectable(self, alpha: float = 1 - LEVEL, power: float = POWER) -> Values:
        """The smallest true value that a two-sided test at alpha detects with this power."""
        return np.asarray(self._half_width(alpha / 2) + self._half_width(1 - power))

    @property
    def _of_samples_alone(self) -> Values:
        """The variance over samples that `of_seeds` does not contain."""
        return np.asarray(np.maximum(self.of_samples - self.both, 0))

    def _half_width(self, tail: float | Values) -> Values:
        """The distance from the value that the true value exceeds, to one side, with this probability."""
        # Student's quantile is expensive, and the degrees of freedom are nearly always equal.
        first = self.freedom.flat[0]
        freedom = first if (self.freedom == first).all() else self.freedom
        t = student_quantile(freedom, 1 - tail)
        z = (
            normal_quantile(1 - tail)
            if math.isinf(self.sample_freedom)
            else student_quantile(self.sample_freedom, 1 - tail)
        )
        return np.asarray(np.sqrt(t**2 * self.of_seeds + z**2 * self._of_samples_alone))

    def _tail(self, distance: float | Values) -> Values:
        """The inverse of `_half_width`: the tail probability of a distance, at most 1/2.

        The mix of Student's and the normal quantile has no closed inverse, so log p is bisected between `SMALLEST` and
        1/2.
        """
        low = np.full(np.shape(distance), np.log(SMALLEST))
        high = np.full(np.shape(distance), np.log(0.5))
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            is_larger = self._half_width(np.exp(middle)) > distance  # the half-width falls as the tail grows
            low = np.where(is_larger, middle, low)
            high = np.where(is_larger, high, middle)
        tail = np.where(distance == 0, 0.5, np.exp(high))
        return np.where(np.isfinite(distance), tail, np.nan)


def estimate(values: Float[Values, "S ..."], resampled: Float[Values, "R S ..."], sample_freedom: float) -> Estimate:
    """The mean over seeds with its variances.

    Args:
        values: One value per seed; seeds without one (NaN) are left out.
        resampled: The same of every bootstrap resample; undefined ones (NaN) are left out.
        sample_freedom: Degrees of freedom of a variance over resamples.
    """
    known = np.isfinite(values)
    # The fast path: nearly always everything is defined, and `resampled` is large. A sum is finite only if all are.
    if known.all() and np.isfinite(resampled.sum()):
        of_samples = _resampling_variance(resampled.mean(1))
        within = np.asarray(_resampling_variance(resampled).mean(0))
        return _from_variances(values, of_samples, within, sample_freedom)
    is_defined = np.isfinite(resampled) & known
    averaged = _mean(resampled, is_defined, 1)  # (R, ...)
    of_samples = _variance(averaged, np.isfinite(averaged), 0)
    within = _mean(_variance(resampled, is_defined, 0), known, 0)
    return _from_variances(values, of_samples, within, sample_freedom)


def _from_variances(
    values: Float[Values, "S ..."], of_samples: Values, within: Values, sample_freedom: float
) -> Estimate:
    """An estimate from its values and two variances over resamples.

    Args:
        values: One value per seed, NaN where there is none.
        of_samples: Of the mean over seeds.
        within: Of each seed's value, averaged over seeds.
        sample_freedom: Degrees of freedom of the two.
    """
    known = np.isfinite(values)
    seeds = known.sum(0)
    is_several = seeds > 1
    of_seeds = np.where(is_several, _variance(values, known, 0) / np.maximum(seeds - 1, 1), 0.0)
    # of_samples = b + c/S and within = b + c, where c/S is the interaction; solved for c/S.
    interaction = np.maximum(within - of_samples, 0) / np.maximum(seeds - 1, 1)
    # An estimate may exceed what contains it by chance.
    both = np.where(is_several, np.minimum(interaction, np.minimum(of_seeds, of_samples)), 0.0)
    freedom = np.asarray(np.maximum(seeds - 1, 1), np.float64)
    return Estimate(_mean(values, known, 0), of_seeds, of_samples, both, freedom, sample_freedom)


def differences(
    values: Float[Values, "M S ..."],
    resampled: Float[Values, "R M S ..."],
    pairs: list[tuple[int, int]],
    trained: NDArray[np.bool_],
    sample_freedom: float,
) -> Estimate:
    """The first contestant of each pair minus the second, on the same seeds and samples; pairs are the first axis.

    The variance of one difference over three seeds is poorly estimated, so it is pooled: a difference's variance over
    seeds is the larger of its own and that of the table's average pair, with the degrees of freedom of the table,
    (M − 1)(S − 1).

    Args:
        values: Of every contestant and seed.
        resampled: The same of every bootstrap resample.
        pairs: Indices of contestants.
        trained: (M); only trained contestants with a value everywhere are pooled.
        sample_freedom: Degrees of freedom of a variance over resamples.
    """
    first = [i for i, _ in pairs]
    second = [j for _, j in pairs]
    unpooled = _unpooled_differences(values, resampled, first, second, sample_freedom)
    is_pooled = trained & np.isfinite(values).reshape(len(values), -1).all(1)  # (M)
    count = int(is_pooled.sum())
    seeds = values.shape[1]
    if count < 2 or seeds < 2:
        return unpooled
    # The interaction of contestants and seeds, as residuals of a two-way table (analysis of variance).
    kept = values[is_pooled]
    residual = kept - kept.mean(0) - kept.mean(1, keepdims=True) + kept.mean((0, 1))
    freedom = (count - 1) * (seeds - 1)
    average = 2 * (residual**2).sum((0, 1)) / freedom / seeds  # 2: a difference has the variance of two contestants
    is_any_trained = (trained[first] | trained[second]).reshape(-1, *[1] * (unpooled.value.ndim - 1))  # (P, 1 ...)
    return replace(
        unpooled,
        of_seeds=np.where(is_any_trained, np.maximum(unpooled.of_seeds, average), unpooled.of_seeds),
        freedom=np.where(is_any_trained, freedom, unpooled.freedom),
    )


def _unpooled_differences(
    values: Float[Values, "M S ..."],
    resampled: Float[Values, "R M S ..."],
    first: list[int],
    second: list[int],
    sample_freedom: float,
) -> Estimate:
    """Paired differences, each with its own variance over seeds."""
    # One contestant whose metric is undefined somewhere, such as a correlation of constants, slows down its pairs only.
    is_defined = _is_finite(values) & _is_finite(resampled.sum(0))  # (M)
    is_fast = is_defined[first] & is_defined[second]  # (P)
    parts = []
    for selected, compute in ((is_fast, _by_covariances), (~is_fast, _by_differences)):
        if selected.any():
            places = np.flatnonzero(selected)
            pairs = [first[p] for p in places], [second[p] for p in places]
            parts.append((selected, compute(values, resampled, *pairs, sample_freedom)))
    if len(parts) == 1:
        return parts[0][1]
    joined = {}
    for name in ("value", "of_seeds", "of_samples", "both", "freedom"):
        joined[name] = np.empty((len(first), *values.shape[2:]))
        for selected, part in parts:
            joined[name][selected] = getattr(part, name)
    return Estimate(**joined, sample_freedom=sample_freedom)


def _is_finite(x: Float[Values, "M ..."]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(x).reshape(len(x), -1).all(1))


def _by_covariances(
    values: Float[Values, "M S ..."],
    resampled: Float[Values, "R M S ..."],
    first: list[int],
    second: list[int],
    sample_freedom: float,
) -> Estimate:
    """Differences of contestants that are defined everywhere: covariances replace the differences of all pairs."""
    of_samples = _variances_of_pairs(resampled.mean(2), first, second)
    by_seed = [_variances_of_pairs(resampled[:, :, s], first, second) for s in range(values.shape[1])]
    gaps = np.moveaxis(values[first] - values[second], 0, 1)  # (S, P, ...)
    return _from_variances(gaps, of_samples, np.mean(by_seed, axis=0), sample_freedom)


def _by_differences(
    values: Float[Values, "M S ..."],
    resampled: Float[Values, "R M S ..."],
    first: list[int],
    second: list[int],
    sample_freedom: float,
) -> Estimate:
    """Differences of any contestants, over the seeds and resamples in which both are defined."""
    gaps = np.moveaxis(values[first] - values[second], 0, 1)  # (S, P, ...)
    gaps_resampled = np.moveaxis(resampled[:, first] - resampled[:, second], 1, 2)  # (R, S, P, ...)
    return estimate(gaps, gaps_resampled, sample_freedom)


def mean_of_defined(x: Values, axis: int = 0) -> Values:
    """The mean of the finite values along an axis; NaN where there is none."""
    return _mean(x, np.isfinite(x), axis)


def _variances_of_pairs(
    resampled: Float[Values, "R M ..."], first: list[int], second: list[int]
) -> Float[Values, "P ..."]:
    """Variance over resamples of the difference of each pair.

    It is Var(x) + Var(y) − 2 Cov(x, y); there are fewer contestants than pairs. K is the product of the further axes.
    """
    centred = np.moveaxis(resampled - resampled.mean(0), 0, -1)  # (M, ..., R)
    matrices = centred.reshape(resampled.shape[1], -1, len(resampled)).swapaxes(0, 1)  # (K, M, R)
    covariance = np.moveaxis(matrices @ matrices.swapaxes(1, 2), 0, -1) / len(resampled)  # (M, M, K)
    variance = np.einsum("mmk->mk", covariance)  # (M, K)
    total = variance[first] + variance[second]  # (P, K)
    difference = total - 2 * covariance[first, second]
    # Two equal contestants leave rounding error, which would make their difference of 0 a significant one.
    difference = np.where(difference > 1e-12 * total, difference, 0.0)
    return difference.reshape(len(first), *resampled.shape[2:])  # (P, ...)


def _mean(x: Values, known: NDArray[np.bool_], axis: int) -> Values:
    """The mean of the known values; NaN where there is none."""
    count = known.sum(axis)
    total: Values = np.where(known, x, 0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _variance(x: Values, known: NDArray[np.bool_], axis: int) -> Values:
    """Mean squared deviation of the known values, without Bessel's correction; 0 where all are equal."""
    mean = np.expand_dims(_mean(x, known, axis), axis)
    square = _mean(np.where(known, x - mean, 0) ** 2, known, axis)
    return _without_rounding(square, np.squeeze(mean, axis))


def _resampling_variance(x: Float[Values, "R ..."]) -> Float[Values, "..."]:
    """Mean squared deviation over resamples that are all finite: `_variance` without its masks."""
    mean = np.asarray(x.mean(0))
    square = x - mean
    square *= square  # in place: the array is large
    return _without_rounding(np.asarray(square.mean(0)), mean)


def _without_rounding(square: Values, mean: Values) -> Values:
    """Variances, with 0 in place of what rounding leaves of equal values."""
    return np.where(square > 1e-24 * np.maximum(mean**2, 1e-12), square, 0.0)
