"""The phases of a training: what each pass over the training split minimises, and which parameters it changes.

A model without phases of its own has one, of all its parameters and its loss.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.contract import HasLoss, HasPhases, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.answers import prediction_loss
from qamoe_bench.training.batches import CorruptedBatches
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.optimiser import make_optimiser, make_schedule
from qamoe_bench.vocabulary import REGRESSION, Task

ONLY_PHASE = "training"
"""Name of the phase of a model without phases of its own."""


def loss_of(model: nn.Module, output: Output, batch: TrainingBatch, task: Task = REGRESSION) -> Float[Tensor, ""]:
    """The model's own objective, or the error of the task."""
    if isinstance(model, HasLoss):
        return model.loss(output, batch)
    return prediction_loss(output, batch.target, task, batch.class_weights)


def phases_of(model: nn.Module, task: Task = REGRESSION) -> Sequence[Phase]:
    """The phases of a model, at least one.

    Args:
        model: The model.
        task: The task, whose error a model without a loss of its own is trained on.

    Raises:
        BenchError: If a model has a method for its phases and returns none.
    """
    if not isinstance(model, HasPhases):
        everything = ParameterGroup(list(model.parameters()))
        return [Phase(ONLY_PHASE, lambda batch: loss_of(model, model(batch), batch, task), [everything])]
    phases = model.phases()
    if not phases:
        raise BenchError(f"{type(model).__name__}.phases: expected at least one phase, got none; return one")
    return phases


def first_epoch_to_keep(phases: Sequence[Phase], epochs: int) -> int:
    """The first epoch (from 1) in which the last phase, which trains the prediction, has run."""
    last = phases[-1]
    return next(epoch for epoch in range(1, epochs + 1) if last.runs_in(epoch, epochs))


class PhaseTraining:
    """The optimiser of a phase and the schedule of its rates, over all of its epochs."""

    def __init__(self, phase: Phase, config: TrainConfig, steps_per_epoch: int, model: nn.Module) -> None:
        self.phase = phase
        self._config = config
        self._all_parameters = list(model.parameters())
        self._parameters = phase.parameters
        passes = sum(phase.runs_in(epoch, config.epochs) for epoch in range(1, config.epochs + 1))
        self._optimiser = make_optimiser(model, phase.groups, config)
        self._schedule = make_schedule(self._optimiser, config, passes * steps_per_epoch)

    def run_pass(self, batches: CorruptedBatches) -> float:
        """One pass over the training split; returns the mean loss per sample."""
        total = 0.0
        count = 0
        for batch in batches.train_batches():
            for parameter in self._all_parameters:  # also those that this phase leaves alone
                parameter.grad = None
            loss = self.phase.objective(batch)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self._parameters, self._config.clip_norm)
            self._optimiser.step()
            self._schedule.step()  # the schedule counts steps, not epochs
            total += loss.item() * batch.size
            count += batch.size
        return total / count
