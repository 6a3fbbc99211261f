"""From the last layer of a network to its output, and the error of an output, in every task.

A model whose last layer has `spec.task.outputs` values per sample, and that makes its outputs here, predicts numbers,
classes and several labels alike:

    self.head = nn.Linear(width, spec.task.outputs)
    self.answers = Answers(spec)
    ...
    return self.answers(self.head(h))

Dimension legend: B samples, P predictions of one sample, K values of the last layer: 1 for regression, else C, the
number of classes or labels.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from qamoe_bench.contract import DataSpec, Output, TrainingBatch, label_indicators
from qamoe_bench.vocabulary import Task

LEAST_SHARE = 1e-4
"""Share that a class without training samples counts as having, so that the logarithm of every share is finite."""


class Answers:
    """Makes outputs from the values of a last layer, and judges them."""

    def __init__(self, spec: DataSpec, *, standardised: bool = True) -> None:
        """Start.

        Args:
            spec: Specification of the data.
            standardised: For regression, whether values are in standard deviations from the mean training label; else
                they are in label units.
        """
        self.task = spec.task
        self.width = spec.task.outputs
        self.mean = spec.label_mean
        self.std = spec.label_std
        self.standardised = standardised

    def __call__(self, values: Float[Tensor, "B K"], **others: Any) -> Output:
        """The output for a batch.

        Args:
            values: For regression the prediction; for classes scores whose softmax are the probabilities; for several
                labels scores whose sigmoids are.
            others: Further fields of the output, such as `quality`.
        """
        if not self.task.is_regression:
            return class_output(values, self.task, **others)
        prediction = self.mean + self.std * values[:, 0] if self.standardised else values[:, 0]
        return Output(prediction, **others)

    def loss(
        self,
        output: Output,
        batch: TrainingBatch,
        error: Callable[[Tensor, Tensor], Tensor] = functional.l1_loss,
    ) -> Float[Tensor, ""]:
        """The error of an output in training, averaged over the batch.

        Args:
            output: The output for the batch.
            batch: The batch.
            error: For regression, of predictions and labels; other tasks have the negative log-likelihood, with the
                class weights of the batch.
        """
        if self.task.is_regression:
            return error(output.prediction, batch.target)
        return prediction_loss(output, batch.target, self.task, batch.class_weights)


def class_output(scores: Float[Tensor, "B C"], task: Task, **others: Any) -> Output:
    """The output for scores of classes or labels; its prediction is the most probable label."""
    return probable_output(log_probabilities_of(scores, task), task, **others)


def log_probabilities_of(scores: Float[Tensor, "*B C"], task: Task) -> Float[Tensor, "*B C"]:
    """The logarithms of the probabilities that belong to scores of classes or labels."""
    return scores.log_softmax(-1) if task.kind == "classes" else functional.logsigmoid(scores)


def probable_output(log_probabilities: Float[Tensor, "B C"], task: Task, **others: Any) -> Output:
    """The output with these log-probabilities of classes or labels; its prediction is the most probable label."""
    if task.kind == "classes":
        prediction = log_probabilities.argmax(1).float()
    else:
        bits = 2 ** torch.arange(task.outputs, device=log_probabilities.device)
        prediction = ((log_probabilities > -math.log(2)) * bits).sum(1).float()
    return Output(prediction, log_probabilities=log_probabilities, **others)


def prediction_loss(
    output: Output, target: Float[Tensor, " B"], task: Task, weights: Float[Tensor, " C"] | None = None
) -> Float[Tensor, ""]:
    """The error that a task is trained on, averaged over the batch: |ŷ − y|, or the negative log-likelihood.

    Of several labels the likelihood is that of all of them, divided by their number.

    Args:
        output: What a model returned.
        target: Labels, see `qamoe_bench.vocabulary.Task`.
        task: The task.
        weights: Weight of each class or label; None for equal ones. The mean is then a weighted one.
    """
    if task.is_regression:
        return functional.l1_loss(output.prediction, target)
    if output.log_probabilities is None:
        raise TypeError("expected an output with log_probabilities; make it with qamoe_bench.nn.answers.Answers")
    return label_loss(output.log_probabilities, target, task, weights)


def label_loss(
    log_probabilities: Float[Tensor, "B C"],
    target: Float[Tensor, " B"],
    task: Task,
    weights: Float[Tensor, " C"] | None = None,
) -> Float[Tensor, ""]:
    """The negative log-likelihood of classes or labels, see `prediction_loss`."""
    if task.kind == "classes":
        return functional.nll_loss(log_probabilities, target.long(), weights)
    losses = _binary_losses(log_probabilities, target, task)
    if weights is None:
        return losses.mean()
    return (losses * weights).sum() / (weights.sum() * len(losses))


def label_losses(
    log_probabilities: Float[Tensor, "B P C"], target: Float[Tensor, " B"], task: Task
) -> Float[Tensor, "B P"]:
    """The negative log-likelihood of each of P predictions of a sample; of several labels the mean over them."""
    flat = log_probabilities.flatten(0, 1)
    repeated = target.repeat_interleave(log_probabilities.shape[1])  # (B·P,)
    if task.kind == "classes":
        losses = functional.nll_loss(flat, repeated.long(), reduction="none")
    else:
        losses = _binary_losses(flat, repeated, task).mean(1)
    return losses.reshape(log_probabilities.shape[:2])


def _binary_losses(
    log_probabilities: Float[Tensor, "B C"], target: Float[Tensor, " B"], task: Task
) -> Float[Tensor, "B C"]:
    """The negative log-likelihood of each label."""
    # log(1 − p) from log p, both exact where p is nearly 1; the clamp keeps the gradient finite at p = 1.
    complement = torch.log(-torch.expm1(log_probabilities.clamp(max=-1e-7)))
    return -torch.where(label_indicators(target, task), log_probabilities, complement)


def prior_scores(spec: DataSpec) -> Float[Tensor, " C"]:
    """Scores of classes or labels whose probabilities are their shares in the training split.

    Shares are at least `LEAST_SHARE`, and those of several labels at most 1 − `LEAST_SHARE`.
    """
    shares = torch.tensor(spec.class_shares).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    return shares.log() if spec.task.kind == "classes" else shares.logit()


def balanced_weights(spec: DataSpec) -> Float[Tensor, " C"]:
    """Weights that make all classes equally heavy in the training split: inverse shares with mean 1.

    A class without training samples gets the weight of the rarest other one.
    """
    shares = torch.tensor(spec.class_shares)
    inverse = 1 / torch.where(shares > 0, shares, shares[shares > 0].min())
    return inverse / inverse.mean()
