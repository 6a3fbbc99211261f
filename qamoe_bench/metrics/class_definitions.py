"""Definitions of metrics of decisions: the most probable class, or the labels that probably hold, against the truth.

As in `definitions`, a metric depends on its samples through sums only: how often each class or label is predicted, is
true, and is both. Predictions are log-probabilities (..., N, C); the label of a sample is one number, see
`qamoe_bench.vocabulary.Task`. C is the size of their last axis, so that each definition is for any number of classes.

Where scikit-learn has the metric, ours equals it with `zero_division=0`: the F1 and the precision or recall of a class
are 0 where their denominator is 0. Which classes a mean is over is said with each metric.

Dimension legend: N samples, C classes or labels.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.metrics.definitions import Array, Classes, Definition, Labels, Numbers, everyone, f1_of, quotient
from qamoe_bench.shapes import Bool, Int

Terms = Sequence[NDArray[Any]]
HALF = float(np.log(0.5))
"""A label is predicted to hold where its probability is above one half."""


class Counts(NamedTuple):
    """Of one class or label, how many samples it is predicted for, true for, and both; each (...) or one number."""

    hits: Numbers
    predicted: Numbers
    actual: Numbers

    @property
    def occurs(self) -> NDArray[np.bool_]:
        """Whether it is predicted or true for any sample."""
        return np.asarray(self.predicted + self.actual > 0)

    def f1(self) -> Array:
        """2·hits / (predicted + actual); 0 where it does not occur."""
        return f1_of(self.hits, self.predicted + self.actual - 2 * self.hits)

    def recall(self) -> Array:
        """The share of the true ones that is predicted; 0 where none is true."""
        return _share(self.hits, self.actual)

    def precision(self) -> Array:
        """The share of the predicted ones that is true; 0 where none is predicted."""
        return _share(self.hits, self.predicted)

    def complement(self, n: Numbers) -> "Counts":
        """The counts of its absence, among n samples."""
        both_absent = n - self.predicted - self.actual + self.hits
        return Counts(np.asarray(both_absent), np.asarray(n - self.predicted), np.asarray(n - self.actual))


def predicted_class(p: Array) -> Int[NDArray[np.int64], "... N"]:
    """The most probable class; of equal ones the first."""
    return np.asarray(p.argmax(-1))


def predicted_labels(p: Array) -> Bool[NDArray[np.bool_], "... N C"]:
    """The labels whose probability is above one half."""
    return np.asarray(p > HALF)


def true_labels(y: Labels, labels: int) -> Bool[NDArray[np.bool_], "N C"]:
    """Whether each of so many labels holds, from the codes of the samples."""
    return np.asarray((y.astype(np.int64)[:, None] >> np.arange(labels)) & 1 == 1)


def class_terms(p: Array, y: Labels) -> Terms:
    """One for every sample, then the counts of each class in turn."""
    return _counted(predicted_class(p), y, p.shape[-1])


def label_terms(p: Array, y: Labels) -> Terms:
    """As `class_terms`, where any of several labels may hold."""
    predicted = predicted_labels(p)
    true = true_labels(y, p.shape[-1])
    terms = [everyone(y)]
    for index in range(p.shape[-1]):
        terms += [predicted[..., index] & true[:, index], predicted[..., index], true[:, index]]
    return terms


def _counted(predicted: NDArray[Any], true: NDArray[Any], classes: int) -> Terms:
    """The terms of predicted classes (..., N) and true ones (N), both as indices below the number of classes."""
    terms = [np.ones(true.shape, bool)]
    for index in range(classes):
        is_predicted = predicted == index
        is_true = true == index
        terms += [is_predicted & is_true, is_predicted, is_true]
    return terms


Reduction = Callable[[Numbers, Sequence[Counts]], Numbers]
"""Maps the number of samples and the counts of each class or label to the metric."""


def _of_counts(terms: Callable[[Array, Labels], Terms], reduction: Reduction) -> Definition:
    """The definition that reduces counts of classes (`class_terms`) or of labels (`label_terms`)."""

    def value(n: Numbers, *sums: Numbers) -> Numbers:
        return reduction(n, [Counts(*sums[first : first + 3]) for first in range(0, len(sums), 3)])

    return Definition(terms, value)


# One of several classes


def class_accuracy() -> Definition:
    """Share of samples whose most probable class is the true one, as `accuracy_score`; often called WA or WAR."""
    return Definition(lambda p, y: (predicted_class(p) == y, everyone(y)), quotient)


def mean_recall(over: Literal["true", "occurring"] = "true") -> Definition:
    """Mean of the recalls of classes; often called UA or UAR.

    Args:
        over: `true`: the mean is over the classes that occur in the labels, as `balanced_accuracy_score`. `occurring`:
            over those that occur in labels or predictions, as `recall_score(average="macro")`; a class that is only
            predicted then counts with a recall of 0.
    """

    def reduction(n: Numbers, counts: Sequence[Counts]) -> Numbers:
        counted = [c.occurs if over == "occurring" else np.asarray(c.actual > 0) for c in counts]
        return mean_where([c.recall() for c in counts], counted)

    return _of_counts(class_terms, reduction)


def macro_precision() -> Definition:
    """Mean of the precisions of classes that occur in labels or predictions, as `precision_score(average="macro")`."""
    return _of_counts(
        class_terms, lambda n, counts: mean_where([c.precision() for c in counts], [c.occurs for c in counts])
    )


def macro_f1() -> Definition:
    """Mean of the F1 of classes that occur in labels or predictions, as `f1_score(average="macro")`."""
    return _of_counts(class_terms, _mean_f1)


def value_macro_f1(classes: Classes, count: int) -> Definition:
    """As `macro_f1`, where values of a regression fall into so many classes.

    Args:
        classes: Maps a value to its class, an index.
        count: How many classes there are.
    """
    return _of_counts(lambda p, y: _counted(classes(p), classes(y), count), _mean_f1)


def _mean_f1(n: Numbers, counts: Sequence[Counts]) -> Numbers:
    """Mean of the F1 of classes that are predicted or true for any sample."""
    return mean_where([c.f1() for c in counts], [c.occurs for c in counts])


def class_weighted_f1() -> Definition:
    """Mean of the F1 of classes, weighted by how often each is true, as `f1_score(average="weighted")`."""
    return _of_counts(class_terms, _weighted_f1)


def micro_f1() -> Definition:
    """F1 of all decisions together, as `f1_score(average="micro")`; of one class per sample this is the accuracy."""
    return _of_counts(class_terms, _micro_f1)


def second_class_f1() -> Definition:
    """F1 of the second of two classes, as `f1_score` of labels 0 and 1; undefined for more classes."""

    def reduction(n: Numbers, counts: Sequence[Counts]) -> Numbers:
        value = counts[-1].f1()
        return value if len(counts) == 2 else np.full_like(value, np.nan)

    return _of_counts(class_terms, reduction)


# Any of several labels


def exact_match() -> Definition:
    """Share of samples of which all labels are predicted rightly, as `accuracy_score` of indicators."""

    def terms(p: Array, y: Labels) -> Terms:
        return (predicted_labels(p) == true_labels(y, p.shape[-1])).all(-1), everyone(y)

    return Definition(terms, quotient)


def label_accuracy() -> Definition:
    """Accuracy of each label as a question of two answers, mean over the labels: 1 − `hamming_loss`."""

    def reduction(n: Numbers, counts: Sequence[Counts]) -> Numbers:
        right = [c.hits + c.complement(n).hits for c in counts]
        return quotient(sum(right[1:], right[0]), n * len(counts))

    return _of_counts(label_terms, reduction)


def label_mean_recall() -> Definition:
    """Mean over the labels of `balanced_accuracy_score` of each label as a question of two answers.

    With P samples for which a label is true, N for which it is not, and TP and TN right answers to them, it is
    (TP·N/P + TN) / 2N, the weighted accuracy of publications on the emotions of CMU-MOSEI. For a label that is true for
    all samples, or for none, it is the recall of the only answer.
    """

    def reduction(n: Numbers, counts: Sequence[Counts]) -> Numbers:
        balanced = []
        for c in counts:
            answers = (c, c.complement(n))
            balanced.append(mean_where([a.recall() for a in answers], [np.asarray(a.actual > 0) for a in answers]))
        return _mean(balanced)

    return _of_counts(label_terms, reduction)


def label_macro_f1() -> Definition:
    """Mean of the F1 of all labels, as `f1_score(average="macro")` of indicators; a label that never occurs has 0."""
    return _of_counts(label_terms, lambda n, counts: _mean([c.f1() for c in counts]))


def label_micro_f1() -> Definition:
    """F1 of the labels of all samples together, as `f1_score(average="micro")` of indicators."""
    return _of_counts(label_terms, _micro_f1)


def label_weighted_f1(of: Literal["holding", "both answers"] = "holding") -> Definition:
    """A weighted mean of F1.

    Args:
        of: `holding`: of the labels' F1, weighted by how often each holds, as `f1_score(average="weighted")` of
            indicators. `both answers`: of each label, that of its two answers, weighted by how often each is true; then
            the mean over the labels.
    """

    def reduction(n: Numbers, counts: Sequence[Counts]) -> Numbers:
        if of == "holding":
            return _weighted_f1(n, counts)
        return _mean([_weighted_f1(n, (c, c.complement(n))) for c in counts])

    return _of_counts(label_terms, reduction)


# Reductions


def mean_where(values: Sequence[Numbers], counted: Sequence[NDArray[np.bool_]]) -> Array:
    """The mean of the values that are counted, (...); NaN where none is."""
    total = sum(np.where(is_counted, value, 0.0) for value, is_counted in zip(values, counted, strict=True))
    return quotient(np.asarray(total), np.asarray(sum(is_counted.astype(np.float64) for is_counted in counted)))


def _weighted_f1(n: Numbers, counts: Sequence[Counts]) -> Array:
    """The mean F1, weighted by how often each is true; 0 where none ever is, as scikit-learn has it."""
    weighted = np.asarray(sum(c.actual * c.f1() for c in counts))
    actual = np.asarray(sum(c.actual for c in counts))
    return np.where(n == 0, np.nan, _share(weighted, actual))


def _micro_f1(n: Numbers, counts: Sequence[Counts]) -> Array:
    hits = np.asarray(sum(c.hits for c in counts))
    both = np.asarray(sum(c.predicted + c.actual for c in counts))
    return np.where(n == 0, np.nan, f1_of(hits, both - 2 * hits))


def _mean(values: Sequence[Array]) -> Array:
    return np.asarray(sum(values[1:], values[0]) / len(values))


def _share(part: Numbers, whole: Numbers) -> Array:
    """The quotient; 0 where the whole is 0."""
    return np.asarray(part / np.where(whole == 0, 1, whole))
