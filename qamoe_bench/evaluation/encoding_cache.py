"""A cache of encodings: a sweep encodes the same frames of a sample once for all conditions and draws.

Whether frames are the same is not guessed from their content. A corruption records which samples it left as they are
and which lost a whole modality (see `Corrupted.intact` and `Corrupted.emptied`), and only their encodings are reused.
What remains of a lost modality depends on its length alone (and, of token ids, on the ends), so samples share it.

The cache holds at most two encodings per modality of a sample, which bounds its memory. A cached encoding equals a
recomputed one up to the last bits, which depend on the other samples of the batch.

Dimension legend: N samples of the split, B of them in a batch, K of these encoded.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from qamoe_bench.contract import Batch, MapsFrames, TwoStage
from qamoe_bench.corruption.state import Corrupted, erase_modalities, uncorrupted
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.clock import Clock
from qamoe_bench.evaluation.mapped_frames import MappedFrames

UNCACHED = -1
"""The slot of an input whose encoding is not cached."""


class EncodingCache:
    """The encodings of one model for the samples of one split.

    Attributes:
        requested: How many encodings were requested, counted per modality and sample.
        computed: How many of them the model computed.
    """

    def __init__(self, model: TwoStage, whole: Corrupted, clock: Clock) -> None:
        """Create an empty cache.

        Args:
            model: The model, in evaluation mode.
            whole: The split before corruption.
            clock: Every call of the model goes through it.
        """
        self._model = model
        self._clock = clock
        self._modalities = {m: _ModalityCache(emptied_inputs(whole, m)) for m in whole.batch.modalities}
        self._mapped: dict[str, MappedFrames] = {}
        if isinstance(model, MapsFrames):
            self._mapped = {m: MappedFrames(model, whole.batch, m, clock) for m in whole.batch.modalities}
        self.requested = 0
        self.computed = 0

    def lookup(
        self, corrupted: Corrupted, start: int, later: Sequence[Corrupted] = (), *, refresh: bool = False
    ) -> dict[str, Tensor]:
        """The encodings of consecutive samples.

        Args:
            corrupted: The samples, after corruption.
            start: The first of them in the split.
            later: The same samples in conditions that will be looked up next, in this order.
            refresh: Whether all are computed again.
        """
        return {m: self._lookup(corrupted, m, start, later, refresh) for m in self._modalities}

    def _lookup(
        self, corrupted: Corrupted, modality: str, start: int, later: Sequence[Corrupted], refresh: bool
    ) -> Shaped[Tensor, "B ..."]:
        cache = self._modalities[modality]
        slots = cache.slots(corrupted, modality, start)
        missing = list(range(len(slots))) if refresh else cache.missing(slots)
        self.requested += len(slots)
        self.computed += len(missing)
        encoded = self._encode(corrupted, modality, start, missing, later, refresh) if missing else None
        return cache.complete(slots, missing, encoded)

    def _encode(
        self,
        corrupted: Corrupted,
        modality: str,
        start: int,
        rows: Sequence[int],
        later: Sequence[Corrupted],
        refresh: bool,
    ) -> Shaped[Tensor, "K ..."]:
        """Encode some rows, from mapped frames where the model maps them and the others are as they were."""
        mapped = self._mapped.get(modality)
        encoded: object
        if mapped is None or not mapped.serves(corrupted, start, later, refresh=refresh):
            encoded = self._encode_features(corrupted.batch, modality, rows)
        else:
            encoded = mapped.encode(corrupted, start, rows, later, refresh=refresh)
            if not (mapped.checked or refresh):
                mapped.check(encoded, self._encode_features(corrupted.batch, modality, rows))
        if not isinstance(encoded, Tensor) or encoded.shape[:1] != (len(rows),):
            got = f"shape {tuple(encoded.shape)}" if isinstance(encoded, Tensor) else type(encoded).__name__
            raise RunFailed(f"encoding a modality gave {got}: expected a tensor with a row for each of {len(rows)}")
        return encoded

    def _encode_features(self, batch: Batch, modality: str, rows: Sequence[int]) -> object:
        """Encode some rows; the model gets only these rows of this modality, so nothing else can have an effect."""
        x = batch.features[modality]  # (B, T, D)
        lengths = batch.lengths[modality]  # (B,)
        if len(rows) < batch.size:
            index = torch.tensor(rows, device=lengths.device)
            x = x[index]  # (K, T, D)
            lengths = lengths[index]  # (K,)
        encoded: object = self._clock(self._model.encode_modality, Batch({modality: x}, {modality: lengths}), modality)
        return encoded


def emptied_inputs(whole: Corrupted, modality: str) -> Int[Tensor, " N"]:
    """A number from 0 for what remains of each sample without a modality; equal numbers mean equal inputs."""
    lengths = whole.batch.lengths[modality]
    inputs = lengths[:, None]  # (N, 1)
    if modality in whole.token_ids:
        # Of token ids [CLS] and [SEP] remain, so the whole sequence of ids is compared.
        only = uncorrupted(Batch({modality: whole.batch.features[modality]}, {modality: lengths}), whole.token_ids)
        emptied = erase_modalities(only, {modality: torch.ones_like(lengths, dtype=torch.bool)})
        ids = emptied.batch.features[modality][..., 0].long()  # (N, T)
        inputs = torch.cat([inputs, ids], dim=1)  # (N, 1 + T)
    numbers: Tensor = torch.unique(inputs, dim=0, return_inverse=True)[1]
    return numbers


class _ModalityCache:
    """The encodings of one modality: N slots for intact samples, then one slot for each distinct emptied input."""

    def __init__(self, emptied: Int[Tensor, " N"]) -> None:
        self._emptied_slots = emptied + len(emptied)  # (N,)
        self._size = int(self._emptied_slots.max()) + 1
        self._filled = set[int]()
        self._encodings: Tensor | None = None  # (slots, ...), allocated with the shape of the first encoding

    def slots(self, corrupted: Corrupted, modality: str, start: int) -> list[int]:
        """The slot of each input of a batch, or `UNCACHED`."""
        intact = corrupted.intact(modality)  # (B,)
        sample = torch.arange(start, start + len(intact), device=intact.device)
        slot = torch.where(intact, sample, UNCACHED)
        # A sample that has no frames in the data is both intact and emptied; the emptied slot is the shared one.
        slot = slot.where(~corrupted.emptied(modality), self._emptied_slots[sample])
        slots: list[int] = slot.tolist()
        return slots

    def missing(self, slots: Sequence[int]) -> list[int]:
        """The rows to compute: the first row of every empty slot, and all rows without a slot."""
        rows = []
        known = set(self._filled)
        for row, slot in enumerate(slots):
            if slot == UNCACHED:
                rows.append(row)
            elif slot not in known:
                rows.append(row)
                known.add(slot)
        return rows

    def complete(
        self, slots: Sequence[int], computed: Sequence[int], encoded: Tensor | None
    ) -> Shaped[Tensor, "B ..."]:
        """The encodings of all rows, after the computed ones were stored.

        Args:
            slots: The slot of each row.
            computed: The rows that were computed.
            encoded: Their encodings (K, ...); None where there are none.
        """
        if encoded is not None:
            self._store(slots, computed, encoded)
            if len(computed) == len(slots):
                return encoded
        assert self._encodings is not None
        # Rows without a slot read slot 0 and are overwritten below.
        index = torch.tensor(slots, device=self._encodings.device).clamp(min=0)
        rows = self._encodings[index]  # (B, ...)
        if encoded is not None:
            rows[torch.tensor(computed, device=rows.device)] = encoded
        return rows

    def _store(self, slots: Sequence[int], computed: Sequence[int], encoded: Shaped[Tensor, "K ..."]) -> None:
        if self._encodings is None:
            self._encodings = encoded.new_zeros(self._size, *encoded.shape[1:])
        # With `refresh` several rows of a batch may share a slot; the last of them stays.
        position = {slots[row]: i for i, row in enumerate(computed) if slots[row] != UNCACHED}
        if position:
            target = torch.tensor(list(position), device=encoded.device)
            source = torch.tensor(list(position.values()), device=encoded.device)
            self._encodings[target] = encoded[source]
            self._filled |= position.keys()
