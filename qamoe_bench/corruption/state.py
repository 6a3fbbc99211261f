"""A batch on its way through the steps of a condition, and the ways to change it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.protocol import Level


@dataclass(frozen=True)
class Corrupted:
    """A batch after corruption, and what really happened to each sample.

    Attributes:
        batch: The samples as the model sees them.
        gone: Per modality, True at valid frames that were taken away.
        noise: Per modality, the size of what was added or exchanged in units of σ_ref: the standard deviation of
            additive noise, the measured root mean square of every other change that takes nothing away.
    """

    batch: Batch
    gone: Mapping[str, Bool[Tensor, "B _"]]
    noise: Mapping[str, Float[Tensor, " B"]]

    def missing(self, modality: str) -> Float[Tensor, " B"]:
        """Share of a sample's valid frames that were taken away; 1 where there were none to begin with."""
        length = self.batch.lengths[modality]
        return torch.where(length > 0, self.gone[modality].sum(1) / length.clamp(min=1), 1.0)


def per_sample(level: Level, like: Tensor) -> Float[Tensor, "..."]:
    """One float32 level per sample (or one for all), on the device of `like`."""
    return torch.as_tensor(level, dtype=torch.float32, device=like.device).reshape(-1)


def lose(state: Corrupted, missing: Mapping[str, Bool[Tensor, " B"]]) -> Corrupted:
    """Take whole modalities away."""
    return take_away(state, {m: lost[:, None] & state.batch.mask(m) for m, lost in missing.items()})


def take_away(state: Corrupted, gone: Mapping[str, Bool[Tensor, "B _"]]) -> Corrupted:
    """Take frames away."""
    taken = {m: x.masked_fill(gone[m][..., None], 0.0) for m, x in state.batch.features.items() if m in gone}
    return replace(
        state,
        batch=replace(state.batch, features={**state.batch.features, **taken}),
        gone={**state.gone, **{m: state.gone[m] | g for m, g in gone.items()}},
    )


def exchange(state: Corrupted, features: Mapping[str, Tensor], reference: Reference) -> Corrupted:
    """Other features in place of the old ones, with the size of the change measured and recorded."""
    noise = dict(state.noise)
    for m, new in features.items():
        old = state.batch.features[m]
        if new is not old:
            change = (((new - old) / reference.std[m]) ** 2).mean(-1).sum(1) / state.batch.lengths[m].clamp(min=1)
            noise[m] = (noise[m] ** 2 + change).sqrt()
    return replace(state, batch=replace(state.batch, features=features), noise=noise)
