"""Definitions of metrics as functions of sums over samples.

Because a metric depends on its samples through sums only, a metric of many conditions, or of a thousand bootstrap
resamples, is one matrix product (see `qamoe_bench.statistics.resampling`). Predictions and labels are vectors over N
samples, or arrays whose last axis is N. Sums are in float64 unless resampled.

Dimension legend: N samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.shapes import Bool

Array = NDArray[np.floating]
Labels = NDArray[np.float64]
Numbers = Array | np.floating
"""Arrays, or a single number where predictions were one vector."""
CONSTANT = 1e-12
"""Share of a sum of squares below which a variance is considered rounding error."""
SMALLEST_SPREAD = 1e-5
"""Predictions are constant if none is further from their mean than this share of the largest of them, or of the largest
deviation of a label. A network that ignores its input answers the same up to the rounding of single precision, which
sums of a few hundred numbers in another order raise from 1e-7 to 1e-6; what is left is noise and no answer."""


@dataclass(frozen=True)
class Definition:
    """A metric as a function of sums over samples.

    Attributes:
        terms: Maps predictions (..., N) and labels (N) to the terms to sum: each (..., N), or (N) where it is the
            same for all predictions. Predictions of classes are log-probabilities (..., N, C).
        value: Maps the sums, each (...) or one number, to the metric (...); NaN where it is undefined.
        is_additive: Whether the terms of a sample depend on that sample alone, apart from a common scale, so that sums
            over any part of the samples give the metric of this part. False for ranks: see `area_under_roc`.
    """

    terms: Callable[[Array, Labels], Sequence[NDArray[Any]]]
    value: Callable[..., Numbers]
    is_additive: bool = True

    def __call__(self, prediction: Array, label: Labels) -> Array:
        """The metric over all samples, (...), from predictions (..., N) and labels (N)."""
        return self.of(self.terms(prediction, label))

    def of(self, terms: Sequence[NDArray[Any]]) -> Array:
        """The metric over all samples, from terms that are computed already."""
        sums = [term.sum(-1, dtype=np.float64) for term in terms]
        return np.asarray(self.value(*sums))


Keep = Callable[[Labels], NDArray[np.bool_]]
"""Selects the samples that count, by their label."""
Classes = Callable[[Array], NDArray[Any]]
"""Maps values to classes; for binary metrics, to whether they are positive."""


# Which samples count


def everyone(label: Labels) -> Bool[NDArray[np.bool_], "... N"]:
    """Every sample counts."""
    return np.ones(label.shape, bool)


def non_zero(label: Labels) -> Bool[NDArray[np.bool_], "... N"]:
    """Samples whose label is not 0 count."""
    return np.asarray(label != 0)


def no_one(label: Labels) -> Bool[NDArray[np.bool_], "... N"]:
    """No sample counts, which leaves a metric undefined."""
    return np.zeros(label.shape, bool)


# Metrics


def accuracy(classes: Classes, keep: Keep = everyone) -> Definition:
    """Share of samples whose prediction falls into the label's class."""

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        kept = keep(y)
        return (classes(p) == classes(y)) & kept, kept

    return Definition(terms, quotient)


def mean_absolute_error(keep: Keep = everyone) -> Definition:
    """Mean |p − y|."""

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        kept = keep(y)
        return np.where(kept, np.abs(p - y), 0), kept

    return Definition(terms, quotient)


def weighted_f1(
    positive: Classes, keep: Keep = everyone, sizes: Literal["label", "prediction"] = "label"
) -> Definition:
    """Σ_c (n_c/N)·F1_c over the positive and the negative class.

    Args:
        positive: Whether a value is of the positive class.
        keep: Which samples count.
        sizes: Whether n_c counts labels (as scikit-learn does), or predictions (code that swaps the two arguments).
    """

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        predicted = positive(p)
        kept = keep(y)
        true = positive(y) & kept
        false = ~positive(y) & kept
        # The other two cells of the table follow from the labels, whose sums are the same for all predictions.
        return predicted & true, predicted & false, true, false

    def value(true_positives: Numbers, false_positives: Numbers, true: Numbers, false: Numbers) -> Numbers:
        false_negatives = true - true_positives
        true_negatives = false - false_positives
        if sizes == "prediction":
            false_positives, false_negatives = false_negatives, false_positives
        positives = true_positives + false_negatives
        negatives = true_negatives + false_positives
        errors = false_positives + false_negatives
        weighted = positives * f1_of(true_positives, errors) + negatives * f1_of(true_negatives, errors)
        return quotient(weighted, positives + negatives)

    return Definition(terms, value)


def pearson(keep: Keep = everyone) -> Definition:
    """Pearson correlation; NaN where either side is constant, because it is undefined there and not 0.

    Predictions that differ by rounding only are constant, see `SMALLEST_SPREAD`.
    """

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        kept = keep(y)
        # Correlation depends neither on location nor on scale, and sums of squares are safe without either.
        z, spread = _standardised(y, kept, 0.0)
        x, _ = _standardised(p, kept, SMALLEST_SPREAD * np.maximum(spread, _largest(p, kept)))
        return kept, x, z, x * x, z * z, x * z

    def value(n: Numbers, p: Numbers, y: Numbers, pp: Numbers, yy: Numbers, py: Numbers) -> Numbers:
        spread_p = _centred_squares(pp, p, n)
        spread_y = _centred_squares(yy, y, n)
        covariance = py - quotient(p * y, n)  # times n, as are the two spreads
        return np.asarray(np.clip(quotient(covariance, np.sqrt(spread_p * spread_y)), -1, 1))

    return Definition(terms, value)


def clipped(definition: Definition, limit: float) -> Definition:
    """The definition applied to predictions and labels that are clipped to ±limit first."""

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        return definition.terms(np.clip(p, -limit, limit), np.clip(y, -limit, limit))

    return Definition(terms, definition.value)


def quotient(a: Numbers, b: Numbers) -> Array:
    """The quotient a / b; NaN where b is 0."""
    return np.asarray(a / np.where(b == 0, np.nan, b))


def f1_of(hits: Numbers, errors: Numbers) -> Array:
    """2·hits / (2·hits + errors); 0 where there is neither, as scikit-learn's zero_division=0."""
    size = 2 * hits + errors
    return np.asarray(2 * hits / np.where(size == 0, 1, size))


def _standardised(x: Array, keep: NDArray[np.bool_], smallest: float | Array) -> tuple[Array, Array]:
    """Deviations from the mean in units of the largest one, and the largest one (..., 1).

    Deviations are 0 where a sample is not kept, and everywhere if the largest one is smaller than `smallest`, a number
    or (..., 1). Sums of squares of such values neither overflow nor cancel.
    """
    count = np.maximum(keep.sum(-1, keepdims=True), 1)
    mean = np.where(keep, x, 0).sum(-1, keepdims=True) / count  # (..., 1)
    centred = np.where(keep, x - mean, 0.0)
    largest = _largest(centred, keep)
    # Subnormal deviations are rounding; dividing by them would overflow.
    is_constant = (largest < smallest) | (largest < np.finfo(np.float64).tiny)
    return centred / np.where(is_constant, np.inf, largest), largest


def _largest(x: Array, keep: NDArray[np.bool_]) -> Array:
    """The largest absolute value that is kept, (..., 1)."""
    return np.asarray(np.abs(np.where(keep, x, 0.0)).max(-1, keepdims=True, initial=0))


def _centred_squares(square: Numbers, total: Numbers, n: Numbers) -> Array:
    """Sum of squared deviations from the mean, Σx² − (Σx)²/n; 0 where that is rounding error."""
    spread = square - quotient(total * total, n)
    return np.where(spread > CONSTANT * square, spread, 0)


# Classes of values


def at_least_zero(x: Array) -> NDArray[np.bool_]:
    """Positive from 0 on."""
    return x >= 0


def above_zero(x: Array) -> NDArray[np.bool_]:
    """Positive above 0."""
    return x > 0


def rounded(limit: float) -> Classes:
    """Clip to ±limit and round, halves to even as numpy does."""
    return lambda x: np.round(np.clip(x, -limit, limit))


def outward(x: Array) -> Array:
    """Seven classes rounded away from zero: 0 alone, then (0, 1], (1, 2], above 2, and the same below 0."""
    return np.sign(x) * np.ceil(np.abs(np.clip(x, -3, 3)))


def between(*edges: float) -> Classes:
    """Classes with their upper edge included, after clipping to ±1."""
    return lambda x: np.digitize(np.clip(x, -1, 1), edges, right=True)
