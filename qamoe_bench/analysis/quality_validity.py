"""Validity of quality scores: what they tell about corruption, and what else they follow.

Dimension legend: S seeds, V draws, C conditions, N samples, X = V·C·N predictions of a seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import mean_of_defined
from qamoe_bench.statistics.permutation import auroc
from qamoe_bench.statistics.ranks import correlation, mid_ranks, spearman

CONFOUNDERS = ("length", "energy", "label")
"""What a score may follow instead of quality: number of frames, mean square of the features, and |label|, of which
classes have none."""


@dataclass(frozen=True)
class QualityAudit:
    """Validity of the quality scores of one row and modality: means over seeds.

    Attributes:
        corruption: Spearman's ρ of r_m with the realised corruption of modality m, over all conditions; −1 is perfect.
        scatter: Spearman's ρ of r_m with the sample's true scatter of frames under the least corrupting condition;
            −1 is perfect. NaN unless the scatter is known, which it is for synthetic data.
        separation: Probability that r_m is higher for an uncorrupted sample than for a corrupted one (AUROC), over all
            conditions; 1 is perfect, 0.5 chance. NaN if all samples are of one kind.
        separation_present: The same among the samples that have the modality, for which presence is no clue.
        confounders: Spearman's ρ of r_m with each of `CONFOUNDERS`, among the samples that have the modality under the
            least corrupting condition; without those that are not recorded.
    """

    corruption: float
    scatter: float
    separation: float
    separation_present: float
    confounders: Mapping[str, float]


def quality(section: Section) -> Mapping[str, Mapping[str, QualityAudit]]:
    """By row name and modality, for every row with quality scores."""
    events = _Events(section)
    audits: dict[str, dict[str, QualityAudit]] = {}
    for row in section.rows:
        for modality in row.modalities:
            if row.has(f"quality_{modality}"):
                audits.setdefault(row.name, {})[modality] = _quality_of(row, section, modality, events)
    return audits


class _Events:
    """The realised corruption of a modality over all draws, conditions and samples of a seed, computed once."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._signal: dict[tuple[int, str], Values] = {}
        self._ranks: dict[tuple[int, str], Values] = {}

    def signal(self, seed: int, modality: str) -> Float[Values, "V C N"]:
        """The share of the signal that is left."""
        key = (seed, modality)
        if key not in self._signal:
            row = self._section.realised_by_seed[self._section.seeds.index(seed)]
            left = signal_left(row.column(f"missing_{modality}"), row.column(f"noise_{modality}"))
            self._signal[key] = np.asarray(left[0], np.float64)
        return self._signal[key]

    def ranks(self, seed: int, modality: str) -> Float[Values, " X"]:
        """Mid-ranks of the lost share."""
        key = (seed, modality)
        if key not in self._ranks:
            self._ranks[key] = mid_ranks(1 - self.signal(seed, modality).ravel())
        return self._ranks[key]


def _quality_of(row: Row, section: Section, modality: str, events: _Events) -> QualityAudit:
    score = row.column(f"quality_{modality}")  # (S, V, C, N)
    corruption = np.stack([events.ranks(seed, modality) for seed in row.seeds])  # (S, X)
    with_corruption = correlation(mid_ranks(score.reshape(len(score), -1)), corruption)  # (S)
    signal = np.stack([events.signal(seed, modality) for seed in row.seeds])  # (S, V, C, N)
    least = section.clean or 0  # without a clean condition the first one, by convention of the lowest level
    with_scatter = np.full(1, np.nan)
    if row.has(f"scatter_{modality}"):
        with_scatter = spearman(score[:, :, least], row.column(f"scatter_{modality}")[:, :, least])  # (S, V)
    return QualityAudit(
        corruption=float(mean_of_defined(with_corruption)),
        scatter=float(mean_of_defined(with_scatter.ravel())),
        separation=_separation(score, signal, np.ones(signal.shape, bool)),
        separation_present=_separation(score, signal, signal > 0),
        confounders=_confounders(row, section, modality, score[:, :, least], signal[:, :, least] > 0),
    )


def _separation(
    score: Float[NDArray[np.floating], "S V C N"],
    signal: Float[Values, "S V C N"],
    counts: Bool[NDArray[np.bool_], "S V C N"],
) -> float:
    """AUROC of uncorrupted against corrupted samples, of those that count: mean over seeds."""
    of_seeds = [auroc(score[s][counts[s]], signal[s][counts[s]] == 1) for s in range(len(score))]
    return float(mean_of_defined(np.array(of_seeds)))


def _confounders(
    row: Row,
    section: Section,
    modality: str,
    score: Float[NDArray[np.floating], "S V N"],
    present: Bool[NDArray[np.bool_], "S V N"],
) -> dict[str, float]:
    """Spearman's ρ of the scores with each confounder that is recorded, mean over seeds and draws."""
    least = section.clean or 0
    values = {}
    if section.task.is_regression:
        values["label"] = np.broadcast_to(np.abs(section.label), score.shape)
    for name in ("length", "energy"):
        if row.has(f"{name}_{modality}"):
            values[name] = row.column(f"{name}_{modality}")[:, :, least]  # (S, V, N)
    rho = {}
    for name in CONFOUNDERS:
        if name in values:
            of_draws = [
                spearman(score[s, v][present[s, v]], values[name][s, v][present[s, v]])
                for s, v in np.ndindex(score.shape[:2])
                if present[s, v].any()
            ]
            rho[name] = float(mean_of_defined(np.array(of_draws))) if of_draws else float("nan")
    return rho
