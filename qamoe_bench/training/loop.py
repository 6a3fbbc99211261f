"""One training loop for every model, so that a comparison is about models and not about training procedures.

The epoch is chosen by the error on the validation split (mean absolute error, or negative log-likelihood of classes),
which is comparable between models whatever their objective. The split is corrupted like the training samples, with
draws that stay the same for all epochs. The test split is not read here. A model without parameters is prepared at
most.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qamoe_bench.contract import HasEpochs, HasPreparation
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import RunFailed
from qamoe_bench.nn.answers import prediction_loss
from qamoe_bench.seeding import seeded
from qamoe_bench.training.batches import CorruptedBatches
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import Exposure
from qamoe_bench.training.phases import PhaseTraining, first_epoch_to_keep, phases_of
from qamoe_bench.vocabulary import Task


@dataclass(frozen=True)
class Trained:
    """The course of a training.

    Attributes:
        train_loss: The model's own objective, mean over each epoch; that of the last phase of the epoch.
        valid_error: Error on the validation split after each epoch: the mean absolute one, in label units, or the
            negative log-likelihood of classes or labels.
        best_epoch: The epoch whose weights were kept, counting from 1; 0 where there was nothing to train.
        seconds: Wall-clock time.
    """

    train_loss: tuple[float, ...]
    valid_error: tuple[float, ...]
    best_epoch: int
    seconds: float


def train(
    model: nn.Module,
    data: Dataset,
    exposure: Exposure,
    seed: int,
    config: TrainConfig,
    device: torch.device,
    on_epoch: Callable[[], None] = lambda: None,
) -> Trained:
    """Train a model in place; afterwards it has the weights of the epoch with the best validation error.

    Args:
        model: A fresh model.
        data: The data set, of which the training and validation splits are used.
        exposure: The corruption of the samples.
        seed: Of the order of samples, the corruptions and the model's random numbers.
        config: Every choice of the loop.
        device: Where to train.
        on_epoch: Called after each epoch.

    Raises:
        RunFailed: when no epoch has a finite validation error.
    """
    start = time.perf_counter()
    model.to(device)
    batches = CorruptedBatches(data, exposure, seed, config, device)
    prepare_model(model, batches, seed)
    if not any(p.requires_grad for p in model.parameters()):
        return Trained((), (_validate(model, batches, data.task),), 0, time.perf_counter() - start)
    phases = phases_of(model, data.task)
    steps = math.ceil(len(data.splits["train"]) / config.batch_size)
    trainings = [PhaseTraining(phase, config, steps, model) for phase in phases]
    selection = _Selection(first_epoch_to_keep(phases, config.epochs), config)
    train_loss = list[float]()
    valid_error = list[float]()
    best = _copy(model.state_dict())
    with seeded("train", seed):
        for epoch in range(1, config.epochs + 1):
            if isinstance(model, HasEpochs):
                model.start_epoch(epoch)
            train_loss.append(_train_epoch(model, batches, trainings, epoch, config))
            valid_error.append(_validate(model, batches, data.task))
            # The weights are copied whenever the window that ends here is the best so far.
            if selection.best(valid_error) == epoch:
                best = _copy(model.state_dict())
            on_epoch()
    chosen = selection.best(valid_error)
    if not chosen:
        raise RunFailed(f"training diverged (seed {seed}): no epoch had a finite validation error")
    model.load_state_dict(best)
    model.eval()
    return Trained(tuple(train_loss), tuple(valid_error), chosen, time.perf_counter() - start)


def prepare_model(model: nn.Module, batches: CorruptedBatches, seed: int) -> None:
    """Show the uncorrupted training split to a model that asks for it, see `HasPreparation`; others stay untouched."""
    if isinstance(model, HasPreparation):
        with seeded("prepare", seed), torch.no_grad():
            model.prepare(batches.clean_samples())


def _copy(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the state of a model, which holds tensors and what a module adds to it."""
    # In a small model the general copy of all tensors takes as long as a training step.
    return {name: x.clone() if isinstance(x, Tensor) else copy.deepcopy(x) for name, x in state.items()}


def best_epoch(valid_error: Sequence[float], window: int) -> int:
    """The epoch (from 1) at the end of the best run of `window` epochs; 0 while no run is finite.

    On a few hundred validation samples the error of a single early epoch often dips by chance. The mean over the last
    few epochs does not, and prefers weights that stay good.
    """
    best = 0
    lowest = math.inf
    for epoch in range(window, len(valid_error) + 1):
        mean = np.mean(valid_error[epoch - window : epoch])
        # Of equal means the first one counts; NaN is never lower.
        if mean < lowest:
            best = epoch
            lowest = float(mean)
    return best


class _Selection:
    """The choice of the epoch, among those in which the prediction is trained."""

    def __init__(self, first: int, config: TrainConfig) -> None:
        self._skipped = first - 1
        # A late phase may have fewer epochs than the window.
        self._window = min(config.selection_window, config.epochs - self._skipped)

    def best(self, valid_error: Sequence[float]) -> int:
        """The best epoch so far (from 1); 0 while there is none."""
        chosen = best_epoch(valid_error[self._skipped :], self._window)
        return chosen + self._skipped if chosen else 0


def _train_epoch(
    model: nn.Module, batches: CorruptedBatches, trainings: Sequence[PhaseTraining], epoch: int, config: TrainConfig
) -> float:
    """One pass of every phase that runs in this epoch; returns the mean loss per sample of the last one."""
    model.train()
    loss = math.nan  # of an epoch between two phases
    for training in trainings:
        if training.phase.runs_in(epoch, config.epochs):
            loss = training.run_pass(batches)
    return loss


@torch.no_grad()
def _validate(model: nn.Module, batches: CorruptedBatches, task: Task) -> float:
    """The error of the task on the validation split, with the class weights of the training."""
    model.eval()
    total = 0.0
    count = 0
    for samples, target in batches.valid_batches():
        total += prediction_loss(model(samples), target, task, batches.class_weights).item() * samples.size
        count += samples.size
    return total / count
