"""One pure function per kind of `qamoe_bench.protocol.kinds.CORRUPTION_KINDS`, and their application in order.

The functions only threshold, scale or look up draws. The unified degradation of QA-MoE (arXiv 2604.05704, after
secondary descriptions), ũ = (1 − I_miss)·(u + ε), is the sequence gaussian-noise, modality-missing. Noise is additive
with a standard deviation of level × σ_ref, where σ_ref is the standard deviation of each dimension over the valid
frames of the training split (the choice of σ_ref is inferred).
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption import blocks, files, frames, modalities, values
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.state import Corrupted, erase_frames, uncorrupted
from qamoe_bench.protocol.kinds import FILES, CorruptionKind, kind_named
from qamoe_bench.protocol.level import is_active
from qamoe_bench.protocol.level_files import LevelFile
from qamoe_bench.protocol.spec import Condition, Step

CorruptionFunction = Callable[[Corrupted, Step, Draws, Reference], Corrupted]


Recorded = Callable[[LevelFile, str], Float[Tensor, "B T D"]]
"""Maps the file of a level and a modality to the frames that the file holds for the samples of a batch."""


def nothing_recorded(file: LevelFile, modality: str) -> Tensor:
    """Where samples are corrupted that no file holds, as in training; planning refuses such runs."""
    raise ValueError(f"expected no samples of {modality} from {file.path}, since these are drawn; pass `recorded`")


def apply_condition(
    batch: Batch, condition: Condition, draws: Draws, reference: Reference, recorded: Recorded = nothing_recorded
) -> Corrupted:
    """Apply the steps of a condition in order; lengths and padding do not change.

    Args:
        batch: Uncorrupted samples.
        condition: Steps whose levels are numbers, or arrays with one level per sample.
        draws: Draws for exactly these samples.
        reference: Statistics and frames of the training split.
        recorded: Frames of exactly these samples in the files of levels.
    """
    state = uncorrupted(batch, reference.token_ids)
    for step in condition.steps:
        levels = {m: v for m, v in step.levels.items() if m in batch.modalities and is_active(v)}
        if levels:
            active = replace(step, levels=levels)
            if step.kind == FILES:
                state = files.from_files(state, active, recorded, reference)
            else:
                state = APPLY[step.kind](state, active, _separate(draws, step.kind), reference)
            state = _apply_traits(state, kind_named(step.kind), levels)
    return state


def _apply_traits(state: Corrupted, kind: CorruptionKind, modalities: Iterable[str]) -> Corrupted:
    """What follows from the traits of a kind, after a step of this kind on these modalities."""
    if kind.writes:
        # An erased frame stays erased, whatever the step wrote there.
        state = erase_frames(state, {m: state.erased[m] for m in modalities if state.erased[m].any()})
    if kind.changes_content:
        state = replace(state, written=state.written.union(modalities))
    return state


def _separate(draws: Draws, kind: str) -> Draws:
    """The same draws under purposes that include the kind, so that two kinds in one protocol are independent."""
    return lambda purpose, modality: draws(_of_kind(purpose, kind), modality)


@functools.cache  # a copy of a purpose takes as long as a small draw
def _of_kind(purpose: Purpose, kind: str) -> Purpose:
    return replace(purpose, name=f"{kind}/{purpose.name}")


APPLY: Mapping[str, CorruptionFunction] = {
    "modality-missing": modalities.modality_missing,
    "gcnet-missing": modalities.gcnet_missing,
    "imder-missing": modalities.imder_missing,
    "mplmm-missing": modalities.mplmm_missing,
    "frame-missing": frames.frame_missing,
    "block-missing": blocks.block_missing,
    "gaussian-noise": values.additive(values.GAUSSIAN),
    "laplace-noise": values.additive(values.LAPLACE),
    "utterance-noise": values.additive(values.UTTERANCE),
    "occasional-noise": values.occasional_noise,
    "frame-or-utterance-noise": values.frame_or_utterance_noise,
    "salt-and-pepper": values.salt_and_pepper,
    "scalar-noise": values.scalar_noise,
    "missing-or-scalar-noise": values.missing_or_scalar_noise,
    "temporal-shift": frames.temporal_shift,
    "frame-substitution": frames.frame_substitution,
}
"""The function of each kind that is drawn; everything else about a kind is in `CORRUPTION_KINDS`."""
