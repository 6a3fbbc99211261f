"""A batch between the steps of a condition, and the operations that change it.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption.changes import Erasure, changed_on_access
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.spec import Step


@dataclass(frozen=True)
class Corrupted:
    """A batch after corruption, and a record of what happened to each sample.

    Attributes:
        batch: The samples as the model sees them.
        valid: Per modality, True at valid frames.
        erased: Per modality, True at valid frames that were erased.
        noise: Per modality, the size of what was added or replaced in units of σ_ref: the standard deviation of
            additive noise, the measured root mean square of every other change that erases nothing.
        token_ids: Modalities that hold token ids, each with the id of a lost token.
        chosen: By kind and modality, the samples that got noise that is constant over the utterance, where chance
            decides about it; only a predictor that is told the corruption may look at it.
        written: Modalities whose frames a step may have given new content, in addition to erasing some.
    """

    batch: Batch
    valid: Mapping[str, Bool[Tensor, "B _"]]
    erased: Mapping[str, Bool[Tensor, "B _"]]
    noise: Mapping[str, Float[Tensor, " B"]]
    token_ids: Mapping[str, int]
    written: frozenset[str] = frozenset()
    chosen: Mapping[tuple[str, str], Bool[Tensor, " B"]] = field(default_factory=dict)

    def missing(self, modality: str) -> Float[Tensor, " B"]:
        """Share of a sample's valid frames that were erased; 1 where the data has none."""
        length = self.batch.lengths[modality]
        # The clamp only avoids 0 / 0 in samples whose result is 1 anyway.
        return torch.where(length > 0, self.erased[modality].sum(1) / length.clamp(min=1), 1.0)

    def signal(self, modality: str) -> Float[Tensor, " B"]:
        """Share of a sample's signal that remains, see `signal_left`."""
        share: Tensor = signal_left(self.missing(modality), self.noise[modality])
        return share

    def intact(self, modality: str) -> Bool[Tensor, " B"]:
        """True only where a sample's frames equal those before corruption to the bit."""
        nothing_erased = ~self.erased[modality].any(1)
        return torch.zeros_like(nothing_erased) if modality in self.written else nothing_erased

    def emptied(self, modality: str) -> Bool[Tensor, " B"]:
        """True only where a sample's frames are those that remain when the whole modality is erased.

        These are zeros, of either sign. Token ids that were moved or replaced before do not count, because [CLS] and
        [SEP] survive erasure and may have changed.
        """
        all_erased = self.erased[modality].sum(1) == self.batch.lengths[modality]
        may_differ = modality in self.written and modality in self.token_ids
        return torch.zeros_like(all_erased) if may_differ else all_erased


def uncorrupted(batch: Batch, token_ids: Mapping[str, int]) -> Corrupted:
    """A batch before the first step."""
    valid = {m: batch.mask(m) for m in batch.modalities}
    return Corrupted(
        batch,
        valid,
        erased={m: torch.zeros_like(mask) for m, mask in valid.items()},
        noise={m: torch.zeros(batch.size, device=batch.lengths[m].device) for m in batch.modalities},
        token_ids=token_ids,
    )


def per_sample(level: Level, like: Tensor) -> Float[Tensor, "..."]:
    """One float32 level per sample (B,), or one for all (1,), on the device of `like`."""
    return torch.as_tensor(level, dtype=torch.float32, device=like.device).reshape(-1)


def share_of(level: Level, count: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """round(level × count), with halves rounded up."""
    # In float32, 0.65 × 90 + 0.5 is below 59. Six digits are more than any protocol file states.
    exact = (per_sample(level, count).double() * 1e6).round() / 1e6
    return (exact * count + 0.5 + 1e-9).floor().long()


def losable_frames(state: Corrupted, step: Step, modality: str, reference: Reference) -> Bool[Tensor, "B T"]:
    """Valid frames without [CLS] and [SEP], where token ids or the option `keep_ends` of a step say that they stay."""
    keep_ends = step.options["keep_ends"]
    kept = keep_ends == "always" or (keep_ends is True and reference.text_has_ends)
    if modality in state.token_ids or (modality == "text" and kept):
        return inner(state, modality)
    return state.valid[modality]


def erase_modalities(state: Corrupted, missing: Mapping[str, Bool[Tensor, " B"]]) -> Corrupted:
    """Erase whole modalities; of token ids [CLS] and [SEP] stay, but count as erased with the rest."""
    erased = {m: lost[:, None] & state.valid[m] for m, lost in missing.items()}  # (B, T) each
    state = erase_frames(state, erased)
    return replace(state, erased=_union(state.erased, erased))


def inner(state: Corrupted, modality: str) -> Bool[Tensor, "B T"]:
    """True at valid frames other than the first and the last, which are [CLS] and [SEP] in text."""
    length = state.batch.lengths[modality]
    position = torch.arange(state.valid[modality].shape[1], device=length.device)  # (T,)
    return (position > 0) & (position < length[:, None] - 1)


def erase_frames(state: Corrupted, erased: Mapping[str, Bool[Tensor, "B _"]]) -> Corrupted:
    """Set frames to zero; token ids become the id of a lost token, except for [CLS] and [SEP]."""
    erased = {m: e & inner(state, m) if m in state.token_ids else e for m, e in erased.items()}
    changes = {m: Erasure(e, state.token_ids.get(m)) for m, e in erased.items()}
    features = changed_on_access(state.batch.features, changes)
    return replace(state, batch=replace(state.batch, features=features), erased=_union(state.erased, erased))


def _union(masks: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of all modalities, with more frames marked in some."""
    return {**masks, **{m: masks[m] | mask for m, mask in more.items()}}


def replace_features(state: Corrupted, features: Mapping[str, Tensor], reference: Reference) -> Corrupted:
    """Replace features, and measure and record the size of the change."""
    square = {}
    for m, new in features.items():
        if new is not state.batch.features[m]:
            square[m] = size_of_change(new - state.batch.features[m], m, reference)  # (B, T)
    return replace_measured(state, features, square)


def replace_measured(
    state: Corrupted, features: Mapping[str, Tensor], square: Mapping[str, Float[Tensor, "B _"]]
) -> Corrupted:
    """Replace features where the squared size of the change of each frame is known, see `size_of_change`."""
    noise = dict(state.noise)
    for m, of_frames in square.items():
        # Sizes of successive steps add up as variances do; a sample's size is the mean over its valid frames.
        noise[m] = (noise[m] ** 2 + of_frames.sum(1) / state.batch.lengths[m].clamp(min=1)).sqrt()  # (B,)
    return replace(state, batch=replace(state.batch, features={**state.batch.features, **features}), noise=noise)


def size_of_change(change: Float[Tensor, "*N D"], modality: str, reference: Reference) -> Float[Tensor, "*N"]:
    """Mean square over the dimensions of each frame, in units of σ_ref²; overwrites `change`."""
    return change.square_() @ (reference.std[modality] ** -2 / change.shape[-1])
