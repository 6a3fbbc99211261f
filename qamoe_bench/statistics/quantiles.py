"""Quantiles of the normal distribution and of Student's.

Few quantiles of Student's distribution are computed here and many by SciPy, which is faster then, but whose import
takes a quarter of the time of a small report.
"""

import math
from collections.abc import Sequence

import numpy as np

from qamoe_bench.statistics.arrays import Values

FEW = 20_000
"""Probabilities times degrees of freedom of a call up to which SciPy is not imported."""
FEW_DEGREES = range(1, 101)
"""Degrees of freedom for which it is not imported; the 31 videos of MOSI's test split have 30."""

# Coefficients of the rational approximations of algorithm AS 241, from the constant term on: in q² of the distance q
# from 1/2, then in r = √(−ln tail) beyond the first and the second limit.
_CENTRE = 0.425
_FAR = 5.0
_OF_CENTRE = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
        4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
        3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
    ),
)  # fmt: skip
_OF_TAIL = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
    ),
)  # fmt: skip
_OF_FAR_TAIL = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
    ),
)  # fmt: skip


def normal_quantile(probability: float | Values) -> Values:
    """The value that a standard normal variable stays below with this probability (AS 241: Wichura, 1988).

    The relative error is about 1e-16; ±∞ at 0 and 1, NaN outside of them.
    """
    p = np.asarray(probability, np.float64).reshape(-1)
    q = p - 0.5
    quantile = np.empty_like(p)
    is_central = np.abs(q) <= _CENTRE
    if is_central.any():
        centre = q[is_central]
        quantile[is_central] = centre * _ratio(_OF_CENTRE, _CENTRE**2 - centre * centre)
    if not is_central.all():
        quantile[~is_central] = np.copysign(_far_quantile(np.minimum(p, 1 - p)[~is_central]), q[~is_central])
    return quantile.reshape(np.shape(probability))


def _far_quantile(tail: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):  # logarithms of 0 and of numbers that are no probabilities
        r = np.sqrt(-np.log(tail))
    finite = np.where(r < np.inf, r, 0)
    distance = _ratio(_OF_TAIL, finite - 1.6)
    if (finite > _FAR).any():
        distance = np.where(finite > _FAR, _ratio(_OF_FAR_TAIL, finite - _FAR), distance)
    return np.where(np.isfinite(r), distance, r)  # infinite or undefined


def _ratio(polynomials: tuple[Sequence[float], Sequence[float]], x: Values) -> Values:
    numerator, denominator = polynomials
    return np.asarray(np.polyval(numerator[::-1], x) / np.polyval(denominator[::-1], x))


def student_quantile(freedom: float | Values, probability: float | Values) -> Values:
    """The same of Student's distribution.

    Args:
        freedom: Degrees of freedom, broadcast with the probabilities.
        probability: From 0 to 1. The error of the quantile is that of a probability which is off by 2e-15.
    """
    p = np.asarray(probability, np.float64)
    degrees = set(np.ravel(freedom).tolist())  # np.unique would import masked arrays
    if not all(degree in FEW_DEGREES for degree in degrees) or sum(degrees) * p.size > FEW:
        from scipy.special import stdtrit

        return np.asarray(stdtrit(freedom, p), np.float64)
    p, v = np.broadcast_arrays(p, np.asarray(freedom, np.float64))
    distance = np.empty(p.shape)
    for degree in degrees:
        chosen = v == degree
        tail = np.minimum(p[chosen], 1 - p[chosen])
        tail[tail < 0] = np.nan
        with np.errstate(all="ignore"):  # tails of 0 and numbers that are no probabilities
            distance[chosen] = _distance(int(degree), tail)
    return np.asarray(np.copysign(distance, p - 0.5))


def _distance(degree: int, tail: Values) -> Values:
    """The distance from 0 that leaves a tail of at most 1/2 outside."""
    if degree == 1:
        return np.where(tail < 0.25, 1 / np.tan(np.pi * tail), np.tan(np.pi * (0.5 - tail)))
    if degree == 2:
        return np.asarray((1 - 2 * tail) / np.sqrt(2 * tail * (1 - tail)))
    distance = _approximate_distance(degree, tail)
    density = math.exp(math.lgamma((degree + 1) / 2) - math.lgamma(degree / 2)) / math.sqrt(degree * math.pi)
    # A step of Newton's method with the second term of the series of the inverse function: from six digits to all.
    square = distance**2
    step = (_tail_beyond(degree, distance) - tail) / (density * (1 + square / degree) ** (-(degree + 1) / 2))
    refined = distance + step * (1 + step * distance * (degree + 1) / (2 * (square + degree)))
    return np.where(tail == 0, np.inf, np.where(tail == 0.5, 0, refined))


def _tail_beyond(degree: int, distance: Values) -> Values:
    """The probability of larger values (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = np.arctan2(distance, math.sqrt(degree))
    square = np.cos(angle) ** 2
    is_odd = degree % 2
    total = np.ones_like(distance)
    # Σ of the products of (k − 1) / k · cos² up to each k, by Horner's rule.
    for k in range(degree - 2, 1, -2):
        total = 1 + total * square * (k - 1) / k
    within = np.sin(angle) * total
    if is_odd:
        within = 2 / np.pi * (angle + within * np.cos(angle))
    return np.asarray((1 - within) / 2)


def _approximate_distance(degree: int, tail: Values) -> Values:
    """The distance to about six digits, for 3 degrees of freedom or more (algorithm 396: Hill, CACM 13, 1970)."""
    a = 1 / (degree - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * degree
    power = (2 * d * tail) ** (2 / degree)
    far = 1 / (((degree + 6) / (degree * power) - 0.089 * d - 0.822) * (degree + 2) * 3) + 0.5 / (degree + 4)
    far = (far * power - 1) * (degree + 1) / (degree + 2) + 1 / power
    x = normal_quantile(tail)
    correction = c + (0.3 * (degree - 4.5) * (x + 0.6) if degree < 5 else 0)
    correction = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + correction
    near = (((((0.4 * x**2 + 6.3) * x**2 + 36) * x**2 + 94.5) / correction - x**2 - 3) / b + 1) * x
    near = np.expm1(a * near**2)
    return np.asarray(np.sqrt(degree * np.where(power > 0.05 + a, near, far)))
