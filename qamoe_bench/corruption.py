"""Corruption: what a condition does to a batch.

One pure function per kind of `qamoe_bench.protocol.KINDS`; they only threshold or scale draws. The unified
degradation of QA-MoE (arXiv 2604.05704, after secondary descriptions), ũ = (1 − I_miss)·(u + ε), is the sequence
gaussian-noise, modality-missing. Noise is additive with a standard deviation of level × σ_ref, where σ_ref is the
standard deviation of each dimension over the valid frames of the training split (the choice of σ_ref is inferred).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.contract import Batch
from qamoe_bench.draws import Draws
from qamoe_bench.protocol import Condition, Level, Step

FeatureStd = Mapping[str, Float[Tensor, "..."]]


@dataclass(frozen=True)
class Corrupted:
    """A batch after corruption, and what really happened to each sample.

    Attributes:
        batch: The samples as the model sees them.
        gone: Per modality, True at valid frames that were taken away.
        noise: Per modality, the standard deviation of the added noise in units of σ_ref.
    """

    batch: Batch
    gone: Mapping[str, Bool[Tensor, "B _"]]
    noise: Mapping[str, Float[Tensor, " B"]]

    def missing(self, modality: str) -> Float[Tensor, " B"]:
        """Share of a sample's valid frames that were taken away; 1 where there were none to begin with."""
        length = self.batch.lengths[modality]
        return torch.where(length > 0, self.gone[modality].sum(1) / length.clamp(min=1), 1.0)


def corrupt(batch: Batch, condition: Condition, draws: Draws, feature_std: FeatureStd) -> Corrupted:
    """Apply the steps of a condition in order; labels, lengths and padding are never touched.

    Args:
        batch: Uncorrupted samples.
        condition: Steps whose levels are numbers, or arrays with one level per sample.
        draws: Draws for exactly these samples.
        feature_std: σ_ref per modality and dimension.
    """
    state = Corrupted(
        batch,
        gone={m: torch.zeros_like(batch.mask(m)) for m in batch.modalities},
        noise={m: torch.zeros(batch.size, device=batch.lengths[m].device) for m in batch.modalities},
    )
    for step in condition.steps:
        levels = {m: v for m, v in step.levels.items() if m in batch.modalities and np.any(v)}
        if levels:  # a level of 0 is the identity, to the bit
            state = APPLY[step.kind](state, replace(step, levels=levels), draws, feature_std)
    return state


def _modality_missing(state: Corrupted, step: Step, draws: Draws, _: FeatureStd) -> Corrupted:
    batch = state.batch
    draw = {m: draws.presence(m) for m in step.levels}
    missing = {m: draw[m] < _per_sample(v, draw[m]) for m, v in step.levels.items()}
    if step.options["keep_one"]:
        missing = _keep_one(batch, missing, draw, step.levels)
    gone = {m: lost[:, None] & batch.mask(m) for m, lost in missing.items()}
    return _take_away(state, gone)


def _keep_one(
    batch: Batch, missing: dict[str, Tensor], draw: Mapping[str, Tensor], levels: Mapping[str, Level]
) -> dict[str, Tensor]:
    """Give one modality back to each sample that would lose all that it has.

    The one with the largest u/η stays. Given that all are missing these ratios are independent and uniform, so the
    choice is uniform; and it is the one that would have gone last, so masks stay nested as η grows.
    """
    has = {m: batch.lengths[m] > 0 for m in batch.modalities}
    left = torch.stack([has[m] & ~missing[m] if m in missing else has[m] for m in batch.modalities])
    lost_all = ~left.any(0)
    ratio = torch.stack(
        [torch.where(has[m], draw[m] / _per_sample(levels[m], draw[m]).clamp(min=1e-30), -1.0) for m in missing]
    )
    kept = ratio.argmax(0)
    return {m: lost & ~(lost_all & (kept == i)) for i, (m, lost) in enumerate(missing.items())}


def _frame_missing(state: Corrupted, step: Step, draws: Draws, _: FeatureStd) -> Corrupted:
    gone = {}
    for m, level in step.levels.items():
        draw = draws.frame(m)
        gone[m] = (draw < _per_sample(level, draw)[:, None]) & state.batch.mask(m)
    return _take_away(state, gone)


def _gaussian_noise(state: Corrupted, step: Step, draws: Draws, feature_std: FeatureStd) -> Corrupted:
    features, noise = dict(state.batch.features), dict(state.noise)
    for m, level in step.levels.items():
        scale = _per_sample(level, features[m])
        features[m] = torch.addcmul(features[m], draws.gaussian(m), scale[:, None, None] * feature_std[m])
        noise[m] = (noise[m] ** 2 + scale**2).sqrt()
    return replace(state, batch=replace(state.batch, features=features), noise=noise)


APPLY: Mapping[str, Callable[[Corrupted, Step, Draws, FeatureStd], Corrupted]] = {
    "modality-missing": _modality_missing,
    "frame-missing": _frame_missing,
    "gaussian-noise": _gaussian_noise,
}


def _per_sample(level: Level, like: Tensor) -> Float[Tensor, "..."]:
    """One float32 level per sample (or one for all), on the device of `like`."""
    return torch.as_tensor(level, dtype=torch.float32, device=like.device).reshape(-1)


def _take_away(state: Corrupted, gone: Mapping[str, Tensor]) -> Corrupted:
    taken = {m: x.masked_fill(gone[m][..., None], 0.0) for m, x in state.batch.features.items() if m in gone}
    return replace(
        state,
        batch=replace(state.batch, features={**state.batch.features, **taken}),
        gone={**state.gone, **{m: state.gone[m] | g for m, g in gone.items()}},
    )
