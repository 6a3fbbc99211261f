"""Definitions of metrics of probabilities: likelihood, Brier score, calibration error and area under the ROC curve.

Predictions are log-probabilities (..., N, C), of classes or of labels that each may hold; see `class_definitions`.

Probabilities of exactly 0 and 1 have finite values everywhere: a log-probability below `LEAST` counts as `LEAST`.

Dimension legend: N samples, C classes or labels, Q questions per sample: 1, or C where any of C labels may hold.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.metrics.class_definitions import Terms, mean_where, predicted_class, predicted_labels, true_labels
from qamoe_bench.metrics.definitions import Array, Definition, Labels, Numbers, everyone, quotient
from qamoe_bench.metrics.probabilities import log_complement
from qamoe_bench.shapes import Bool, Float, Shaped

LEAST = float(np.log(np.finfo(np.float64).smallest_subnormal))
"""The logarithm of the smallest number above 0, −744.4. scikit-learn's `log_loss` clips at log 2.2e-16 = −36.0 instead;
log-probabilities that a network computes lie below that where it is confident and wrong."""
BINS = 15
"""Of the calibration error, as Guo et al. have it (On calibration of modern neural networks, ICML 2017)."""


# Of one of several classes


def negative_log_likelihood() -> Definition:
    """Mean −log p of the true class, in nats, as `log_loss`."""

    def terms(p: Array, y: Labels) -> Terms:
        return -np.maximum(_of_true_class(p, y), LEAST), everyone(y)

    return Definition(terms, quotient)


def brier_score() -> Definition:
    """Mean over samples of Σ_c (p_c − [c is true])², from 0 to 2: the sum over all classes, as Brier defined it.

    It is `brier_score_loss` with `scale_by_half=False`; of two classes it is twice the mean (p − y)² of one of them.
    """

    def terms(p: Array, y: Labels) -> Terms:
        probability = np.exp(p)
        squares = np.einsum("...c,...c->...", probability, probability)
        return squares - 2 * _of_true_class(probability, y) + 1, everyone(y)

    return Definition(terms, quotient)


def calibration_error(bins: int = BINS) -> Definition:
    """The expected calibration error: Σ_b (n_b/N)·|accuracy_b − mean confidence_b|.

    The confidence is the probability of the most probable class. Bins are equally wide and include their upper edge.
    The error of finitely many samples is above 0 even for exact probabilities, and falls with their number.
    """

    def terms(p: Array, y: Labels) -> Terms:
        right = predicted_class(p) == y
        return _gaps(np.exp(p.max(-1))[..., None], right[..., None], bins)

    return Definition(terms, _mean_gap)


def area_under_roc() -> Definition:
    """The area under the ROC curve: the share of pairs in which the true sample has the higher probability.

    Equal probabilities count half. Of two classes it is that of the second, as `roc_auc_score`; of more the mean over
    those that occur, each against all others, as `roc_auc_score(multi_class="ovr")`.

    It is no function of sums over samples. The terms are the placements of DeLong et al. (Biometrics 1988): the share
    of samples of the other kind that a sample is rightly above or below. Over all samples the value is exact. Over a
    resample it is accurate to first order, with an error of the order of 1/√(n₊·n₋) for n₊ true and n₋ other samples,
    against a standard deviation of the order of 1/√min(n₊, n₋). Over a part of the samples that is chosen by their
    predictions it means nothing.
    """

    def terms(p: Array, y: Labels) -> Terms:
        classes = p.shape[-1]
        which = (1,) if classes == 2 else range(classes)
        return [term for c in which for term in _placement_terms(p[..., c], y == c)]

    return Definition(terms, _mean_area, is_additive=False)


# Of any of several labels


def label_negative_log_likelihood() -> Definition:
    """Mean −log p of what is true of each label, in nats, over labels and samples: the binary cross-entropy."""

    def terms(p: Array, y: Labels) -> Terms:
        true = true_labels(y, p.shape[-1])
        return -np.maximum(np.where(true, p, log_complement(np.asarray(p, np.float64))), LEAST).mean(-1), everyone(y)

    return Definition(terms, quotient)


def label_brier_score() -> Definition:
    """Mean (p − y)² over labels and samples, from 0 to 1; y is 1 where a label holds and 0 elsewhere."""

    def terms(p: Array, y: Labels) -> Terms:
        return np.square(np.exp(p) - true_labels(y, p.shape[-1])).mean(-1), everyone(y)

    return Definition(terms, quotient)


def label_calibration_error(bins: int = BINS) -> Definition:
    """As `calibration_error`, over all labels and samples; the confidence is that of the more probable answer."""

    def terms(p: Array, y: Labels) -> Terms:
        probability = np.exp(p)
        right = predicted_labels(p) == true_labels(y, p.shape[-1])
        return _gaps(np.maximum(probability, 1 - probability), right, bins)

    return Definition(terms, _mean_gap)


def label_area_under_roc() -> Definition:
    """As `area_under_roc`, of each label; mean over the labels that hold for some samples and not for others."""

    def terms(p: Array, y: Labels) -> Terms:
        true = true_labels(y, p.shape[-1])
        return [term for c in range(p.shape[-1]) for term in _placement_terms(p[..., c], true[:, c])]

    return Definition(terms, _mean_area, is_additive=False)


# Parts of them


def _of_true_class(values: Array, y: Labels) -> Float[Array, "... N"]:
    """The value (..., N, C) of the true class of each sample."""
    return values[..., np.arange(len(y)), y.astype(np.int64)]


def _gaps(confidence: Float[Array, "... N Q"], right: Bool[NDArray[Any], "... N Q"], bins: int) -> Terms:
    """The number of questions of each sample; then, by bin, the sum of being right (1 or 0) minus the confidence."""
    gap = right - confidence
    # Of bins that include their upper edge; a confidence above 1 by rounding lies in the last one.
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    questions = np.full(confidence.shape[-2], float(confidence.shape[-1]))
    return [questions, *(np.where(place == b, gap, 0.0).sum(-1) for b in range(bins))]


def _mean_gap(questions: Numbers, *gaps: Numbers) -> Array:
    return quotient(np.asarray(sum(np.abs(gap) for gap in gaps)), questions)


def _placement_terms(score: Float[Array, "... N"], true: Bool[NDArray[np.bool_], " N"]) -> Terms:
    """Which samples are true; of them and of all others, the placements minus half of their mean.

    The two kinds have the same mean, the area of all samples. With A/2 taken from each, the sum of the means of a
    resample is v₊ + v₋ − A: the area and its first-order change.
    """
    placement = _placements(score, true)
    area = placement[..., true].sum(-1, keepdims=True) / max(true.sum(), 1)
    centred = placement - area / 2
    return true, ~true, np.where(true, centred, 0.0), np.where(true, 0.0, centred)


def _placements(score: Float[Array, "... N"], true: Bool[NDArray[np.bool_], " N"]) -> Float[Array, "... N"]:
    """The share of the samples of the other kind that each true sample is above, or that each other one is below."""
    flat = score.reshape(-1, score.shape[-1])
    placements = np.zeros(flat.shape)
    for row, placed in zip(flat, placements, strict=True):
        placed[true] = _share_below(row[true], row[~true])
        placed[~true] = 1 - _share_below(row[~true], row[true])
    return placements.reshape(score.shape)


def _share_below(values: Shaped[Array, " A"], others: Shaped[Array, " B"]) -> Float[Array, " A"]:
    """The share of the others that each value is above; equal ones count half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return below / (2 * max(len(others), 1))


def _mean_area(*sums: Numbers) -> Array:
    """The mean area over the classes for which it is defined, from four sums of each."""
    areas = []
    for first in range(0, len(sums), 4):
        true, other, of_true, of_other = sums[first : first + 4]
        # A resample may exceed the range by the error of the first order.
        areas.append(np.clip(quotient(of_true, true) + quotient(of_other, other), 0, 1))
    return mean_where(areas, [np.asarray(np.isfinite(area)) for area in areas])
