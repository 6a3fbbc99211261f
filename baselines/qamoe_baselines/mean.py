"""Mean: the control that gives the same answer for every sample and ignores its inputs.

Its answer is the mean training label; for each metric that another constant fits better it is that one: the median for
the mean absolute error, and a value of the most frequent class for an accuracy. It has no parameters and is not
trained. Its correlation is undefined, because its prediction is constant. The probabilities of classes or labels are
their shares in the training split, at least `qamoe_bench.nn.answers.LEAST_SHARE` each; it predicts the most frequent
class, or the labels that hold more often than not. The gain of a model over this row is all that its inputs
give it. Not from a paper.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.nn.answers import class_output, prior_scores

CARD = {
    "groups": ("quick", "paper"),
    "tasks": ("regression", "classes", "multi-label"),
    "parameters": 0,
    "style": 7,
    "role": "floor",
}


@dataclass(frozen=True)
class MeanConfig:
    """There are no hyperparameters."""


class Mean(nn.Module):
    """The model of the module docstring."""

    level: torch.Tensor
    best: torch.Tensor

    def __init__(self, spec: DataSpec, config: MeanConfig) -> None:
        super().__init__()
        self.config = config
        self.task = spec.task
        level = torch.tensor(spec.label_mean) if spec.task.is_regression else prior_scores(spec)
        self.register_buffer("level", level)
        self.metrics = tuple(spec.best_constants)
        self.register_buffer("best", torch.tensor([*spec.best_constants.values()]))

    def forward(self, batch: Batch) -> Output:
        """The same prediction for every sample."""
        if not self.task.is_regression:
            return class_output(self.level.expand(batch.size, -1), self.task)
        answers = self.best[:, None].expand(-1, batch.size).unbind()
        return Output(self.level.expand(batch.size), by_metric=dict(zip(self.metrics, answers, strict=True)))


def build(spec: DataSpec, **overrides: Any) -> Mean:
    """The control for data of this specification."""
    return Mean(spec, configure(MeanConfig, overrides))
