"""Audits: the realised corruption, the validity and use of quality scores, and the calibration of variances.

Dimension legend: S seeds, V draws, C conditions, N samples, L levels of coverage, A modalities, R resamples,
D metrics, X = V·C·N predictions of a seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from qamoe_bench.analysis.scores import Scores, resample
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, estimate, mean_of_defined
from qamoe_bench.statistics.ranks import correlation, mid_ranks, spearman
from qamoe_bench.statistics.uncertainty import ause, coverage, gaussian_nll

COVERAGE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
INTERVENTIONS = {"shuffled": "shuffled_prediction", "averaged": "averaged_prediction"}
"""Interventions on the quality scores of all samples of a condition, and the columns of the resulting predictions."""


def realised(section: Section) -> Mapping[str, Float[Values, " C"]]:
    """The realised corruption of the samples by condition: means over samples, modalities and seeds.

    `modalities` is the share of modalities that are missing entirely, `frames` the share of valid frames that are
    missing, and `noise_<modality>` the standard deviation of the noise in units of σ_ref.
    """
    modalities = section.realised_by_seed[0].modalities
    by_modality = [_of_all_seeds(section, f"missing_{m}") for m in modalities]
    missing = np.stack(by_modality, axis=1).astype(np.float64)  # (S, A, 1, V, C, N)
    amounts = {"modalities": (missing == 1).mean((0, 1, 2, 3, 5)), "frames": missing.mean((0, 1, 2, 3, 5))}
    for m in modalities:
        noise = _of_all_seeds(section, f"noise_{m}")
        amounts[f"noise_{m}"] = noise.mean((0, 1, 2, 4), dtype=np.float64)
    return amounts


def _of_all_seeds(section: Section, column: str) -> Shaped[NDArray[Any], "S 1 V C N"]:
    return np.stack([row.column(column) for row in section.realised_by_seed])


@dataclass(frozen=True)
class UncertaintyAudit:
    """Quality of a row's variances: means over seeds and draws.

    Attributes:
        nll: Gaussian negative log-likelihood, in nats, mean over conditions.
        rank: Spearman's ρ of σ² with |error| within a condition, mean over conditions.
        ause: Area under the sparsification error, mean over conditions.
        covered: Share of labels inside the central intervals of the levels `COVERAGE`, by condition, (C, L).
    """

    nll: float
    rank: float
    ause: float
    covered: Float[Values, "C L"]


def uncertainty(section: Section) -> Mapping[str, UncertaintyAudit]:
    """By row name, for every row with variances."""
    return {row.name: _uncertainty_of(row, section.label) for row in section.rows if row.has("variance")}


def _uncertainty_of(row: Row, label: Values) -> UncertaintyAudit:
    error = label - row.column("prediction").astype(np.float64)  # (S, V, C, N)
    variance = row.column("variance").astype(np.float64)  # (S, V, C, N)
    return UncertaintyAudit(
        nll=float(gaussian_nll(error, variance).mean()),
        rank=float(mean_of_defined(spearman(variance, np.abs(error)).ravel())),
        ause=float(ause(error, variance).mean()),
        covered=coverage(error, variance, COVERAGE).mean((0, 1)),
    )


@dataclass(frozen=True)
class QualityAudit:
    """Validity of the quality scores of one row and modality: means over seeds.

    Attributes:
        corruption: Spearman's ρ of r_m with the realised corruption of modality m, over all conditions; −1 is perfect.
        scatter: Spearman's ρ of r_m with the sample's true scatter of frames under the least corrupting condition;
            −1 is perfect. NaN unless the scatter is known, which it is for synthetic data.
    """

    corruption: float
    scatter: float


def quality(section: Section) -> Mapping[str, Mapping[str, QualityAudit]]:
    """By row name and modality, for every row with quality scores."""
    ranks = _RankedCorruption(section)
    audits: dict[str, dict[str, QualityAudit]] = {}
    for row in section.rows:
        for modality in row.modalities:
            if row.has(f"quality_{modality}"):
                audits.setdefault(row.name, {})[modality] = _quality_of(row, section, modality, ranks)
    return audits


class _RankedCorruption:
    """Mid-ranks of the realised corruption, computed once for all rows."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._ranks: dict[tuple[int, str], Values] = {}

    def of(self, seed: int, modality: str) -> Float[Values, " X"]:
        """Of a modality over all draws, conditions and samples of a seed."""
        key = (seed, modality)
        if key not in self._ranks:
            row = self._section.realised_by_seed[self._section.seeds.index(seed)]
            left = signal_left(row.column(f"missing_{modality}"), row.column(f"noise_{modality}"))
            self._ranks[key] = mid_ranks(np.asarray(1 - left, np.float64).ravel())
        return self._ranks[key]


def _quality_of(row: Row, section: Section, modality: str, ranks: _RankedCorruption) -> QualityAudit:
    score = row.column(f"quality_{modality}")  # (S, V, C, N)
    corruption = np.stack([ranks.of(seed, modality) for seed in row.seeds])  # (S, X)
    with_corruption = correlation(mid_ranks(score.reshape(len(score), -1)), corruption)  # (S)
    with_scatter = np.full(1, np.nan)
    if row.has(f"scatter_{modality}"):
        events = [section.realised_by_seed[i] for i in section.seed_indices(row)]
        scatter = np.concatenate([e.column(f"scatter_{modality}") for e in events])  # (S, V, C, N)
        least = section.clean or 0  # without a clean condition the first one, by convention of the lowest level
        with_scatter = spearman(score[:, :, least], scatter[:, :, least])  # (S, V)
    return QualityAudit(float(mean_of_defined(with_corruption)), float(mean_of_defined(with_scatter.ravel())))


def intervention_effects(
    section: Section, dialect: Dialect, scores: Sequence[Scores]
) -> Mapping[str, Mapping[str, Estimate]]:
    """Effects on every metric of shuffling quality scores between samples, or of replacing them by their mean.

    By row name and then intervention. The estimates are arrays over the metrics, in order, of the mean over all
    conditions under the intervention minus that with the model's own scores.
    """
    effects: dict[str, dict[str, Estimate]] = {}
    for i, row in enumerate(section.rows):
        if all(row.has(column) for column in INTERVENTIONS.values()):
            effects[row.name] = {
                name: _intervention_effect(i, section, column, dialect, scores)
                for name, column in INTERVENTIONS.items()
            }
    return effects


def _intervention_effect(
    index: int, section: Section, column: str, dialect: Dialect, scores: Sequence[Scores]
) -> Estimate:
    row = section.rows[index]
    prediction = row.column(column)  # (S, V, C, N)
    seeds = section.seed_indices(row)
    values = []
    resampled = []
    for own in scores:
        definition = dialect.on_scale(section.label).definitions[own.metric.name]
        changed = definition(prediction.astype(np.float64), section.label).mean(1)  # (S, C)
        values.append((changed - own.values[index, seeds]).mean(-1))  # (S)
        change = resample(prediction, section, definition) - own.resampled[:, index, seeds]  # (R, S, C)
        resampled.append(change.mean(-1))  # (R, S)
    # Of arrays (S, D) and (R, S, D).
    return estimate(np.stack(values, axis=-1), np.stack(resampled, axis=-1), section.resampling.freedom)


def experts_in_use(section: Section) -> Mapping[str, Mapping[str, float]]:
    """The effective number of experts: exp of the entropy of their mean weights, mean over conditions and seeds.

    By row name and modality, for rows with experts. It is the number of experts if all have the same weight.
    """
    by_row = {row.name: _experts_of(row) for row in section.rows}
    return {name: experts for name, experts in by_row.items() if experts}


def _experts_of(row: Row) -> dict[str, float]:
    conditions = [usage for cell in row.cells for usage in cell.facts.experts.values()]
    if not conditions:
        return {}
    experts = {}
    for modality in row.modalities:
        if modality in conditions[0]:
            experts[modality] = float(np.mean([_perplexity(usage[modality]["weight"]) for usage in conditions]))
    return experts


def _perplexity(weights: Sequence[float]) -> float:
    """exp(−Σ p·ln p) of weights normalised to sum 1; terms with p = 0 are 0."""
    share = np.asarray(weights) / np.sum(weights)
    return float(np.exp(-np.sum(share * np.log(np.where(share > 0, share, 1)))))
