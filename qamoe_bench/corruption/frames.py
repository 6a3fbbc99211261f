"""Kinds that erase, move or replace single frames.

Dimension legend: B samples, T frames, D feature width, P frames in the pool of the training split.
"""

from dataclasses import replace

import torch
from torch.nn import functional as F

from qamoe_bench.contract import Reference
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.state import (
    Corrupted,
    erase_frames,
    inner,
    losable_frames,
    per_sample,
    replace_features,
    replace_measured,
    share_of,
    size_of_change,
)
from qamoe_bench.protocol.spec import Step

FRAME = Purpose("frame", "frame")
SHARED_FRAME = Purpose("frame", "frame", shared=True)
PLACE = Purpose("place", "sample")
DONOR = Purpose("donor", "frame")


def frame_missing(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """A frame is erased when its uniform draw is below the rate."""
    purpose = SHARED_FRAME if step.options["shared_draws"] else FRAME
    erased = {}
    for m, level in step.levels.items():
        draw = draws(purpose, m)  # (B, T)
        # Draws of padding are 0 and below every rate, so the mask is needed.
        erased[m] = (draw < per_sample(level, draw)[:, None]) & losable_frames(state, step, m, reference)
    return erase_frames(state, erased)


def temporal_shift(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """Frame t becomes frame t − s, for a shift s of ±round(rate·n) with a drawn sign; erased frames move as well."""
    features = dict(state.batch.features)
    erased = dict(state.erased)
    for m, level in step.levels.items():
        draw = draws(PLACE, m)  # (B,)
        mask = state.valid[m]  # (B, T)
        length = state.batch.lengths[m]  # (B,)
        shift = share_of(level, length) * torch.where(draw < 0.5, -1, 1)
        source = torch.arange(mask.shape[1], device=mask.device) - shift[:, None]  # (B, T), the frame that moves here
        inside = mask & (source >= 0) & (source < length[:, None])
        source = source.clamp(0, mask.shape[1] - 1)
        x = features[m]  # (B, T, D)
        # Frames whose source is outside keep their content here and are erased below.
        features[m] = x.gather(1, source[..., None].expand_as(x)).where(inside[..., None], x)
        erased[m] = mask & (erased[m].gather(1, source) | ~inside)
    state = replace(replace_features(state, features, reference), erased=erased)
    return erase_frames(state, {m: erased[m] for m in step.levels})


def frame_substitution(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """Replaces a frame by a donor when its uniform draw is below the rate.

    Donors come from the training split, so the result does not depend on the other samples of the batch.
    """
    features = {}
    square = {}
    for m, level in step.levels.items():
        x = state.batch.features[m]  # (B, T, D)
        draw = draws(FRAME, m)  # (B, T)
        pool = reference.pool[m]  # (P, D)
        replaceable = inner(state, m) if m in state.token_ids else state.valid[m]
        hit = (draw < per_sample(level, draw)[:, None]) & replaceable
        # float32 may round draw × P up to P.
        donor = (draws(DONOR, m) * len(pool)).long().clamp(max=len(pool) - 1)  # (B, T)
        new = F.embedding(donor, pool)  # (B, T, D)
        # With weights of 0 and 1 lerp gives exactly one or the other, several times faster than torch.where.
        features[m] = torch.lerp(x, new, hit[..., None].to(x.dtype))
        square[m] = size_of_change(new.sub_(x), m, reference) * hit
    return replace_measured(state, features, square)
