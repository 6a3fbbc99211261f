"""One training loop for every model, so that a comparison is about models and not about training procedures.

The epoch is chosen by the mean absolute error on the validation split, which is comparable between models whatever
their objective. The split is corrupted like the training samples, with draws that stay the same for all epochs. The
test split is not read here. A model without parameters is prepared at most.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import HasEpochs, HasLoss, HasPreparation, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import RunFailed
from qamoe_bench.seeding import seeded
from qamoe_bench.training.batches import CorruptedBatches
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import Exposure
from qamoe_bench.training.optimiser import make_optimiser, make_schedule


@dataclass(frozen=True)
class Trained:
    """The course of a training.

    Attributes:
        train_loss: The model's own objective, mean over each epoch.
        valid_mae: Mean absolute error on the validation split after each epoch, in label units.
        best_epoch: The epoch whose weights were kept, counting from 1; 0 where there was nothing to train.
        seconds: Wall-clock time.
    """

    train_loss: tuple[float, ...]
    valid_mae: tuple[float, ...]
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
        return Trained((), (_validate(model, batches),), 0, time.perf_counter() - start)
    optimiser = make_optimiser(model, config)
    steps = config.epochs * math.ceil(len(data.splits["train"]) / config.batch_size)
    schedule = make_schedule(optimiser, config, steps)
    train_loss = list[float]()
    valid_mae = list[float]()
    best = copy.deepcopy(model.state_dict())
    with seeded("train", seed):
        for epoch in range(1, config.epochs + 1):
            if isinstance(model, HasEpochs):
                model.start_epoch(epoch)
            train_loss.append(_train_epoch(model, batches, optimiser, schedule, config))
            valid_mae.append(_validate(model, batches))
            # The weights are copied whenever the window that ends here is the best so far.
            if best_epoch(valid_mae, config.selection_window) == epoch:
                best = copy.deepcopy(model.state_dict())
            on_epoch()
    chosen = best_epoch(valid_mae, config.selection_window)
    if not chosen:
        raise RunFailed(f"training diverged (seed {seed}): no epoch had a finite validation error")
    model.load_state_dict(best)
    model.eval()
    return Trained(tuple(train_loss), tuple(valid_mae), chosen, time.perf_counter() - start)


def prepare_model(model: nn.Module, batches: CorruptedBatches, seed: int) -> None:
    """Show the uncorrupted training split to a model that asks for it, see `HasPreparation`; others stay untouched."""
    if isinstance(model, HasPreparation):
        with seeded("prepare", seed), torch.no_grad():
            model.prepare(batches.clean_samples())


def best_epoch(valid_mae: Sequence[float], window: int) -> int:
    """The epoch (from 1) at the end of the best run of `window` epochs; 0 while no run is finite.

    On a few hundred validation samples the error of a single early epoch often dips by chance. The mean over the last
    few epochs does not, and prefers weights that stay good.
    """
    best = 0
    lowest = math.inf
    for epoch in range(window, len(valid_mae) + 1):
        mean = np.mean(valid_mae[epoch - window : epoch])
        # Of equal means the first one counts; NaN is never lower.
        if mean < lowest:
            best = epoch
            lowest = float(mean)
    return best


def loss_of(model: nn.Module, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
    """The model's own objective, or mean absolute error."""
    if isinstance(model, HasLoss):
        return model.loss(output, batch)
    return F.l1_loss(output.prediction, batch.target)


def _train_epoch(
    model: nn.Module,
    batches: CorruptedBatches,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    config: TrainConfig,
) -> float:
    """One pass over the training split; returns the mean loss per sample."""
    model.train()
    total = 0.0
    count = 0
    for batch in batches.train_batches():
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(model, model(batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        schedule.step()  # the schedule counts steps, not epochs
        total += loss.item() * batch.size
        count += batch.size
    return total / count


@torch.no_grad()
def _validate(model: nn.Module, batches: CorruptedBatches) -> float:
    """Mean absolute error on the validation split, in label units."""
    model.eval()
    total = 0.0
    count = 0
    for samples, target in batches.valid_batches():
        total += F.l1_loss(model(samples).prediction, target).item() * samples.size
        count += samples.size
    return total / count
