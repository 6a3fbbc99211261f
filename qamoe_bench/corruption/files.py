"""The kind whose frames come from files.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from qamoe_bench.contract import Reference
from qamoe_bench.corruption.state import Corrupted, replace_measured, size_of_change
from qamoe_bench.protocol.level_files import LevelFile, level_key
from qamoe_bench.protocol.spec import Step


def from_files(
    state: Corrupted, step: Step, recorded: Callable[[LevelFile, str], Tensor], reference: Reference
) -> Corrupted:
    """The frames that the files hold; what happened to them is measured from the difference to the clean ones.

    Args:
        state: The clean samples.
        step: The step, with one level for all samples.
        recorded: Frames of these samples in a file, with exact zeros beyond the length.
        reference: Statistics of the training split.
    """
    features = {}
    square = {}
    erased = dict(state.erased)
    for m, level in step.levels.items():
        clean = state.batch.features[m]  # (B, T, D)
        new = recorded(step.files[str(step.options[level_key(float(level))])], m)
        lost = zeroed_frames(clean, new)
        features[m] = new
        # A lost frame counts as lost and not as noise, as in every other kind.
        square[m] = size_of_change((new - clean) * ~lost[..., None], m, reference)
        erased[m] = erased[m] | lost
    return replace(replace_measured(state, features, square), erased=erased)


def zeroed_frames(clean: Tensor, new: Tensor) -> Bool[Tensor, "B T"]:
    """True at frames (of (B, T, D)) that are all zero in the second tensor and not in the first."""
    return torch.logical_and((clean != 0).any(2), (new == 0).all(2))
