"""Kinds that change the values of frames.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.contract import Reference
from qamoe_bench.corruption.changes import changed_on_access
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.modalities import PRESENCE
from qamoe_bench.corruption.state import Corrupted, erase_modalities, per_sample, replace_features
from qamoe_bench.protocol.spec import Step

GAUSSIAN = Purpose("gaussian", "value", "normal")
LAPLACE = Purpose("laplace", "value", "laplace")
UTTERANCE = Purpose("utterance", "dimension", "normal")
CHOICE = Purpose("choice", "sample")
EXTREME = Purpose("extreme", "value")
SCALAR = Purpose("scalar", "sample", "normal")

SALT_AND_PEPPER_EXTREME = 3.0  # in σ_ref from the mean


def additive(purpose: Purpose) -> Callable[[Corrupted, Step, Draws, Reference], Corrupted]:
    """X + level × σ_ref × draw at valid frames."""

    def apply(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
        changes = {}
        noise = dict(state.noise)
        for m, level in step.levels.items():
            scale = per_sample(level, state.batch.lengths[m])  # (B,) or (1,)
            draw = draws(purpose, m)  # (B, T, D) or (B, D)
            # Draws of values are 0 at padding already; the others must be masked to leave padding at zero.
            mask = state.valid[m] if purpose.per == "dimension" else None
            changes[m] = partial(_added, draw=draw, scale=scale[:, None, None] * reference.std[m], mask=mask)
            noise[m] = (noise[m] ** 2 + scale**2).sqrt()  # independent noises add up as variances do
        features = changed_on_access(state.batch.features, changes)
        return replace(state, batch=replace(state.batch, features=features), noise=noise)

    return apply


def _added(
    x: Float[Tensor, "B T D"],
    draw: Float[Tensor, "B ..."],
    scale: Float[Tensor, "_ 1 D"],
    mask: Bool[Tensor, "B T"] | None,
) -> Float[Tensor, "B T D"]:
    """The frames plus draws times scales; with a mask, one draw for all frames that it has."""
    if mask is not None:
        draw = draw[:, None] * mask[..., None]
    return torch.addcmul(x, draw, scale)


def occasional_noise(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """Utterance noise for the samples whose uniform draw is below 1/2."""
    chosen = {m: draws(CHOICE, m) < 0.5 for m in step.levels}  # (B,) each
    levels = {}
    for m, level in step.levels.items():
        levels[m] = (per_sample(level, chosen[m]) * chosen[m]).cpu().numpy()
    return _with_choice(additive(UTTERANCE)(state, replace(step, levels=levels), draws, reference), step, chosen)


def frame_or_utterance_noise(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """Utterance noise for the samples whose uniform draw is below 1/2, frame noise for the others."""
    chosen = {m: draws(CHOICE, m) < 0.5 for m in step.levels}  # (B,) each
    per_utterance = {}
    per_frame = {}
    for m, level in step.levels.items():
        scale = per_sample(level, chosen[m])
        per_utterance[m] = (scale * chosen[m]).cpu().numpy()
        per_frame[m] = (scale * ~chosen[m]).cpu().numpy()
    state = additive(UTTERANCE)(state, replace(step, levels=per_utterance), draws, reference)
    state = additive(GAUSSIAN)(state, replace(step, levels=per_frame), draws, reference)
    return _with_choice(state, step, chosen)


def _with_choice(state: Corrupted, step: Step, chosen: Mapping[str, Bool[Tensor, " B"]]) -> Corrupted:
    """The state with a record of the samples that a kind chose."""
    added = {(step.kind, m): samples for m, samples in chosen.items()}
    return replace(state, chosen={**state.chosen, **added})


def salt_and_pepper(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """A draw below rate/2 gives the low extreme, one from there to rate the high one."""
    features = dict(state.batch.features)
    for m, level in step.levels.items():
        draw = draws(EXTREME, m)  # (B, T, D)
        mask = state.valid[m][..., None]  # (B, T, 1)
        rate = per_sample(level, draw)[:, None, None]
        side = torch.copysign(torch.ones_like(rate), draw - rate / 2)  # ±1; faster than a broadcast torch.where
        extreme = torch.addcmul(reference.mean[m], side, SALT_AND_PEPPER_EXTREME * reference.std[m])
        features[m] = torch.where(draw < rate, extreme, features[m]) * mask.to(draw.dtype)
    return replace_features(state, features, reference)


def scalar_noise(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """A sample is multiplied by its factor when its uniform draw is below the rate."""
    features = dict(state.batch.features)
    for m, level in step.levels.items():
        draw = draws(PRESENCE, m)  # (B,)
        features[m] = _multiplied(features[m], draw < per_sample(level, draw), draws(SCALAR, m))
    return replace_features(state, features, reference)


def missing_or_scalar_noise(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """A sample is erased when its draw is below the rate, and multiplied from there to twice the rate."""
    features = dict(state.batch.features)
    missing = {}
    for m, level in step.levels.items():
        draw = draws(PRESENCE, m)  # (B,)
        rate = per_sample(level, draw)
        missing[m] = draw < rate
        features[m] = _multiplied(features[m], (draw >= rate) & (draw < 2 * rate), draws(SCALAR, m))
    return erase_modalities(replace_features(state, features, reference), missing)


def _multiplied(x: Float[Tensor, "B T D"], hit: Bool[Tensor, " B"], factor: Float[Tensor, " B"]) -> Tensor:
    """The frames of the hit samples times one factor per sample."""
    return x * torch.where(hit, factor, 1.0)[:, None, None]
