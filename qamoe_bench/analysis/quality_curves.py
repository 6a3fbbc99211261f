"""Quality scores against the corruption that they should know: their distribution at each degree of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.protocol.kinds import signal_left

Values = NDArray[np.float64]
FEWEST, BINS = 30, 10
"""Predictions that a degree of corruption needs to be shown; classes of corruption where it is a continuum."""


@dataclass(frozen=True)
class QualityCurve:
    """The scores of one row for one modality, all seeds, draws, conditions and samples together.

    Attributes:
        corruption: 1 − the share of the modality's signal that is left; the mean of each class, (B,).
        mean: Of r_m, (B,).
        low: Its lower quartile.
        high: Its upper quartile.
        count: Predictions.
    """

    corruption: Float[Values, " B"]
    mean: Float[Values, " B"]
    low: Float[Values, " B"]
    high: Float[Values, " B"]
    count: NDArray[np.int64]


def quality_curves(section: Section) -> Mapping[tuple[str, str], QualityCurve]:
    """By row name and modality, of every row that gives quality scores."""
    return {
        (row.name, m): _curve(section, row, m)
        for row in section.rows
        for m in row.modalities
        if row.has(f"quality_{m}")
    }


def _curve(section: Section, row: Row, m: str) -> QualityCurve:
    events = [section.realised_by_seed[i] for i in section.seed_indices(row)]
    left = signal_left(*(np.concatenate([e.column(f"{what}_{m}") for e in events]) for what in ("missing", "noise")))
    corruption, score = (1 - left).ravel().astype(np.float64), row.column(f"quality_{m}").ravel().astype(np.float64)
    classes = _classes(corruption)
    kept = [k for k in np.unique(classes) if (classes == k).sum() >= FEWEST]
    members = [classes == k for k in kept]
    low, high = (np.array([np.quantile(score[of], q) for of in members]) for q in (0.25, 0.75))
    return QualityCurve(
        np.array([corruption[of].mean() for of in members]), np.array([score[of].mean() for of in members]),
        low, high, np.array([of.sum() for of in members]),
    )  # fmt: skip


def _classes(corruption: Float[Values, " X"]) -> NDArray[np.int64]:
    """The class of each: its value where there are few, and tenths of the range with the untouched ones apart."""
    values, codes = np.unique(corruption.round(6), return_inverse=True)
    if len(values) <= BINS + 2:
        return np.asarray(codes, np.int64)
    return np.where(corruption == 0, -1, np.minimum((corruption * BINS).astype(np.int64), BINS - 1))
