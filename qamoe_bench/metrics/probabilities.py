"""What probabilities of classes or labels say of each sample: how far they are from the truth, and how sure a model is.

Dimension legend: N samples, K classes or labels, M decisions: N, or N·K where each label is decided by itself.
"""

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.metrics.class_definitions import true_labels
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.vocabulary import Task

Values = NDArray[np.float64]
LogProbabilities = Float[Values, "... N K"]
"""Logarithms of the probabilities of all classes, or of several labels that each holds."""


def true_indicators(label: Float[Values, " N"], task: Task) -> Bool[NDArray[np.bool_], "N K"]:
    """Whether each class or label holds, from labels as `Task` codes them."""
    if task.kind == "classes":
        return np.asarray(label[:, None] == np.arange(task.outputs))
    return true_labels(label, task.outputs)


def log_complement(answers: Values) -> Values:
    """log(1 − p) from log p, exact also where p is nearly 1; −1e9 where p is 1."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(-np.expm1(np.minimum(answers, 0.0))), -1e9)


def probability_errors(answers: LogProbabilities, label: Float[Values, " N"], task: Task) -> Float[Values, "... N"]:
    """The error of a sample, 0 to 1: the probability given to wrong classes, or the mean |indicator − p| of labels."""
    probability = np.exp(answers)
    holds = true_indicators(label, task)
    if task.kind == "classes":
        return np.asarray(1 - np.where(holds, probability, 0.0).sum(-1))
    return np.asarray(np.abs(holds - probability).mean(-1))


def entropy(answers: LogProbabilities, task: Task) -> Float[Values, "... N"]:
    """The predictive entropy of a sample, in nats; of several labels the sum of their entropies."""
    own = -np.exp(answers) * answers
    if task.kind == "classes":
        return np.asarray(own.sum(-1))
    other = log_complement(answers)
    return np.asarray((own - np.exp(other) * other).sum(-1))


def decisions(
    answers: LogProbabilities, label: Float[Values, " N"], task: Task
) -> tuple[Float[Values, "... M"], Bool[NDArray[np.bool_], "... M"]]:
    """The probability of each decision, and whether it is right.

    A decision is the most probable class of a sample, or for each label whether it holds.
    """
    probability = np.exp(answers)
    if task.kind == "classes":
        return probability.max(-1), answers.argmax(-1) == label
    holds = true_indicators(label, task)
    is_right = (probability > 0.5) == holds
    flat = (*answers.shape[:-2], -1)
    return np.maximum(probability, 1 - probability).reshape(flat), is_right.reshape(flat)
