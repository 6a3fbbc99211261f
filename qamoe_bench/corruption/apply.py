"""One pure function per kind of `qamoe_bench.protocol.kinds.CORRUPTION_KINDS`, and their application in order.

The functions only threshold, scale or look up draws. The unified degradation of QA-MoE (arXiv 2604.05704, after
secondary descriptions), ũ = (1 − I_miss)·(u + ε), is the sequence gaussian-noise, modality-missing. Noise is additive
with a standard deviation of level × σ_ref, where σ_ref is the standard deviation of each dimension over the valid
frames of the training split (the choice of σ_ref is inferred).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from qamoe_bench.contract import Batch, Reference
from qamoe_bench.corruption import frames, modalities, values
from qamoe_bench.corruption.draws import Draws
from qamoe_bench.corruption.state import Corrupted, take_away, untouched
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS, CorruptionKind
from qamoe_bench.protocol.spec import Condition, Step


def corrupt(batch: Batch, condition: Condition, draws: Draws, reference: Reference) -> Corrupted:
    """Apply the steps of a condition in order; labels, lengths and padding are never touched.

    Args:
        batch: Uncorrupted samples.
        condition: Steps whose levels are numbers, or arrays with one level per sample.
        draws: Draws for exactly these samples.
        reference: Statistics and frames of the training split.
    """
    state = untouched(batch, reference.token_ids)
    for step in condition.steps:
        levels = {m: v for m, v in step.levels.items() if m in batch.modalities and np.any(v)}
        if levels:  # a level of 0 is the identity, to the bit
            state = APPLY[step.kind](state, replace(step, levels=levels), _own(draws, step.kind), reference)
            state = _recorded(state, CORRUPTION_KINDS[step.kind], levels)
    return state


def _recorded(state: Corrupted, kind: CorruptionKind, modalities: Iterable[str]) -> Corrupted:
    """The state after a step of this kind on these modalities, with the traits of the kind taken into account."""
    if kind.writes:
        # An erased frame stays erased, whatever the step wrote there.
        state = take_away(state, {m: state.gone[m] for m in modalities if state.gone[m].any()})
    if kind.changes_content:
        state = replace(state, written=state.written.union(modalities))
    return state


def _own(draws: Draws, kind: str) -> Draws:
    """The same draws with purposes of the kind's own, so that two kinds in one protocol are independent."""
    return lambda purpose, modality: draws(replace(purpose, name=f"{kind}/{purpose.name}"), modality)


APPLY: Mapping[str, Callable[[Corrupted, Step, Draws, Reference], Corrupted]] = {
    "modality-missing": modalities.modality_missing,
    "gcnet-missing": modalities.gcnet_missing,
    "imder-missing": modalities.imder_missing,
    "mplmm-missing": modalities.mplmm_missing,
    "frame-missing": frames.frame_missing,
    "block-missing": frames.block_missing,
    "gaussian-noise": values.additive(values.GAUSSIAN),
    "laplace-noise": values.additive(values.LAPLACE),
    "utterance-noise": values.additive(values.UTTERANCE),
    "salt-and-pepper": values.salt_and_pepper,
    "scalar-noise": values.scalar_noise,
    "missing-or-scalar-noise": values.missing_or_scalar_noise,
    "temporal-shift": frames.temporal_shift,
    "frame-substitution": frames.frame_substitution,
}
"""The function of each kind; the traits of a kind are in `CORRUPTION_KINDS`."""
