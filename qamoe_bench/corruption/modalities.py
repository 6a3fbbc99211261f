"""Kinds that erase whole modalities.

Dimension legend: B samples, M modalities of the data, U in formulas the same number.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.state import Corrupted, erase_modalities, per_sample
from qamoe_bench.protocol.kinds import IMDER_SCHEDULE
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.spec import Step

IMDER_BATCH = 32
"""Samples of a batch in IMDer's code."""

PRESENCE = Purpose("presence", "sample")
KEPT = Purpose("kept", "sample")
PATTERN = Purpose("pattern", "sample", joint=True)
WHICH_PATTERN = Purpose("which-pattern", "sample", joint=True)


def modality_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """A modality is erased when its uniform draw is below the rate."""
    draw = {m: draws(PRESENCE, m) for m in step.levels}  # (B,) each
    missing = {m: draw[m] < per_sample(v, draw[m]) for m, v in step.levels.items()}
    if step.options["keep_one"]:
        missing = _keep_one(state.batch, missing, draw, step.levels)
    return erase_modalities(state, missing)


def _keep_one(
    batch: Batch, missing: dict[str, Tensor], draw: Mapping[str, Tensor], levels: Mapping[str, Level]
) -> dict[str, Tensor]:
    """Give one modality back to each sample that would lose all that it has.

    The one with the largest u/η stays. Given that all are missing these ratios are independent and uniform, so the
    choice is uniform; and it is the one that would be erased last, so masks stay nested as η grows.
    """
    present = {m: batch.lengths[m] > 0 for m in batch.modalities}
    remaining = torch.stack([present[m] & ~missing[m] if m in missing else present[m] for m in batch.modalities])
    lost_all = ~remaining.any(0)  # (B,)
    ratio = torch.stack(
        # -1 is below every ratio, so a modality that the data lacks is never the one to stay.
        [torch.where(present[m], draw[m] / per_sample(levels[m], draw[m]).clamp(min=1e-30), -1.0) for m in missing]
    )
    return _except_kept(missing, lost_all, kept=ratio.argmax(0))


def gcnet_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """One modality stays; each other stays with p, where 1 + (U − 1)·p = U·(1 − rate) modalities on average."""
    modalities = state.batch.modalities
    count = len(modalities)
    rate = _joint_level(state, step)
    stay_probability = ((count * (1 - rate) - 1) / max(count - 1, 1)).clamp(0, 1)
    kept = _order(state, draws)[0]  # (B,)
    missing = {m: (draws(PRESENCE, m) >= stay_probability) & (kept != i) for i, m in enumerate(modalities)}
    return erase_modalities(state, missing)


def imder_missing(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """The number of missing modalities follows the schedule, at most all but one; a uniform order selects them."""
    modalities = state.batch.modalities
    missing_count = _scheduled_count(step, draws(PATTERN, modalities[0]), reference).clamp(max=len(modalities) - 1)
    order = _order(state, draws)  # (M, B); the last in the order is erased first
    place = {m: (order == i).long().argmax(0) for i, m in enumerate(modalities)}
    return erase_modalities(state, {m: place[m] >= len(modalities) - missing_count for m in modalities})


def _scheduled_count(step: Step, draw: Tensor, reference: Reference) -> Int[Tensor, " B"]:
    """2 below the share of samples that miss two, 1 from there up to the share that misses any, else 0."""
    # Levels per sample are float32, so 0.1 is not exactly the key of the schedule.
    levels = [round(level, 6) for level in np.atleast_1d(next(iter(step.levels.values()))).tolist()]
    samples = reference.test_samples if step.options["round_batches"] else 0
    shares = np.array([scheduled_shares(level, samples) for level in levels], np.float32)  # (B, 2) or (1, 2)
    two = per_sample(shares[:, 0], draw)
    any_missing = per_sample(shares[:, 1], draw)
    return (draw < two).long() * 2 + ((draw >= two) & (draw < any_missing)).long()


def scheduled_shares(level: float, samples: int) -> tuple[float, float]:
    """The shares of samples that miss two modalities, and any, by IMDer's schedule.

    Args:
        level: A key of the schedule.
        samples: Number of samples for which its code makes batches; 0 for the schedule as it is stated.
    """
    two, one = IMDER_SCHEDULE[level]
    if samples == 0:
        return two, two + one
    batches = math.ceil(samples / IMDER_BATCH)
    # Batches are counted until they reach a share of this number, which may exceed the batches that there are.
    rounded = round(batches / 10) * 10  # halves to even, as NumPy does
    of_two = min(round(two * rounded), batches)
    of_any = min(of_two + round(one * rounded), batches)
    # Only the last batch is smaller.
    return min(of_two * IMDER_BATCH, samples) / samples, min(of_any * IMDER_BATCH, samples) / samples


def mplmm_missing(state: Corrupted, step: Step, draws: Draws, _: Reference) -> Corrupted:
    """With probability rate one of the 2^U − 2 patterns with something missing and something left, uniformly."""
    modalities = state.batch.modalities
    patterns = 2 ** len(modalities) - 2
    hit = draws(PATTERN, modalities[0]) < _joint_level(state, step)
    # Pattern numbers 1 … 2^U − 2 in binary: bit i is set where modality i is missing.
    number = 1 + (draws(WHICH_PATTERN, modalities[0]) * patterns).long().clamp(max=max(patterns - 1, 0))
    missing = {m: hit & (number >> i & 1).bool() for i, m in enumerate(modalities)}
    # A pattern can erase everything only where the data itself lacks a modality.
    remaining = torch.stack([(state.batch.lengths[m] > 0) & ~missing[m] for m in modalities])
    missing = _except_kept(missing, ~remaining.any(0), kept=_order(state, draws)[0])
    return erase_modalities(state, missing if patterns else {})  # with one modality there is no such pattern


def _except_kept(
    missing: Mapping[str, Tensor], lost_all: Bool[Tensor, " B"], kept: Int[Tensor, " B"]
) -> dict[str, Tensor]:
    """The missing modalities, without the kept one (an index into `missing`) of samples that would lose everything."""
    return {m: lost & ~(lost_all & (kept == i)) for i, (m, lost) in enumerate(missing.items())}


def _order(state: Corrupted, draws: Draws) -> Int[Tensor, "M B"]:
    """A uniform order of the modalities for each sample, as indices; those that the sample lacks come last."""
    draw = {m: draws(KEPT, m) for m in state.batch.modalities}
    return torch.stack([u.where(state.batch.lengths[m] > 0, 1.0) for m, u in draw.items()]).argsort(0)


def _joint_level(state: Corrupted, step: Step) -> Tensor:
    """The one level of a joint kind."""
    return per_sample(next(iter(step.levels.values())), next(iter(state.noise.values())))
