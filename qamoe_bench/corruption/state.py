"""A batch on its way through the steps of a condition, and the ways to change it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.protocol.spec import Level


class Deferred(Mapping[str, Tensor]):
    """Features of some modalities changed, each when it is first looked at: who knows what became of it need not."""

    def __init__(self, before: Mapping[str, Tensor], changes: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
        self._before, self._changes = before, changes
        self._changed: dict[str, Tensor] = {}

    def __getitem__(self, modality: str) -> Tensor:
        if modality not in self._changes:
            return self._before[modality]
        if modality not in self._changed:
            self._changed[modality] = self._changes[modality](self._before[modality])
        return self._changed[modality]

    def __contains__(self, modality: object) -> bool:
        return modality in self._before

    def __iter__(self) -> Iterator[str]:
        return iter(self._before)

    def __len__(self) -> int:
        return len(self._before)


@dataclass(frozen=True)
class Corrupted:
    """A batch after corruption, and what really happened to each sample.

    Attributes:
        batch: The samples as the model sees them.
        gone: Per modality, True at valid frames that were taken away.
        noise: Per modality, the size of what was added or exchanged in units of σ_ref: the standard deviation of
            additive noise, the measured root mean square of every other change that takes nothing away.
        token_ids: Modalities that hold token ids, each with the id that stands for a lost token.
        written: Modalities whose frames a step may have given new content, beside taking some away.
    """

    batch: Batch
    gone: Mapping[str, Bool[Tensor, "B _"]]
    noise: Mapping[str, Float[Tensor, " B"]]
    token_ids: Mapping[str, int]
    written: frozenset[str] = frozenset()

    def missing(self, modality: str) -> Float[Tensor, " B"]:
        """Share of a sample's valid frames that were taken away; 1 where there were none to begin with."""
        length = self.batch.lengths[modality]
        return torch.where(length > 0, self.gone[modality].sum(1) / length.clamp(min=1), 1.0)

    def signal(self, modality: str) -> Float[Tensor, " B"]:
        """Share of a sample's signal that is left, see `signal_left`."""
        left: Tensor = signal_left(self.missing(modality), self.noise[modality])
        return left

    def intact(self, modality: str) -> Bool[Tensor, " B"]:
        """True only where a sample's frames are those before corruption, to the bit."""
        untaken = ~self.gone[modality].any(1)
        return torch.zeros_like(untaken) if modality in self.written else untaken

    def emptied(self, modality: str) -> Bool[Tensor, " B"]:
        """True only where a sample's frames are what is left when the whole modality is lost.

        Zeros, of either sign. Of token ids that were moved or replaced before the ends may be others, so they do not
        count.
        """
        taken = self.gone[modality].sum(1) == self.batch.lengths[modality]
        return torch.zeros_like(taken) if modality in self.written.intersection(self.token_ids) else taken


def untouched(batch: Batch, token_ids: Mapping[str, int]) -> Corrupted:
    """A batch before the first step."""
    return Corrupted(
        batch,
        gone={m: torch.zeros_like(batch.mask(m)) for m in batch.modalities},
        noise={m: torch.zeros(batch.size, device=batch.lengths[m].device) for m in batch.modalities},
        token_ids=token_ids,
    )


def per_sample(level: Level, like: Tensor) -> Float[Tensor, "..."]:
    """One float32 level per sample (or one for all), on the device of `like`."""
    return torch.as_tensor(level, dtype=torch.float32, device=like.device).reshape(-1)


def lose(state: Corrupted, missing: Mapping[str, Bool[Tensor, " B"]]) -> Corrupted:
    """Take whole modalities away; of token ids [CLS] and [SEP] stay, and count as gone with the rest."""
    gone = {m: lost[:, None] & state.batch.mask(m) for m, lost in missing.items()}
    state = take_away(state, gone)
    return replace(state, gone={**state.gone, **{m: state.gone[m] | g for m, g in gone.items()}})


def inner(batch: Batch, modality: str) -> Bool[Tensor, "B T"]:
    """True at valid frames other than the first and the last, which are [CLS] and [SEP] in text."""
    position = torch.arange(batch.features[modality].shape[1], device=batch.lengths[modality].device)
    return (position > 0) & (position < batch.lengths[modality][:, None] - 1)


def take_away(state: Corrupted, gone: Mapping[str, Bool[Tensor, "B _"]]) -> Corrupted:
    """Take frames away: features become zero; token ids become the id of a lost token, but for [CLS] and [SEP]."""
    gone = {m: g & inner(state.batch, m) if m in state.token_ids else g for m, g in gone.items()}
    changes = {m: partial(_without, lost=lost, token=state.token_ids.get(m)) for m, lost in gone.items()}
    return replace(
        state,
        batch=replace(state.batch, features=Deferred(state.batch.features, changes)),
        gone={**state.gone, **{m: state.gone[m] | g for m, g in gone.items()}},
    )


def _without(x: Float[Tensor, "B T D"], lost: Bool[Tensor, "B T"], token: int | None) -> Float[Tensor, "B T D"]:
    if token is not None:
        return x.masked_fill(lost[..., None], token)
    # Five times as fast as masked_fill; it needs finite features, and may leave a zero with a sign.
    return x * (~lost)[..., None].to(x.dtype)


def exchange(state: Corrupted, features: Mapping[str, Tensor], reference: Reference) -> Corrupted:
    """Other features in place of the old ones, with the size of the change measured and recorded."""
    changed = {m: new for m, new in features.items() if new is not state.batch.features[m]}
    square = {m: size_of_change(new - state.batch.features[m], m, reference) for m, new in changed.items()}
    return exchange_measured(state, features, square)


def exchange_measured(
    state: Corrupted, features: Mapping[str, Tensor], square: Mapping[str, Float[Tensor, "B _"]]
) -> Corrupted:
    """Other features in place of the old ones, where the size of the change of each frame is known."""
    noise = dict(state.noise)
    for m, of_frames in square.items():
        noise[m] = (noise[m] ** 2 + of_frames.sum(1) / state.batch.lengths[m].clamp(min=1)).sqrt()
    return replace(state, batch=replace(state.batch, features={**state.batch.features, **features}), noise=noise)


def size_of_change(change: Float[Tensor, "*N D"], modality: str, reference: Reference) -> Float[Tensor, "*N"]:
    """Mean square over the dimensions of each frame, in units of σ_ref²; overwrites `change`."""
    return change.square_() @ (reference.std[modality] ** -2 / change.shape[-1])
