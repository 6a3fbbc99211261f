"""Corrupted batches for training and validation.

Dimension legend: B samples of a batch, G of several batches that are corrupted together, N of the split.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qamoe_bench.contract import Batch, TrainingBatch, concatenate
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.groups import BatchGroup, GroupCorruption, groups_of
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.unshared import memory_of, unshared
from qamoe_bench.nn.answers import balanced_weights
from qamoe_bench.on_access import OnAccess
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import stream, torch_seed
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import Exposure

VALIDATION_BATCH = 256
KEPT_BYTES = 2**29
"""Corrupted validation samples are kept for all epochs up to this size; larger ones are recomputed for each.

A model prepares itself on a copy of the training samples up to the same size.
"""

GROUP_BYTES = 2**22
"""Training batches are corrupted together up to this size."""


class ValidationBatch(NamedTuple):
    """Samples of the validation split, and the labels that predictions are compared with."""

    samples: Batch
    target: Float[Tensor, " B"]


class CorruptedBatches:
    """The batches of an exposure: new corruptions at every training step, the same ones at every validation.

    Attributes:
        class_weights: Weight of each class or label in the objective and in the validation error; None for equal ones.
    """

    def __init__(self, data: Dataset, exposure: Exposure, seed: int, config: TrainConfig, device: torch.device) -> None:
        self._train = data.splits["train"].batch().to(device)
        self._target = data.splits["train"].target.to(device)
        self._valid = data.splits["valid"]
        self._kept: list[ValidationBatch] = []
        self._versions: list[int] = []  # of the kept features, each of which counts the changes to it
        self._reference = data.reference.to(device)
        self._exposure = exposure
        self._seed = seed
        self._config = config
        self._device = device
        # Separate streams, so that levels, corruptions and the order of samples are independent.
        self._levels = stream("train", seed, "levels")
        generator = torch.Generator(device).manual_seed(torch_seed("train", seed, "corruption"))
        self._corruption = GroupCorruption(generator, self._reference)
        self._group_size = _group_size(self._train)
        self._order = torch.Generator().manual_seed(torch_seed("train", seed, "order"))
        balanced = config.class_weights == "balanced" and not data.task.is_regression
        self.class_weights = balanced_weights(data.spec).to(device) if balanced else None

    def clean_samples(self) -> TrainingBatch:
        """The whole training split without corruption, in its own order; features may be mapped from a file.

        A copy, unless it is too large; then it must not be changed.
        """
        features = self._train.features
        if sum(x.nbytes for x in features.values()) <= KEPT_BYTES:
            features = {m: x.clone() for m, x in features.items()}
        lengths = {m: x.clone() for m, x in self._train.lengths.items()}
        untouched = {m: torch.ones(self._train.size, device=self._device) for m in lengths}
        index = torch.arange(self._train.size, device=self._device)
        return TrainingBatch(features, lengths, self._target.clone(), features, untouched, index)

    def train_batches(self) -> Iterator[TrainingBatch]:
        """One epoch in a new order."""
        # The order is drawn on the CPU, so that it is the same on every device.
        order = torch.randperm(self._train.size, generator=self._order).to(self._device)
        sizes = [len(rows) for rows in torch.split(order, self._config.batch_size)]
        drawn = ((size, self._exposure.draw(size, self._levels, self._config)) for size in sizes)
        start = 0
        for group in groups_of(drawn, self._group_size):
            end = start + sum(group.sizes)
            together = self._corrupt(order[start:end], group)
            for rows in group.slices:
                yield _part(together, rows)
            start = end

    def _corrupt(self, rows: Int[Tensor, " G"], group: BatchGroup) -> TrainingBatch:
        clean = self._train.rows(rows)
        corrupted = self._corruption.apply(clean, group)
        return TrainingBatch(
            corrupted.batch.features,
            corrupted.batch.lengths,
            target=self._target[rows],
            clean=clean.features,
            signal=OnAccess(clean.modalities, corrupted.signal),  # few models learn from it
            index=rows,
            class_weights=self.class_weights,
        )

    def valid_batches(self) -> Iterable[ValidationBatch]:
        """The same samples, corruptions and order at every call."""
        if self._valid_bytes() > KEPT_BYTES:
            return self._corrupt_validation()
        # Computed at the first validation, since a single training step needs none of it; and again after a model
        # changed its input in place, which would be the input of the next epoch.
        if not self._kept or self._versions != self._count_changes():
            self._kept = self._joined()
            self._versions = self._count_changes()
        return self._kept

    def _count_changes(self) -> list[int]:
        batches = [kept.samples for kept in self._kept]
        return [x._version for batch in batches for x in (*batch.features.values(), *batch.lengths.values())]

    def _copies(self) -> int:
        """How often the validation split is corrupted, each time with other draws."""
        return 1 if self._exposure.is_clean else max(1, round(self._config.validation_samples / len(self._valid)))

    def _valid_bytes(self) -> int:
        # Corrupted features are float32, so 4 bytes a number.
        return 4 * self._copies() * sum(x.numel() for x in self._valid.features.values())

    def _joined(self) -> list[ValidationBatch]:
        """All validation samples, regrouped so that only the last batch may be smaller."""
        samples, targets = zip(*self._corrupt_validation(), strict=True)
        batches = concatenate(samples).split(VALIDATION_BATCH)
        labels = torch.split(torch.cat(targets), VALIDATION_BATCH)
        return [ValidationBatch(*pair) for pair in zip(batches, labels, strict=True)]

    def _corrupt_validation(self) -> Iterator[ValidationBatch]:
        """Corrupted batches, computed one by one because the split may be larger than memory."""
        clean = self._valid.batch().to(self._device)
        target = self._valid.target.to(self._device)
        stored = memory_of(clean)
        for copy_index in range(self._copies()):
            draws = CommonDraws(torch_seed("valid", self._seed, copy_index), self._valid.ids, clean)
            levels = stream("valid", self._seed, copy_index, "levels")
            condition = self._exposure.draw(clean.size, levels, self._config)
            for start in range(0, clean.size, VALIDATION_BATCH):
                rows = slice(start, start + VALIDATION_BATCH)
                of_rows = _condition_of(condition, rows)
                corrupted = apply_condition(clean.rows(rows), of_rows, draws.rows(rows), self._reference)
                yield ValidationBatch(unshared(corrupted.batch, stored), target[rows])


def _group_size(samples: Batch) -> int:
    """How many samples may be corrupted together."""
    of_one = sum(4 * x[0].numel() for x in samples.features.values())  # corrupted features are float32
    return max(1, GROUP_BYTES // of_one)


def _part(together: TrainingBatch, rows: slice) -> TrainingBatch:
    """One of the batches of a group; what is computed on access is computed for all of them at once."""
    return TrainingBatch(
        OnAccess(together.features, lambda m: together.features[m][rows]),
        {m: x[rows] for m, x in together.lengths.items()},
        target=together.target[rows],
        clean={m: x[rows] for m, x in together.clean.items()},
        signal=OnAccess(together.signal, lambda m: together.signal[m][rows]),
        index=together.index[rows],
        class_weights=together.class_weights,
    )


def _condition_of(condition: Condition, rows: slice) -> Condition:
    """The condition of some samples, where it has a level for each."""
    return condition.map_levels(lambda _, level: _level_of(level, rows))


def _level_of(level: Level, rows: slice) -> Level:
    # An array of length 1 is one level for the whole batch.
    return level[rows] if isinstance(level, np.ndarray) and len(level) > 1 else level
