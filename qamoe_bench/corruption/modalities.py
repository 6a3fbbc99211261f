"""Kinds that take whole modalities away."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.state import Corrupted, lose, per_sample
from qamoe_bench.protocol.kinds import IMDER_SCHEDULE
from qamoe_bench.protocol.spec import Level, Step

PRESENCE = Purpose("presence", "sample")
KEPT = Purpose("kept", "sample")
PATTERN = Purpose("pattern", "sample", joint=True)
WHICH_PATTERN = Purpose("which-pattern", "sample", joint=True)


def modality_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """A modality goes when its uniform draw is below the rate."""
    draw = {m: draws(PRESENCE, m) for m in step.levels}
    missing = {m: draw[m] < per_sample(v, draw[m]) for m, v in step.levels.items()}
    if step.options["keep_one"]:
        missing = _keep_one(state.batch, missing, draw, step.levels)
    return lose(state, missing)


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
        [torch.where(has[m], draw[m] / per_sample(levels[m], draw[m]).clamp(min=1e-30), -1.0) for m in missing]
    )
    kept = ratio.argmax(0)
    return {m: lost & ~(lost_all & (kept == i)) for i, (m, lost) in enumerate(missing.items())}


def gcnet_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """One modality stays; each other stays with p, where 1 + (U − 1)·p = U·(1 − rate) modalities on average."""
    modalities = state.batch.modalities
    count, rate = len(modalities), _joint_level(state, step)
    stays = ((count * (1 - rate) - 1) / max(count - 1, 1)).clamp(0, 1)
    kept = _order(state, draws)[0]
    return lose(state, {m: (draws(PRESENCE, m) >= stays) & (kept != i) for i, m in enumerate(modalities)})


def imder_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """How many are missing by the schedule, at most all but one; which ones by a uniform order."""
    modalities = state.batch.modalities
    two, one = (_from_schedule(step, i, state) for i in (0, 1))
    draw = draws(PATTERN, modalities[0])
    missing_count = ((draw < two).long() * 2 + ((draw >= two) & (draw < two + one)).long()).clamp(
        max=len(modalities) - 1
    )
    order = _order(state, draws)  # the first to go stands last
    place = {m: (order == i).long().argmax(0) for i, m in enumerate(modalities)}
    return lose(state, {m: place[m] >= len(modalities) - missing_count for m in modalities})


def mplmm_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """With probability rate one of the 2^U − 2 patterns with something missing and something left, uniformly."""
    modalities = state.batch.modalities
    patterns = 2 ** len(modalities) - 2
    hit = draws(PATTERN, modalities[0]) < _joint_level(state, step)
    # Pattern numbers 1 … 2^U − 2 read as binary: bit i says that modality i is missing.
    number = 1 + (draws(WHICH_PATTERN, modalities[0]) * patterns).long().clamp(max=max(patterns - 1, 0))
    missing = {m: hit & (number >> i & 1).bool() for i, m in enumerate(modalities)}
    has = {m: state.batch.lengths[m] > 0 for m in modalities}
    lost_all = ~torch.stack([has[m] & ~missing[m] for m in modalities]).any(0)  # only where the data lacks some
    kept = _order(state, draws)[0]
    missing = {m: lost & ~(lost_all & (kept == i)) for i, (m, lost) in enumerate(missing.items())}
    return lose(state, missing if patterns else {})


def _order(state: Corrupted, draws: Draws) -> Int[Tensor, "M B"]:
    """A uniform order of the modalities for each sample, as indices; those that it does not have come last."""
    draw = {m: draws(KEPT, m) for m in state.batch.modalities}
    return torch.stack([u.where(state.batch.lengths[m] > 0, 1.0) for m, u in draw.items()]).argsort(0)


def _from_schedule(step: Step, index: int, state: Corrupted) -> Tensor:
    levels = np.atleast_1d(next(iter(step.levels.values()))).tolist()
    shares = [IMDER_SCHEDULE[round(level, 6)][index] for level in levels]
    return per_sample(np.array(shares, np.float32), next(iter(state.noise.values())))


def _joint_level(state: Corrupted, step: Step) -> Tensor:
    """The one level of a joint kind."""
    return per_sample(next(iter(step.levels.values())), next(iter(state.noise.values())))
