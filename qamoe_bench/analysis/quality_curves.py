"""Quality scores against the realised corruption: the distribution of the scores at each degree of corruption.

Dimension legend: S seeds, V draws, C conditions, N samples, B classes of corruption, X = S·V·C·N predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values

FEWEST = 30
"""Predictions that a class of corruption needs to be shown."""
BINS = 10
"""Classes of corruption where it is a continuum."""
_UNTOUCHED = -1  # the class of uncorrupted samples in that case


@dataclass(frozen=True)
class QualityCurve:
    """Quality scores of one row for one modality, over all seeds, draws, conditions and samples.

    Attributes:
        corruption: 1 − the share of the modality's signal that is left: the mean of each class, (B).
        mean: Mean quality score r_m, (B).
        low: Its lower quartile, (B).
        high: Its upper quartile, (B).
        count: Number of predictions, (B).
    """

    corruption: Float[Values, " B"]
    mean: Float[Values, " B"]
    low: Float[Values, " B"]
    high: Float[Values, " B"]
    count: NDArray[np.int64]


def quality_curves(section: Section) -> Mapping[tuple[str, str], QualityCurve]:
    """By row name and modality, for every row with quality scores."""
    curves = {}
    for row in section.rows:
        for modality in row.modalities:
            if row.has(f"quality_{modality}"):
                curves[row.name, modality] = _curve(section, row, modality)
    return curves


def _curve(section: Section, row: Row, modality: str) -> QualityCurve:
    events = [section.realised_by_seed[i] for i in section.seed_indices(row)]
    missing = np.concatenate([e.column(f"missing_{modality}") for e in events])  # (S, V, C, N)
    noise = np.concatenate([e.column(f"noise_{modality}") for e in events])  # (S, V, C, N)
    corruption = (1 - signal_left(missing, noise)).ravel().astype(np.float64)  # (X)
    score = row.column(f"quality_{modality}").ravel().astype(np.float64)  # (X)
    classes = _classes(corruption)
    shown = []
    for k in np.unique(classes):
        is_member = classes == k
        if is_member.sum() >= FEWEST:
            shown.append((corruption[is_member], score[is_member]))
    return QualityCurve(
        corruption=np.array([c.mean() for c, _ in shown]),
        mean=np.array([r.mean() for _, r in shown]),
        low=np.array([np.quantile(r, 0.25) for _, r in shown]),
        high=np.array([np.quantile(r, 0.75) for _, r in shown]),
        count=np.array([len(r) for _, r in shown]),
    )


def _classes(corruption: Float[Values, " X"]) -> NDArray[np.int64]:
    """The class of each prediction: its degree of corruption where there are few, otherwise tenths of the range.

    Uncorrupted samples are a class of their own in both cases.
    """
    degrees, codes = np.unique(corruption.round(6), return_inverse=True)
    if len(degrees) <= BINS + 2:
        return np.asarray(codes, np.int64)
    tenths = np.minimum((corruption * BINS).astype(np.int64), BINS - 1)  # full corruption belongs to the last tenth
    return np.where(corruption == 0, _UNTOUCHED, tenths)
