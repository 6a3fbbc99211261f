"""Batches of a training that are corrupted together, with the same result to the bit as one after another.

In a small batch the number of calls takes the time of a corruption, not the work in them.

Dimension legend: B samples of a batch, N samples of all batches.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import FreshNumbers, Purpose, shape_of_draw, zero_at_padding
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.protocol.level import Level, is_active
from qamoe_bench.protocol.spec import Condition

Request = tuple[Purpose, str]
"""What a draw is for, and the modality."""

Active = tuple[tuple[int, str], ...]
"""Step and modality of every level that is not 0; they decide which draws are made."""


@dataclass(frozen=True)
class BatchGroup:
    """Successive batches that may be corrupted together.

    Attributes:
        sizes: Number of samples of each batch.
        conditions: The condition of each batch, all with the same steps.
        active: The active levels, the same in every batch.
    """

    sizes: Sequence[int]
    conditions: Sequence[Condition]
    active: Active

    @property
    def slices(self) -> list[slice]:
        """The samples of each batch among those of the group."""
        ends = itertools.accumulate(self.sizes)
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]


def groups_of(batches: Iterable[tuple[int, Condition]], limit: int) -> Iterator[BatchGroup]:
    """Successive batches, each with its size and condition, in groups.

    Args:
        batches: The batches, all with the same steps.
        limit: Number of samples from which a group is full.
    """
    for active, same in itertools.groupby(batches, lambda batch: _active_levels(batch[1])):
        sizes: list[int] = []
        conditions: list[Condition] = []
        for size, condition in same:
            if sizes and sum(sizes) >= limit:
                yield BatchGroup(sizes, conditions, active)
                sizes = []
                conditions = []
            sizes.append(size)
            conditions.append(condition)
        yield BatchGroup(sizes, conditions, active)


def _active_levels(condition: Condition) -> Active:
    steps = enumerate(condition.steps)
    return tuple((number, m) for number, step in steps for m, v in step.levels.items() if is_active(v))


class GroupCorruption:
    """Corrupts groups of successive batches with new draws of one generator."""

    def __init__(self, generator: torch.Generator, reference: Reference) -> None:
        self._generator = generator
        self._reference = reference
        self._requests: dict[Active, list[Request]] = {}

    def apply(self, samples: Batch, group: BatchGroup) -> Corrupted:
        """Corrupt the samples of all batches of a group, in order (N)."""
        condition = _joined(group)
        if group.active not in self._requests:
            self._requests[group.active] = _requests(samples, condition, self._reference)
        draws = _GroupDraws(samples, group.sizes, self._requests[group.active], self._generator)
        return apply_condition(samples, condition, draws, self._reference)


def _requests(samples: Batch, condition: Condition, reference: Reference) -> list[Request]:
    """The draws that a condition uses, in order; which ones does not depend on the samples or on other draws."""
    requests: list[Request] = []

    def draws(purpose: Purpose, modality: str) -> Tensor:
        requests.append((purpose, modality))
        return torch.zeros(shape_of_draw(purpose, samples, modality), device=samples.lengths[modality].device)

    apply_condition(samples, condition, draws, reference)
    return requests


class _GroupDraws:
    """Draws for all batches of a group, made in the order in which the batches alone would request them."""

    def __init__(
        self, samples: Batch, sizes: Sequence[int], requests: Sequence[Request], generator: torch.Generator
    ) -> None:
        of_batches = []
        for size in sizes:
            numbers = FreshNumbers(samples, size, generator)
            of_batches.append([numbers(*request) for request in requests])
        of_group = map(torch.cat, zip(*of_batches, strict=True))  # (N, ...) each
        self._left = iter(list(zip(requests, of_group, strict=True)))
        self._samples = samples

    def __call__(self, purpose: Purpose, modality: str) -> Tensor:
        """See `qamoe_bench.corruption.draws.Draws`."""
        request, values = next(self._left)
        assert request == (purpose, modality), "a kind of corruption requested other draws than before"
        return zero_at_padding(values, purpose, self._samples, modality)


def _joined(group: BatchGroup) -> Condition:
    """One condition for the samples of all batches."""
    steps = []
    for of_batches in zip(*(c.steps for c in group.conditions), strict=True):
        first = of_batches[0]
        levels = {m: _joined_level([step.levels[m] for step in of_batches], group.sizes) for m in first.levels}
        steps.append(replace(first, levels=levels))
    return replace(group.conditions[0], steps=tuple(steps))


def _joined_level(levels: Sequence[Level], sizes: Sequence[int]) -> Level:
    """The levels of all batches, (N,); a number stays one, since it is the same for all."""
    if not isinstance(levels[0], np.ndarray):
        return levels[0]
    # An array of length 1 is one level for the whole batch.
    if len(levels[0]) == 1:
        return np.repeat(np.concatenate(levels), sizes)
    return np.concatenate(levels)
