"""Encodings of a sweep: the same frames of a sample are encoded once, in however many conditions and draws they come.

Whether frames are the same is not guessed from their content: a corruption says which samples it left as they are and
which lost a whole modality (see `Corrupted.intact` and `Corrupted.emptied`), and nothing else is reused. What is left
of a lost modality depends on its length alone (and, of token ids, on the ends), so samples share it.

That bounds the memory: at most two encodings per modality of a sample are kept. A reused encoding equals a new one but
for the last bits, which depend on what else was in the batch.

Dimension legend: N samples of the split, B of them in a batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from qamoe_bench.contract import Batch, TwoStage
from qamoe_bench.corruption.state import Corrupted, lose, untouched
from qamoe_bench.errors import RunFailed

OTHER = -1
"""The place of an input that is kept nowhere."""


class Encodings:
    """The encodings of one model for the samples of one split.

    Attributes:
        asked: How many were asked for, modality by modality and sample by sample.
        computed: How many of them the model computed.
    """

    def __init__(self, model: TwoStage, whole: Corrupted, call: Callable[..., Any]) -> None:
        """Prepare.

        Args:
            model: The model, in evaluation mode.
            whole: The split before corruption.
            call: Calls a function with arguments; every call of the model goes through it.
        """
        self._model, self._call = model, call
        self._shelves = {m: _Shelf(emptied_inputs(whole, m)) for m in whole.batch.modalities}
        self.asked = self.computed = 0

    def of(self, corrupted: Corrupted, start: int, *, anew: bool = False) -> dict[str, Tensor]:
        """The encodings of consecutive samples, `start` being the first; `anew`, all of them are computed."""
        return {m: self._of(corrupted, m, start, anew) for m in self._shelves}

    def _of(self, corrupted: Corrupted, modality: str, start: int, anew: bool) -> Shaped[Tensor, "B ..."]:
        shelf = self._shelves[modality]
        places = shelf.places(corrupted, modality, start)
        lacking = list(range(len(places))) if anew else shelf.lacking(places)
        self.asked += len(places)
        self.computed += len(lacking)
        encoded = self._encode(corrupted.batch, modality, lacking) if lacking else None
        return shelf.filled(places, lacking, encoded)

    def _encode(self, batch: Batch, modality: str, rows: Sequence[int]) -> Shaped[Tensor, "K ..."]:
        """Only these rows of this modality, so that nothing else can have an influence."""
        x, lengths = batch.features[modality], batch.lengths[modality]
        if len(rows) < batch.size:
            index = torch.tensor(rows, device=lengths.device)
            x, lengths = x[index], lengths[index]
        encoded = self._call(self._model.encode_modality, Batch({modality: x}, {modality: lengths}), modality)
        if not isinstance(encoded, Tensor) or encoded.shape[:1] != (len(rows),):
            found = f"shape {tuple(encoded.shape)}" if isinstance(encoded, Tensor) else type(encoded).__name__
            raise RunFailed(f"encode_modality returned {found}: expected a tensor with a row for each of {len(rows)}")
        return encoded


def emptied_inputs(whole: Corrupted, modality: str) -> Int[Tensor, " N"]:
    """Numbers from 0 for what is left of each sample when it loses a modality: equal numbers, equal inputs."""
    lengths = whole.batch.lengths[modality]
    inputs = lengths[:, None]
    if modality in whole.token_ids:
        only = untouched(Batch({modality: whole.batch.features[modality]}, {modality: lengths}), whole.token_ids)
        left = lose(only, {modality: torch.ones_like(lengths, dtype=torch.bool)}).batch.features[modality]
        inputs = torch.cat([inputs, left[..., 0].long()], dim=1)
    numbers: Tensor = torch.unique(inputs, dim=0, return_inverse=True)[1]
    return numbers


class _Shelf:
    """The kept encodings of one modality: a place for each sample as it is, then one for each emptied input."""

    def __init__(self, emptied: Int[Tensor, " N"]) -> None:
        self._emptied = emptied + len(emptied)
        self._size = int(self._emptied.max()) + 1
        self._taken = set[int]()
        self._rows: Tensor | None = None

    def places(self, corrupted: Corrupted, modality: str, start: int) -> list[int]:
        """The place of each input of a batch, or `OTHER`."""
        intact, emptied = corrupted.intact(modality), corrupted.emptied(modality)
        sample = torch.arange(start, start + len(intact), device=intact.device)
        place = torch.where(intact, sample, OTHER).where(~emptied, self._emptied[sample])
        places: list[int] = place.tolist()
        return places

    def lacking(self, places: Sequence[int]) -> list[int]:
        """The rows that must be computed: the first of every place that is empty, and all that have no place."""
        rows, seen = [], set(self._taken)
        for row, place in enumerate(places):
            if place not in seen:
                rows.append(row)
                seen |= {place} - {OTHER}
        return rows

    def filled(self, places: Sequence[int], fresh: Sequence[int], encoded: Tensor | None) -> Shaped[Tensor, "B ..."]:
        """The encodings of all places, after the fresh ones were put on the shelf."""
        if encoded is not None:
            self._keep({places[row]: i for i, row in enumerate(fresh) if places[row] != OTHER}, encoded)
        if encoded is not None and len(fresh) == len(places):
            return encoded
        assert self._rows is not None
        rows = self._rows[torch.tensor(places, device=self._rows.device).clamp(min=0)]
        if encoded is not None:
            rows[torch.tensor(fresh, device=rows.device)] = encoded
        return rows

    def _keep(self, index: dict[int, int], encoded: Shaped[Tensor, "K ..."]) -> None:
        if self._rows is None:
            self._rows = encoded.new_zeros(self._size, *encoded.shape[1:])
        if index:
            places, rows = (torch.tensor([*part], device=encoded.device) for part in (index, index.values()))
            self._rows[places] = encoded[rows]
            self._taken |= index.keys()
