"""The samples that a row answers worst: where the corruption costs it most, or the control answers better.

Dimension legend: S seeds, V draws, C conditions, N samples. Of several draws the first is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section

Values = NDArray[np.float64]
Against = Literal["clean", "control"]


@dataclass(frozen=True)
class Fall:
    """One answer that is worse than another.

    Attributes:
        row: Index of the row.
        against: What it is compared with: the row's own answer to the untouched sample, or the control's to this one.
        seed: Of the corruption and the training.
        sample: Index of the sample.
        condition: Index of the condition.
        error: |prediction − label|, in label units.
        before: The error that it is compared with.
    """

    row: int
    against: Against
    seed: int
    sample: int
    condition: int
    error: float
    before: float


def untouched(section: Section) -> int | None:
    """Index of the condition at which nothing happens to any sample."""
    first = section.realised_by_seed[0]
    names = [f"{what}_{m}" for m in first.modalities for what in ("missing", "noise")]
    calm = ~np.any([first.column(name)[0, 0].any(-1) for name in names], axis=0)  # (C,)
    return int(np.flatnonzero(calm)[0]) if calm.any() else None


def worst(section: Section, most: int) -> list[Fall]:
    """For each row and comparison the samples whose error rises most, each once, where it rises most."""
    clean, falls = untouched(section), []
    for i, row in enumerate(section.rows):
        if row.is_oracle:
            continue
        error = errors_of(row, section)  # (S, C, N)
        if clean is not None and len(section.conditions) > 1:
            falls += _largest(section, i, "clean", error, error[:, [clean]], most)
        control = section.control_of(i)
        if control is not None:
            other = section.rows[control]
            shared = [seed for seed in row.seeds if seed in other.seeds]
            own, its = (
                e[[r.seeds.index(s) for s in shared]] for e, r in ((error, row), (errors_of(other, section), other))
            )
            falls += _largest(section, i, "control", own, its, most, shared)
    return falls


def errors_of(row: Row, section: Section) -> Float[Values, "S C N"]:
    """|prediction − label| of the first draw."""
    return np.asarray(np.abs(row.column("prediction")[:, 0].astype(np.float64) - section.label))


def _largest(
    section: Section, row: int, against: Against, error: Float[Values, "S C N"], before: Float[Values, "..."],
    most: int, seeds: Sequence[int] | None = None,
) -> list[Fall]:  # fmt: skip
    seeds = section.rows[row].seeds if seeds is None else seeds
    if not seeds:
        return []
    before = np.broadcast_to(before, error.shape)
    rise = np.moveaxis(error - before, -1, 0).reshape(section.samples, -1)  # (N, S·C)
    at = rise.argmax(-1)
    found = []
    for n in np.argsort(-rise.max(-1), kind="stable")[:most]:
        s, c = np.unravel_index(at[n], error.shape[:2])
        if rise[n, at[n]] > 0:
            found.append(Fall(row, against, seeds[s], int(n), int(c), float(error[s, c, n]), float(before[s, c, n])))
    return found
