"""Quality scores against the realised corruption: the distribution of the scores at each degree of corruption.

Dimension legend: S seeds, V draws, C conditions, N samples, B classes of corruption, X = S·V·C·N predictions.
"""

from collections.abc import Mapping, Sequence
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


_Groups = Sequence[tuple[float, NDArray[np.int64]]]
"""Mean corruption of a class of corruption, and the positions of its predictions."""


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
    # Rows with the same seeds met the same corruption.
    groups: dict[tuple[tuple[int, ...], str], _Groups] = {}
    for row in section.rows:
        for modality in row.modalities:
            if row.has(f"quality_{modality}"):
                key = (row.seeds, modality)
                if key not in groups:
                    groups[key] = _groups(section, row, modality)
                curves[row.name, modality] = _curve(row, modality, groups[key])
    return curves


def _groups(section: Section, row: Row, modality: str) -> _Groups:
    """Mean corruption and members of each class of corruption with enough predictions."""
    events = [section.realised_by_seed[i] for i in section.seed_indices(row)]
    missing = np.concatenate([e.column(f"missing_{modality}") for e in events])  # (S, V, C, N)
    noise = np.concatenate([e.column(f"noise_{modality}") for e in events])  # (S, V, C, N)
    corruption = (1 - signal_left(missing, noise)).ravel().astype(np.float64)  # (X)
    classes = _classes(corruption)
    groups = []
    for k in np.unique(classes):
        members = np.flatnonzero(classes == k)
        if len(members) >= FEWEST:
            groups.append((float(corruption[members].mean()), members))
    return groups


def _curve(row: Row, modality: str, groups: _Groups) -> QualityCurve:
    score = row.column(f"quality_{modality}").ravel().astype(np.float64)  # (X)
    scores = [score[members] for _, members in groups]
    quartiles = np.array([np.quantile(r, [0.25, 0.75]) for r in scores]).reshape(-1, 2)
    return QualityCurve(
        corruption=np.array([corruption for corruption, _ in groups]),
        mean=np.array([r.mean() for r in scores]),
        low=quartiles[:, 0],
        high=quartiles[:, 1],
        count=np.array([len(r) for r in scores]),
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
