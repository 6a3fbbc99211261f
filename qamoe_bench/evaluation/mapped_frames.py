"""Mapped frames of a split, kept for conditions that lose frames and leave the others as they are.

A model that maps every frame by itself (see `MapsFrames`) needs only to summarise again what is left. What was lost is
known from the record of the corruption, so that the features with their lost frames are not even computed.

Dimension legend: N samples of the split, B of them in a batch, K of these encoded, T frames.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from qamoe_bench.contract import Batch, MapsFrames
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.errors import RunFailed
from qamoe_bench.nn.frames import observed_frames

MOST_BYTES = 2**28
"""Of the mapped frames of one modality; those of larger splits are mapped again for every condition."""


class MappedFrames:
    """The frames of one modality as a model maps them, batch by batch as they are asked for.

    Attributes:
        checked: Whether encodings were compared with those of features.
    """

    def __init__(self, model: MapsFrames, whole: Batch, modality: str, call: Callable[..., Any]) -> None:
        """Nothing is mapped yet.

        Args:
            model: The model, in evaluation mode.
            whole: The split before corruption.
            modality: The modality.
            call: Calls a function with arguments; every call of the model goes through it.
        """
        self._model = model
        self._whole = Batch({modality: whole.features[modality]}, {modality: whole.lengths[modality]})
        self._modality = modality
        self._call = call
        self._mapped: dict[int, tuple[Tensor, ...]] = {}  # by the first sample of a batch
        self._observed: dict[int, Tensor] = {}  # (B, T) each
        self._affordable = True
        self.checked = False

    def serves(self, corrupted: Corrupted) -> bool:
        """Whether frames were lost at most, and the mapped frames of the split are few enough to be kept."""
        plain = self._modality not in corrupted.written and self._modality not in corrupted.token_ids
        return plain and self._affordable

    def encode(
        self, corrupted: Corrupted, start: int, rows: Sequence[int], *, refresh: bool
    ) -> Shaped[Tensor, "K ..."] | None:
        """The encodings of some rows of a batch, or None if its frames cannot be kept.

        Args:
            corrupted: The batch, after corruption.
            start: Its first sample.
            rows: Those to encode.
            refresh: Whether its frames are mapped again in any case, as in a pass that is timed.
        """
        if (refresh or start not in self._mapped) and not self._map(start, corrupted.batch.size):
            return None
        mapped = self._mapped[start]
        observed = self._observed[start] & ~corrupted.erased[self._modality]
        lengths = corrupted.batch.lengths[self._modality]
        if len(rows) < len(lengths):
            index = torch.tensor(rows, device=lengths.device)
            mapped = tuple(part[index] for part in mapped)
            observed = observed[index]
            lengths = lengths[index]
        encoded: Tensor = self._call(self._model.encode_mapped, mapped, observed, lengths, self._modality)
        return encoded

    def check(self, encoded: object, expected: object) -> None:
        """Check that mapped frames and features gave the same encodings of the same rows."""
        self.checked = True
        if isinstance(encoded, Tensor) and isinstance(expected, Tensor) and encoded.shape == expected.shape:
            tolerance = 1e-3 if expected.dtype == torch.float32 else 0.1
            scale = float(expected.abs().max()) if expected.numel() else 0.0
            if torch.allclose(encoded.float(), expected.float(), rtol=tolerance, atol=tolerance * scale):
                return
        raise RunFailed(
            f"encode_mapped(map_frames(...)) and encode_modality differ for {self._modality} with lost frames: "
            "expected equal encodings, in which frames that are not observed have no effect; see "
            "qamoe_bench.contract.MapsFrames"
        )

    def _map(self, start: int, size: int) -> bool:
        """Map the frames of a batch before corruption; False if all batches together would be too large."""
        rows = slice(start, start + size)
        # A copy, because a model may change its input.
        x = self._whole.features[self._modality][rows].float().clone()  # (B, T, D)
        batch = Batch({self._modality: x}, {self._modality: self._whole.lengths[self._modality][rows]})
        observed = self._call(observed_frames, batch, self._modality)
        mapped = self._call(self._model.map_frames, batch, self._modality)
        shape = x.shape[:2]
        if not isinstance(mapped, tuple) or not all(isinstance(x, Tensor) and x.shape[:2] == shape for x in mapped):
            raise RunFailed(f"map_frames: expected a tuple of tensors that begin with the dimensions {tuple(shape)}")
        self._affordable = sum(x.nbytes for x in mapped) * self._whole.size <= MOST_BYTES * size
        if self._affordable:
            self._mapped[start] = mapped
            self._observed[start] = observed
        return self._affordable
