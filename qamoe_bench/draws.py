"""The random draws of corruptions: common to every model and condition in evaluation, fresh in training.

A condition only thresholds or scales draws. In evaluation each (seed, sample id, modality, purpose) owns a stream, so
masks are nested as a rate grows, noise keeps its direction as a level grows, and two models always see the very same
corrupted sample, whatever the batch size, order, worker or device.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qamoe_bench.contract import Batch
from qamoe_bench.seeding import stream


@runtime_checkable  # the test run checks annotations
class Draws(Protocol):
    """Draws for the samples of one batch. Padding always draws 0, so that it stays exactly zero."""

    def presence(self, modality: str) -> Float[Tensor, " B"]:
        """Uniform on [0, 1), one per sample."""
        ...

    def frame(self, modality: str) -> Float[Tensor, "B T"]:
        """Uniform on [0, 1), one per valid frame."""
        ...

    def gaussian(self, modality: str) -> Float[Tensor, "B T D"]:
        """Standard normal, one per valid frame and dimension."""
        ...


class FreshDraws:
    """Draws that are new at every call, for training."""

    def __init__(self, batch: Batch, generator: torch.Generator) -> None:
        self._batch, self._generator = batch, generator

    def presence(self, modality: str) -> Float[Tensor, " B"]:
        """See `Draws`."""
        return self._rand(self._batch.size)

    def frame(self, modality: str) -> Float[Tensor, "B T"]:
        """See `Draws`."""
        mask = self._batch.mask(modality)
        return self._rand(*mask.shape) * mask

    def gaussian(self, modality: str) -> Float[Tensor, "B T D"]:
        """See `Draws`."""
        shape = self._batch.features[modality].shape
        noise = torch.randn(shape, generator=self._generator, device=self._generator.device)
        return noise * self._batch.mask(modality)[..., None]

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._generator.device)


class CommonDraws:
    """The draws of a whole split under one seed, each made when first asked for and then kept."""

    def __init__(self, seed: int, ids: Sequence[str], samples: Batch) -> None:
        """Prepare; `samples` gives lengths, shapes and the device, `ids` the streams."""
        self._seed, self._ids, self._samples = seed, ids, samples
        self._presence = cache(self._draw_presence)
        self._frame = cache(self._draw_frame)
        self._gaussian = cache(self._draw_gaussian)

    def rows(self, rows: Int[Tensor, " B"] | slice) -> Draws:
        """The draws of some samples."""
        return _Rows(self._presence, self._frame, self._gaussian, rows)

    def _draw_presence(self, modality: str) -> Float[Tensor, " N"]:
        draws = [self._stream(i, modality, "presence").random(dtype=np.float32) for i in self._ids]
        return torch.tensor(draws, device=self._samples.lengths[modality].device)

    def _draw_frame(self, modality: str) -> Float[Tensor, "N T"]:
        return self._fill(modality, "frame", self._samples.features[modality].shape[:2])

    def _draw_gaussian(self, modality: str) -> Float[Tensor, "N T D"]:
        return self._fill(modality, "gaussian", self._samples.features[modality].shape)

    def _fill(self, modality: str, purpose: str, shape: torch.Size) -> Tensor:
        # Only valid frames are drawn: how far a batch happens to be padded must not move the stream.
        draws = np.zeros(shape, np.float32)
        lengths = self._samples.lengths[modality].tolist()
        for row, sample, length in zip(draws, self._ids, lengths, strict=True):
            generator = self._stream(sample, modality, purpose)
            target = row[:length]
            if purpose == "gaussian":
                generator.standard_normal(out=target, dtype=np.float32)
            else:
                generator.random(out=target, dtype=np.float32)
        return torch.from_numpy(draws).to(self._samples.features[modality].device)

    def _stream(self, sample: str, modality: str, purpose: str) -> np.random.Generator:
        return stream("corruption", self._seed, sample, modality, purpose)


class _Rows:
    def __init__(
        self,
        presence: Callable[[str], Tensor],
        frame: Callable[[str], Tensor],
        gaussian: Callable[[str], Tensor],
        rows: Int[Tensor, " B"] | slice,
    ) -> None:
        self._draw, self._index = {"presence": presence, "frame": frame, "gaussian": gaussian}, rows

    def presence(self, modality: str) -> Float[Tensor, " B"]:
        return self._draw["presence"](modality)[self._index]

    def frame(self, modality: str) -> Float[Tensor, "B T"]:
        return self._draw["frame"](modality)[self._index]

    def gaussian(self, modality: str) -> Float[Tensor, "B T D"]:
        return self._draw["gaussian"](modality)[self._index]
