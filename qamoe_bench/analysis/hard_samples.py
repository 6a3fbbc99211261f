"""The hardest samples of a row: those whose error rises most by the corruption, or exceeds the control's most.

Dimension legend: S seeds, V draws, C conditions, N samples. Only the first of several draws is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.errors import first_draw_errors
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values

Against = Literal["clean", "control"]
Errors = Float[Values, "S C N"]


@dataclass(frozen=True)
class Fall:
    """A prediction with a larger error than the one that it is compared with.

    Attributes:
        row: Index of the row.
        against: The other prediction: the row's own for the uncorrupted sample, or the control's for this one.
        seed: Of the corruption and the training.
        sample: Index of the sample.
        condition: Index of the condition.
        error: Of the prediction, see `qamoe_bench.analysis.errors`.
        before: The error of the other prediction.
    """

    row: int
    against: Against
    seed: int
    sample: int
    condition: int
    error: float
    before: float


def uncorrupted_condition(section: Section) -> int | None:
    """Index of the first condition under which no sample is corrupted; None if there is none."""
    first = section.realised_by_seed[0]
    is_corrupted = np.zeros(len(section.conditions), bool)  # (C)
    for modality in first.modalities:
        is_corrupted |= _any_sample(first, f"missing_{modality}")
        is_corrupted |= _any_sample(first, f"noise_{modality}")
    clean = np.flatnonzero(~is_corrupted)
    return int(clean[0]) if len(clean) else None


def _any_sample(row: Row, column: str) -> Bool[NDArray[np.bool_], " C"]:
    return np.asarray(row.column(column)[0, 0].any(-1))


def worst(section: Section, most: int) -> list[Fall]:
    """The samples with the largest rise in error, of each row and comparison.

    Args:
        section: Its oracle is left out.
        most: How many samples per row and comparison; each occurs once, under its worst seed and condition.
    """
    clean = uncorrupted_condition(section)
    falls = []
    # Kept for a while, because all rows of a regime have one control.
    errors_of = lru_cache(maxsize=8)(lambda index: first_draw_errors(section.rows[index], section))
    for i, row in enumerate(section.rows):
        if row.is_limit:
            continue
        error = errors_of(i)
        if clean is not None and len(section.conditions) > 1:
            before = np.broadcast_to(error[:, [clean]], error.shape)
            falls += _largest_rises(i, "clean", row.seeds, error, before, most)
        control = section.control_of(i)
        if control is not None:
            other = section.rows[control]
            shared = [seed for seed in row.seeds if seed in other.seeds]
            own_error = error[[row.seeds.index(seed) for seed in shared]]
            other_error = errors_of(control)[[other.seeds.index(seed) for seed in shared]]
            falls += _largest_rises(i, "control", shared, own_error, other_error, most)
    return falls


def _largest_rises(
    row: int, against: Against, seeds: Sequence[int], error: Errors, before: Errors, most: int
) -> list[Fall]:
    if not seeds:
        return []
    samples = error.shape[-1]
    rise = np.moveaxis(error - before, -1, 0).reshape(samples, -1)  # (N, S·C)
    largest = rise.max(-1)  # (N)
    where = rise.argmax(-1)  # (N)
    falls = []
    for n in np.argsort(-largest, kind="stable")[:most]:
        if largest[n] > 0:
            s, c = np.unravel_index(where[n], error.shape[:2])
            falls.append(Fall(row, against, seeds[s], int(n), int(c), float(error[s, c, n]), float(before[s, c, n])))
    return falls
