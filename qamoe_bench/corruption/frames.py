"""Kinds that take away, move or replace frames."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from qamoe_bench.contract import Reference
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.state import (
    Corrupted,
    exchange,
    exchange_measured,
    inner,
    per_sample,
    size_of_change,
    take_away,
)
from qamoe_bench.protocol.spec import Step

FRAME = Purpose("frame", "frame")
SHARED_FRAME = Purpose("frame", "frame", shared=True)
PLACE = Purpose("place", "sample")
DONOR = Purpose("donor", "frame")


def frame_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """A frame goes when its uniform draw is below the rate."""
    purpose = SHARED_FRAME if step.options["shared_draws"] else FRAME
    gone = {}
    for m, level in step.levels.items():
        draw, mask = draws(purpose, m), state.batch.mask(m)
        gone[m] = (draw < per_sample(level, draw)[:, None]) & mask
        if step.options["keep_ends"] and m == "text":
            gone[m] &= inner(state.batch, m)
    return take_away(state, gone)


def block_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """A span of round(rate·n) frames at a uniform start; spans are nested as the rate grows."""
    gone = {}
    for m, level in step.levels.items():
        draw, mask, length = draws(PLACE, m), state.batch.mask(m), state.batch.lengths[m]
        size = (per_sample(level, draw) * length + 0.5).floor().long()
        start = (draw * (length - size + 1)).floor().long()
        position = torch.arange(mask.shape[1], device=mask.device)
        gone[m] = mask & (position >= start[:, None]) & (position < (start + size)[:, None])
    return take_away(state, gone)


def temporal_shift(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """Frame t becomes frame t − s, for a shift s of ±round(rate·n); the sign is drawn. Lost frames move along."""
    features, gone = dict(state.batch.features), dict(state.gone)
    for m, level in step.levels.items():
        x, draw, mask = features[m], draws(PLACE, m), state.batch.mask(m)
        shift = (per_sample(level, draw) * state.batch.lengths[m] + 0.5).floor().long()
        source = torch.arange(mask.shape[1], device=mask.device) - (shift * torch.where(draw < 0.5, -1, 1))[:, None]
        inside = mask & (source >= 0) & (source < state.batch.lengths[m][:, None])
        source = source.clamp(0, mask.shape[1] - 1)
        features[m] = x.gather(1, source[..., None].expand_as(x)).where(inside[..., None], x)
        gone[m] = mask & (gone[m].gather(1, source) | ~inside)
    state = replace(exchange(state, features, reference), gone=gone)
    return take_away(state, {m: gone[m] for m in step.levels})


def frame_substitution(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """The donor comes from the training split, so that it does not matter which other samples are there."""
    features, square = {}, {}
    for m, level in step.levels.items():
        x, draw, pool = state.batch.features[m], draws(FRAME, m), reference.pool[m]
        places = inner(state.batch, m) if m in state.token_ids else state.batch.mask(m)
        hit = (draw < per_sample(level, draw)[:, None]) & places
        donor = (draws(DONOR, m) * len(pool)).long().clamp(max=len(pool) - 1)
        new = F.embedding(donor, pool)  # (B, T, D)
        # With weights of 0 and 1 lerp gives exactly one or the other, several times faster than a choice.
        features[m] = torch.lerp(x, new, hit[..., None].to(x.dtype))
        square[m] = size_of_change(new.sub_(x), m, reference) * hit
    return exchange_measured(state, features, square)
