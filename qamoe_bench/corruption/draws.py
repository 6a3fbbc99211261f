"""The random draws of corruptions: common to every model and condition in evaluation, fresh in training.

A condition only thresholds or scales draws. In evaluation each (seed, draw, sample id, modality, purpose) has its own
stream of random numbers, so masks are nested as a rate grows, noise keeps its direction as a level grows, and two
models always see the same corrupted sample, whatever the batch size, order, worker or device.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.contract import Batch
from qamoe_bench.seeding import stream

CACHE_BYTES = 2**29
"""A draw for a whole split is cached up to this size; a larger one is recomputed for each chunk and condition."""


@dataclass(frozen=True)
class Purpose:
    """What a draw is used for.

    Attributes:
        name: Separates its stream from others.
        per: One number per `sample` (B,), per valid `frame` (B, T), per `dimension` (B, D) or per `value` of a valid
            frame (B, T, D). Padding always gets 0, so that it stays exactly zero.
        law: Uniform on [0, 1), standard normal, or Laplace with mean 0 and variance 1.
        shared: Modalities that are padded to equal widths get equal draws, whatever the lengths of a sample.
        joint: One draw for all modalities of a sample.
    """

    name: str
    per: Literal["sample", "frame", "dimension", "value"]
    law: Literal["uniform", "normal", "laplace"] = "uniform"
    shared: bool = False
    joint: bool = False

    @property
    def has_padding(self) -> bool:
        """Whether a draw has numbers for frames, some of which are padding."""
        return self.per in ("frame", "value")


@runtime_checkable  # the test run checks annotations
class Draws(Protocol):
    """Draws for the samples of one batch."""

    def __call__(self, purpose: Purpose, modality: str) -> Tensor:
        """The draw, in the shape that the purpose says."""
        ...


class FreshNumbers:
    """The random numbers of draws that are new at every call, for training; padding has numbers too.

    A draw that modalities have in common is new for the first of them.
    """

    def __init__(self, samples: Batch, size: int, generator: torch.Generator) -> None:
        """Prepare.

        Args:
            samples: Any samples with as many frames and dimensions as those of the batch.
            size: Number of samples of the batch.
            generator: On the device of the samples.
        """
        self._samples = samples
        self._size = size
        self._generator = generator
        # Draws that several modalities have in common, by purpose and owner; the widest of them sets the shape.
        self._kept: dict[tuple[Purpose, str], Tensor] = {}

    def __call__(self, purpose: Purpose, modality: str) -> Tensor:
        """Numbers in the shape that the purpose says."""
        shape = self._shape(purpose, modality)
        if purpose.shared or purpose.joint:
            return self._common(purpose, modality)[tuple(slice(size) for size in shape)]
        return self._new(purpose, shape)

    def _shape(self, purpose: Purpose, modality: str) -> torch.Size:
        return torch.Size((self._size, *shape_of_draw(purpose, self._samples, modality)[1:]))

    def _common(self, purpose: Purpose, modality: str) -> Tensor:
        """The numbers of all modalities that share them with this modality."""
        owner = _stream_owner(purpose, modality, self._samples)
        if (purpose, owner) not in self._kept:
            sharing = [m for m in self._samples.modalities if _stream_owner(purpose, m, self._samples) == owner]
            shapes = [self._shape(purpose, m) for m in sharing]
            self._kept[purpose, owner] = self._new(purpose, torch.Size(map(max, zip(*shapes, strict=True))))
        return self._kept[purpose, owner]

    def _new(self, purpose: Purpose, shape: torch.Size) -> Tensor:
        device = self._generator.device
        if purpose.law == "normal":
            values = torch.randn(shape, generator=self._generator, device=device)
        else:
            values = torch.rand(shape, generator=self._generator, device=device)
        if purpose.law == "laplace":
            # The same NumPy function as for common draws; it needs the values on the CPU.
            values = torch.from_numpy(_laplace(values.cpu().numpy())).to(device)
        return values


def zero_at_padding(values: Tensor, purpose: Purpose, samples: Batch, modality: str) -> Tensor:
    """The numbers of a purpose for some samples, with 0 at padding where they have any."""
    if not purpose.has_padding:
        return values
    mask = samples.mask(modality)  # (B, T)
    return values * (mask if purpose.per == "frame" else mask[..., None])


class CommonDraws:
    """The draws of a whole split under one seed, each computed on first use and cached unless it is too large."""

    def __init__(self, seed: int, ids: Sequence[str], samples: Batch, draw: int = 0) -> None:
        """Prepare.

        Args:
            seed: Of all draws.
            ids: Names of the samples; they address the streams.
            samples: The samples, for lengths, shapes and device.
            draw: Which of several independent draws under one seed.
        """
        self._seed = seed
        self._ids = ids
        self._samples = samples
        self._draw = draw
        self._cache: dict[tuple[Purpose, str], Tensor] = {}

    def rows(self, rows: Int[Tensor, " B"] | slice) -> Draws:
        """The draws of some samples."""
        return lambda purpose, modality: self._some(purpose, modality, rows)

    def _some(self, purpose: Purpose, modality: str, rows: Int[Tensor, " B"] | slice) -> Tensor:
        # Draws are float32, so 4 bytes a number.
        if 4 * shape_of_draw(purpose, self._samples, modality).numel() > CACHE_BYTES:
            return self._make(purpose, modality, np.arange(len(self._ids))[_numpy(rows)])
        # A joint draw per sample is the same for all modalities, so it is cached once.
        key = (purpose, "" if purpose.joint and purpose.per == "sample" else modality)
        if key not in self._cache:
            self._cache[key] = self._make(purpose, modality, np.arange(len(self._ids)))
        return self._cache[key][rows]

    def _make(self, purpose: Purpose, modality: str, rows: NDArray[np.int64]) -> Tensor:
        draws = np.zeros((len(rows), *shape_of_draw(purpose, self._samples, modality)[1:]), np.float32)
        targets = draws[:, None] if purpose.per == "sample" else draws  # a view of each row that can be written to
        lengths = self._samples.lengths[modality].tolist()
        for target, row in zip(targets, rows.tolist(), strict=True):
            # Only valid frames are drawn, because the padded length of a batch must not move the stream.
            count = lengths[row] if purpose.has_padding else None
            owner = _stream_owner(purpose, modality, self._samples)
            words = (self._seed, self._draw, self._ids[row], owner, purpose.name)
            _fill(stream("corruption", *words), purpose, target[:count])
        return torch.from_numpy(draws).to(self._samples.features[modality].device)


def _stream_owner(purpose: Purpose, modality: str, samples: Batch) -> str:
    """The part of a stream's address that separates modalities, or makes them share the stream."""
    if purpose.joint:
        return "all"
    if not purpose.shared:
        return modality
    # The first of the modalities of this width, so that padding all of them further changes nothing.
    width = samples.features[modality].shape[1]
    return next(m for m in samples.modalities if samples.features[m].shape[1] == width)


def _fill(generator: np.random.Generator, purpose: Purpose, target: NDArray[np.float32]) -> None:
    if purpose.law == "normal":
        generator.standard_normal(out=target, dtype=np.float32)
        return
    generator.random(out=target, dtype=np.float32)
    if purpose.law == "laplace":
        target[...] = _laplace(target)


def _laplace(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Laplace numbers of variance 1 by the inverse distribution function."""
    centred = uniform - np.float32(0.5)
    # A uniform of exactly 0 would give infinity; 2^-24 is the resolution of the float32 uniform.
    tail = np.clip(1 - 2 * np.abs(centred), np.float32(2**-24), None)
    return np.asarray(-np.sign(centred) * np.log(tail) / np.sqrt(2), np.float32)


def shape_of_draw(purpose: Purpose, samples: Batch, modality: str) -> torch.Size:
    """The shape of a draw for samples, see `Purpose`."""
    b, t, d = samples.features[modality].shape
    shapes = {"sample": (b,), "frame": (b, t), "dimension": (b, d), "value": (b, t, d)}
    return torch.Size(shapes[purpose.per])


def _numpy(rows: Tensor | slice) -> NDArray[np.int64] | slice:
    return rows if isinstance(rows, slice) else rows.cpu().numpy()
