"""Encodings from mapped frames, where conditions lose frames and leave the others as they are.

A model that maps every frame by itself (see `MapsFrames`) maps the frames of a batch once, and encodes what several
conditions leave of them together, which takes one pass over the mapped frames instead of one for each condition. What
was lost is known from the record of the corruption, so that the features with their lost frames are not even computed.

Dimension legend: B samples of a batch, K of them encoded, T frames, L conditions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from qamoe_bench.contract import Batch, MapsFrames
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.clock import Clock
from qamoe_bench.nn.frames import observed_frames


class MappedFrames:
    """The encodings of one modality of one batch at a time.

    Attributes:
        checked: Whether encodings were compared with those of features.
    """

    def __init__(self, model: MapsFrames, whole: Batch, modality: str, clock: Clock) -> None:
        """Nothing is mapped yet.

        Args:
            model: The model, in evaluation mode.
            whole: The split before corruption.
            modality: The modality.
            clock: Every call of the model goes through it.
        """
        self._model = model
        self._whole = Batch({modality: whole.features[modality]}, {modality: whole.lengths[modality]})
        self._modality = modality
        self._clock = clock
        self._before: _Before | None = None  # the batch that was mapped last
        self._ahead = list[tuple[Corrupted, Tensor]]()  # its encodings in later conditions
        self.checked = False

    def serves(self, corrupted: Corrupted, start: int, later: Sequence[Corrupted], *, refresh: bool) -> bool:
        """Whether mapped frames are of use to the batch in a condition; arguments as those of `encode`."""
        if not self._only_erased(corrupted):
            return False
        is_mapped = self._mapped_at(start) is not None
        return refresh or is_mapped or any(map(self._partly_erased, [corrupted, *later]))

    def encode(
        self, corrupted: Corrupted, start: int, rows: Sequence[int], later: Sequence[Corrupted], *, refresh: bool
    ) -> Shaped[Tensor, "K ..."]:
        """The encodings of some rows of a batch.

        Args:
            corrupted: The batch, after corruption.
            start: Its first sample.
            rows: Those to encode.
            later: The batch in conditions that will be asked for next.
            refresh: Whether the batch is mapped and encoded by itself in any case, as in a pass that is timed.
        """
        index = torch.tensor(rows, device=corrupted.batch.lengths[self._modality].device)
        for place, (kept, encoded) in enumerate(self._ahead):
            if kept is corrupted and not refresh:
                del self._ahead[place]  # the samples in this condition are not asked for again
                return encoded[index]
        before = self._mapped_at(start)
        if before is not None and not refresh:
            erased = corrupted.erased[self._modality][index]
            return self._encode_sets(self._clock, before.rows(index), [erased])[0]
        self._before = self._map(start, corrupted.batch.size)
        return self._encode_together(self._before, corrupted, later, refresh)[index]

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

    def _only_erased(self, corrupted: Corrupted) -> bool:
        return self._modality not in corrupted.written and self._modality not in corrupted.token_ids

    def _partly_erased(self, corrupted: Corrupted) -> bool:
        """Whether some sample lost a part of its frames; intact and emptied ones are encoded once in any case."""
        if not self._only_erased(corrupted):
            return False
        return not bool((corrupted.intact(self._modality) | corrupted.emptied(self._modality)).all())

    def _mapped_at(self, start: int) -> "_Before | None":
        """The batch that begins with this sample, if it is the one that was mapped last."""
        return self._before if self._before is not None and self._before.start == start else None

    def _map(self, start: int, size: int) -> "_Before":
        """Map the frames of a batch before corruption."""
        rows = slice(start, start + size)
        # A copy, because a model may change its input.
        x = self._whole.features[self._modality][rows].float().clone()  # (B, T, D)
        batch = Batch({self._modality: x}, {self._modality: self._whole.lengths[self._modality][rows]})
        observed = self._clock(observed_frames, batch, self._modality)
        mapped = self._clock(self._model.map_frames, batch, self._modality)
        shape = x.shape[:2]
        if not isinstance(mapped, tuple) or not all(isinstance(x, Tensor) and x.shape[:2] == shape for x in mapped):
            raise RunFailed(f"map_frames: expected a tuple of tensors that begin with the dimensions {tuple(shape)}")
        return _Before(start, mapped, observed, batch.lengths[self._modality])

    def _encode_together(
        self, before: "_Before", corrupted: Corrupted, later: Sequence[Corrupted], refresh: bool
    ) -> Shaped[Tensor, "B ..."]:
        """Encode what a condition left, and keep the encodings of what later ones left."""
        together = [corrupted, *filter(self._partly_erased, later)]
        erased = [c.erased[self._modality] for c in together]
        alone = 1 if refresh else len(together)  # encodings of later conditions are no part of a pass that is timed
        encoded = self._encode_sets(self._clock, before, erased[:alone])
        if alone < len(together):
            encoded += self._encode_sets(self._clock.untimed, before, erased[alone:])
        self._ahead = list(zip(together[1:], encoded[1:], strict=True))
        return encoded[0]

    def _encode_sets(
        self, call: Callable[..., Any], before: "_Before", erased: Sequence[Bool[Tensor, "B T"]]
    ) -> list[Shaped[Tensor, "B ..."]]:
        """The encodings of what is left when frames are erased, each time others."""
        observed = torch.stack([before.observed & ~one for one in erased], dim=1)  # (B, L, T)
        encoded = call(self._model.encode_mapped, before.mapped, observed, before.lengths, self._modality)
        if not isinstance(encoded, Tensor) or encoded.shape[:2] != observed.shape[:2]:
            got = f"shape {tuple(encoded.shape)}" if isinstance(encoded, Tensor) else type(encoded).__name__
            raise RunFailed(
                f"encode_mapped gave {got}: expected a tensor that begins with the dimensions "
                f"{tuple(observed.shape[:2])}, samples and sets of observed frames; see qamoe_bench.contract.MapsFrames"
            )
        return list(encoded.unbind(1))


@dataclass(frozen=True)
class _Before:
    """A batch before corruption.

    Attributes:
        start: Its first sample.
        mapped: Its mapped frames.
        observed: Which of them are observed.
        lengths: Its lengths.
    """

    start: int
    mapped: tuple[Shaped[Tensor, "B T ..."], ...]
    observed: Bool[Tensor, "B T"]
    lengths: Int[Tensor, " B"]

    def rows(self, index: Int[Tensor, " K"]) -> "_Before":
        """Some of its samples."""
        mapped = tuple(x[index] for x in self.mapped)
        return _Before(self.start, mapped, self.observed[index], self.lengths[index])
