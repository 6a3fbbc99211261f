"""One training loop for every model, so that a comparison is about models and not about trainers.

Regimes: `clean` trains on what the data set gives; `spectrum` corrupts every batch as the protocol `mixed` says, with
λ and η drawn from U(0, 1); `matched` trains one specialist per condition of a protocol, on nothing but that condition.
The epoch is chosen by the mean absolute error on the validation split, which means the same for every model whatever it
is trained on; the split is corrupted in the same way, with draws that stay the same for all epochs. The test split is
not read here. A model without parameters is left as it is.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import Batch, HasEpochs, HasLoss, Output, TrainingBatch, concatenate
from qamoe_bench.corruption.apply import corrupt
from qamoe_bench.corruption.draws import CommonDraws, FreshDraws
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.nn.language import language_parameters
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.seeding import seeded, stream, torch_seed

REGIMES = ("clean", "spectrum", "matched")
SPECTRUM_PROTOCOL = "mixed"
VALIDATION_BATCH = 256
KEPT_BYTES = 2**29
"""Corrupted validation samples are kept for all epochs if they take no more than this, else made again for each."""


@dataclass(frozen=True)
class TrainConfig:
    """Every choice of the loop. The optimiser is AdamW, the schedule one cosine from the full rate to zero.

    Language models inside a model have a rate of their own, as in the papers, for they are trained already.
    """

    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 1e-3
    language_rate: float = 2e-5  # of language models
    warm_up: float = 0.0  # share of all steps over which every rate rises from nearly zero
    weight_decay: float = 1e-2
    clip_norm: float = 1.0  # of the gradient of all parameters together
    selection_window: int = 5  # epochs whose mean validation error is compared; 1 compares single epochs
    levels_per: Literal["sample", "batch"] = "sample"  # what λ and η are drawn for; the paper says batch
    validation_samples: int = 1000  # a smaller split is corrupted several times over, for a steadier choice

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "language_rate", "clip_norm", "selection_window"):
            if not getattr(self, name) > 0:
                raise BenchError(f"TrainConfig.{name}: expected more than 0, got {getattr(self, name)}")
        if not 0 <= self.warm_up < 1:
            raise BenchError(f"TrainConfig.warm_up: expected a share from 0 to below 1, got {self.warm_up}")
        if self.selection_window > self.epochs:
            raise BenchError(
                f"TrainConfig.selection_window: expected at most as many as epochs ({self.epochs}), got "
                f"{self.selection_window}"
            )


@dataclass(frozen=True)
class Exposure:
    """What a training exposes a model to: one condition for all samples, or λ and η drawn from U(0, 1).

    Attributes:
        condition: The one condition; None draws from the spectrum.
    """

    condition: Condition | None = None

    def draw(self, size: int, levels: np.random.Generator, config: TrainConfig) -> Condition:
        """The condition of a batch of this size; levels are one per sample, or one for all."""
        if self.condition is not None:
            return self.condition
        protocol = _spectrum()
        count = size if config.levels_per == "sample" else 1
        point = {axis: levels.random(count, dtype=np.float32) for axis in protocol.axes}
        return Condition("spectrum", {}, protocol.steps(point))

    @property
    def is_clean(self) -> bool:
        """Whether nothing is corrupted, so that every pass over the samples shows the same."""
        return self.condition is not None and not self.condition.steps

    @property
    def digest(self) -> str:
        """Identifies the exposure; it belongs to whatever identifies a training."""
        return self.condition.digest if self.condition else _spectrum().digest


@cache
def _spectrum() -> Protocol:
    return load_protocol(SPECTRUM_PROTOCOL)


CLEAN = Exposure(Condition("clean", {}, ()))
SPECTRUM = Exposure()


@dataclass(frozen=True)
class Trained:
    """What became of a training.

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
    """Train a model in place and leave it with the weights of the epoch that did best on validation.

    Raises:
        RunFailed: when no epoch has a finite validation error.
    """
    start = time.perf_counter()
    model.to(device)
    corruptor = _Corruptor(data, exposure, seed, config, device)
    if not any(p.requires_grad for p in model.parameters()):
        return Trained((), (_validate(model, corruptor),), 0, time.perf_counter() - start)
    optimiser = _optimiser(model, config)
    schedule = _schedule(optimiser, config, config.epochs * math.ceil(len(data.splits["train"]) / config.batch_size))
    train_loss, valid_mae, best = [], [], copy.deepcopy(model.state_dict())
    with seeded("train", seed):
        for epoch in range(1, config.epochs + 1):
            if isinstance(model, HasEpochs):
                model.start_epoch(epoch)
            train_loss.append(_train_epoch(model, corruptor, optimiser, schedule, config))
            valid_mae.append(_validate(model, corruptor))
            if best_epoch(valid_mae, config.selection_window) == len(valid_mae):
                best = copy.deepcopy(model.state_dict())
            on_epoch()
    if not best_epoch(valid_mae, config.selection_window):
        raise RunFailed(f"training diverged (seed {seed}): no epoch had a finite validation error")
    model.load_state_dict(best)
    model.eval()
    chosen = best_epoch(valid_mae, config.selection_window)
    return Trained(tuple(train_loss), tuple(valid_mae), chosen, time.perf_counter() - start)


def _optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    language = language_parameters(model)
    known = set(language)
    groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if p not in known]}]
    if language:
        groups.append({"params": language, "lr": config.language_rate})
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def _schedule(
    optimiser: torch.optim.Optimizer, config: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.ChainedScheduler:
    """One cosine over all steps, times a line up to 1 over the first of them."""
    of_rates: list[torch.optim.lr_scheduler.LRScheduler] = [
        torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    ]
    if rising := round(config.warm_up * steps):
        of_rates.append(torch.optim.lr_scheduler.LinearLR(optimiser, 1 / (rising + 1), total_iters=rising))
    return torch.optim.lr_scheduler.ChainedScheduler(of_rates)


def best_epoch(valid_mae: Sequence[float], window: int) -> int:
    """The epoch (from 1) at the end of the best run of `window` epochs; 0 while no run is finite.

    On a few hundred validation samples the error of a single early epoch often dips by chance. The mean over the last
    few epochs does not, and asks for weights that stay good.
    """
    means = [np.mean(valid_mae[max(0, i - window) : i]) for i in range(1, len(valid_mae) + 1)]
    finite = [(mean, epoch) for epoch, mean in enumerate(means, 1) if math.isfinite(mean) and epoch >= window]
    return min(finite, default=(math.inf, 0))[1]


def loss_of(model: nn.Module, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
    """The model's own objective, or mean absolute error."""
    if isinstance(model, HasLoss):
        return model.loss(output, batch)
    return F.l1_loss(output.prediction, batch.target)


def _train_epoch(
    model: nn.Module,
    corruptor: "_Corruptor",
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    config: TrainConfig,
) -> float:
    model.train()
    total, count = 0.0, 0
    for batch in corruptor.train_batches():
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(model, model(batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        schedule.step()
        total, count = total + loss.item() * batch.size, count + batch.size
    return total / count


@torch.no_grad()
def _validate(model: nn.Module, corruptor: "_Corruptor") -> float:
    model.eval()
    total, count = 0.0, 0
    for batch, target in corruptor.valid_batches():
        total += F.l1_loss(model(batch).prediction, target).item() * batch.size
        count += batch.size
    return total / count


class _Corruptor:
    """The batches of an exposure: new corruptions at every training step, the same ones at every validation."""

    def __init__(self, data: Dataset, exposure: Exposure, seed: int, config: TrainConfig, device: torch.device) -> None:
        self._train, self._exposure, self._seed, self._config, self._device = (
            data.splits["train"].batch().to(device), exposure, seed, config, device,
        )  # fmt: skip
        self._target = data.splits["train"].target.to(device)
        self._reference = data.reference.to(device)
        self._levels = stream("train", seed, "levels")
        self._generator = torch.Generator(device).manual_seed(torch_seed("train", seed, "corruption"))
        self._order = torch.Generator().manual_seed(torch_seed("train", seed, "order"))
        self._valid = data.splits["valid"]
        kept = self._valid_bytes() <= KEPT_BYTES
        self._kept = self._joined() if kept else None

    def train_batches(self) -> Iterator[TrainingBatch]:
        order = torch.randperm(self._train.size, generator=self._order).to(self._device)
        for rows in torch.split(order, self._config.batch_size):
            clean = self._train.rows(rows)
            condition = self._exposure.draw(clean.size, self._levels, self._config)
            corrupted = corrupt(clean, condition, FreshDraws(clean, self._generator), self._reference)
            signal = {m: corrupted.signal(m) for m in clean.modalities}
            features, lengths = corrupted.batch.features, corrupted.batch.lengths
            yield TrainingBatch(features, lengths, self._target[rows], clean.features, signal)

    def valid_batches(self) -> Iterable[tuple[Batch, Float[Tensor, " B"]]]:
        """Samples and their labels, the same ones at every call."""
        return self._validation() if self._kept is None else self._kept

    def _copies(self) -> int:
        return 1 if self._exposure.is_clean else max(1, round(self._config.validation_samples / len(self._valid)))

    def _valid_bytes(self) -> int:
        return 4 * self._copies() * sum(x.numel() for x in self._valid.features.values())

    def _joined(self) -> list[tuple[Batch, Float[Tensor, " B"]]]:
        """All validation samples, in batches of equal size."""
        batches, targets = zip(*self._validation(), strict=True)
        samples = concatenate(batches).split(VALIDATION_BATCH)
        return list(zip(samples, torch.split(torch.cat(targets), VALIDATION_BATCH), strict=True))

    def _validation(self) -> Iterator[tuple[Batch, Float[Tensor, " B"]]]:
        """Corrupted batches, each made when it is asked for: the split may be larger than memory."""
        clean = self._valid.batch().to(self._device)
        target = self._valid.target.to(self._device)
        for copy_index in range(self._copies()):
            draws = CommonDraws(torch_seed("valid", self._seed, copy_index), self._valid.ids, clean)
            levels = stream("valid", self._seed, copy_index, "levels")
            condition = self._exposure.draw(clean.size, levels, self._config)
            for start in range(0, clean.size, VALIDATION_BATCH):
                rows = slice(start, start + VALIDATION_BATCH)
                some = _of_samples(condition, rows)
                yield corrupt(clean.rows(rows), some, draws.rows(rows), self._reference).batch, target[rows]


def _of_samples(condition: Condition, rows: slice) -> Condition:
    """The condition of some samples, where it has a level for each."""
    steps = (
        replace(
            step, levels={m: v[rows] if isinstance(v, np.ndarray) and len(v) > 1 else v for m, v in step.levels.items()}
        )
        for step in condition.steps
    )
    return replace(condition, steps=tuple(steps))
