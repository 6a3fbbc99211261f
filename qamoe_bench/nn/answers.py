"""From the last layer of a network to its output, and the error of an output, in every task.

A model whose last layer has `spec.task.outputs` values per sample, and that makes its outputs here, predicts numbers,
classes and several labels alike.

Dimension legend: B samples, K values of the last layer: 1 for regression, else C, the number of classes or labels.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from qamoe_bench.contract import DataSpec, Output, label_indicators
from qamoe_bench.vocabulary import Task


class Answers:
    """Makes outputs from the values of a last layer."""

    def __init__(self, spec: DataSpec) -> None:
        self.task = spec.task
        self.width = spec.task.outputs
        self.mean = spec.label_mean
        self.std = spec.label_std

    def __call__(self, values: Float[Tensor, "B K"], **others: Any) -> Output:
        """The output for a batch.

        Args:
            values: For regression the prediction in standard deviations from the mean training label; for classes
                scores whose softmax are the probabilities; for several labels scores whose sigmoids are.
            others: Further fields of the output, such as `quality`.
        """
        if self.task.is_regression:
            return Output(self.mean + self.std * values[:, 0], **others)
        return class_output(values, self.task, **others)


def class_output(scores: Float[Tensor, "B C"], task: Task, **others: Any) -> Output:
    """The output for scores of classes or labels; its prediction is the most probable label."""
    if task.kind == "classes":
        log_probabilities = scores.log_softmax(1)
        prediction = scores.argmax(1).float()
    else:
        log_probabilities = functional.logsigmoid(scores)
        bits = 2 ** torch.arange(scores.shape[1], device=scores.device)
        prediction = ((scores > 0) * bits).sum(1).float()
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
    log_probabilities = output.log_probabilities
    if log_probabilities is None:
        raise TypeError("expected an output with log_probabilities; make it with qamoe_bench.nn.answers.Answers")
    if task.kind == "classes":
        return functional.nll_loss(log_probabilities, target.long(), weights)
    holds = label_indicators(target, task)  # (B, C)
    # log(1 − p) from log p, both exact where p is nearly 1; the clamp keeps the gradient finite at p = 1.
    complement = torch.log(-torch.expm1(log_probabilities.clamp(max=-1e-7)))
    losses = -torch.where(holds, log_probabilities, complement)
    if weights is None:
        return losses.mean()
    return (losses * weights).sum() / (weights.sum() * len(losses))


def balanced_weights(spec: DataSpec) -> Float[Tensor, " C"]:
    """Weights that make all classes equally heavy in the training split: inverse shares with mean 1.

    A class without training samples gets the weight of the rarest other one.
    """
    shares = torch.tensor(spec.class_shares)
    inverse = 1 / torch.where(shares > 0, shares, shares[shares > 0].min())
    return inverse / inverse.mean()
