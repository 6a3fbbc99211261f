"""Audits: what the corruption really did, whether quality scores know it and matter, whether variances are calibrated.

Dimension legend: S seeds, V draws, C conditions, N samples, L levels of coverage.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.scores import Scores, resample
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.statistics.intervals import Estimate, estimate, mean_of_defined
from qamoe_bench.statistics.ranks import correlation, mid_ranks, spearman
from qamoe_bench.statistics.uncertainty import ause, coverage, gaussian_nll

Values = NDArray[np.float64]
Corruption = Callable[[int, str], Values]
COVERAGE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
INTERVENTIONS = {"shuffled": "shuffled_prediction", "averaged": "averaged_prediction"}
"""What is done to the quality scores of all samples of a condition, and the column that says what comes of it."""


def realised(section: Section) -> Mapping[str, Float[Values, " C"]]:
    """What happened to the samples under each condition: means over samples, modalities and seeds.

    `modalities` is the share of modalities of which nothing is left, `frames` the share of valid frames that were
    taken away, and `noise_<modality>` the standard deviation of the noise in units of σ_ref.
    """
    rows = section.realised_by_seed
    modalities = rows[0].modalities
    events = [[r.column(f"missing_{m}") for m in modalities] for r in rows]
    missing = np.stack(events).astype(np.float64)  # (S, M, 1, V, C, N)
    found = {"modalities": (missing == 1).mean((0, 1, 2, 3, 5)), "frames": missing.mean((0, 1, 2, 3, 5))}
    for m in modalities:
        found[f"noise_{m}"] = np.stack([r.column(f"noise_{m}") for r in rows]).mean((0, 1, 2, 4), dtype=np.float64)
    return found


@dataclass(frozen=True)
class UncertaintyAudit:
    """Of one row, means over seeds and draws.

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
    """Of every row that gives a variance, by its name."""
    return {row.name: _uncertainty_of(row, section.label) for row in section.rows if row.has("variance")}


def _uncertainty_of(row: Row, label: Values) -> UncertaintyAudit:
    error = label - row.column("prediction").astype(np.float64)
    variance = row.column("variance").astype(np.float64)
    return UncertaintyAudit(
        nll=float(gaussian_nll(error, variance).mean()),
        rank=float(mean_of_defined(spearman(variance, np.abs(error)).ravel())),
        ause=float(ause(error, variance).mean()),
        covered=coverage(error, variance, COVERAGE).mean((0, 1)),
    )


@dataclass(frozen=True)
class QualityAudit:
    """Of one row and modality, means over seeds.

    Attributes:
        corruption: Spearman's ρ of r_m with the known corruption of modality m, over all conditions; −1 is perfect.
        scatter: Spearman's ρ of r_m with the sample's true scatter of frames, which a data set of known law has, at
            the condition that corrupts least; −1 is perfect, NaN where it is not known.
    """

    corruption: float
    scatter: float


def quality(section: Section) -> Mapping[str, Mapping[str, QualityAudit]]:
    """Of every row that gives quality scores, by its name and modality."""
    corruption = cache(lambda seed, m: mid_ranks(_corruption(section, seed, m)))
    return {
        row.name: {m: _quality_of(row, section, m, corruption) for m in row.modalities if row.has(f"quality_{m}")}
        for row in section.rows
        if any(row.has(f"quality_{m}") for m in row.modalities)
    }


def _quality_of(row: Row, section: Section, m: str, corruption: Corruption) -> QualityAudit:
    r = row.column(f"quality_{m}")  # (S, V, C, N)
    known = correlation(mid_ranks(r.reshape(len(r), -1)), np.stack([corruption(seed, m) for seed in row.seeds]))
    least = section.clean or 0
    scatter = np.full(1, np.nan)
    if row.has(f"scatter_{m}"):
        own = np.concatenate([section.realised_by_seed[i].column(f"scatter_{m}") for i in section.seed_indices(row)])
        scatter = spearman(r[:, :, least], own[:, :, least])
    return QualityAudit(float(mean_of_defined(known)), float(mean_of_defined(scatter.ravel())))


def _corruption(section: Section, seed: int, m: str) -> Float[Values, " X"]:
    """How corrupted modality m is in every draw, condition and sample of a seed: 1 − the share of its signal left."""
    row = section.realised_by_seed[section.seeds.index(seed)]
    left = signal_left(row.column(f"missing_{m}"), row.column(f"noise_{m}"))
    return np.asarray(1 - left, np.float64).ravel()


def intervention_effects(
    section: Section, dialect: Dialect, scores: Sequence[Scores]
) -> Mapping[str, Mapping[str, Estimate]]:
    """What every metric gains when quality scores are shuffled between samples, or replaced by their mean.

    By row name and then intervention; the estimates are arrays over the metrics, in order, of the mean over all
    conditions with the foreign scores minus that with the model's own.
    """
    return {
        row.name: {name: _changed(row, i, section, column, dialect, scores) for name, column in INTERVENTIONS.items()}
        for i, row in enumerate(section.rows)
        if all(row.has(column) for column in INTERVENTIONS.values())
    }


def _changed(
    row: Row, index: int, section: Section, column: str, dialect: Dialect, scores: Sequence[Scores]
) -> Estimate:
    other, places = row.column(column), section.seed_indices(row)
    values, again = [], []
    for own in scores:
        definition = dialect.definitions[own.metric.name]
        with_other = definition(other.astype(np.float64), section.label).mean(1)  # (S, C)
        values.append((with_other - own.values[index, places]).mean(-1))
        change = resample(other, section, definition) - own.resampled[:, index, places]  # (R, S, C)
        again.append(change.mean(-1))
    return estimate(np.stack(values, axis=-1), np.stack(again, axis=-1))


def experts_in_use(section: Section) -> Mapping[str, Mapping[str, float]]:
    """Exp of the entropy of the experts' mean weights, mean over conditions and seeds; by row name and modality.

    The number of experts in use if all were used alike.
    """
    found = {row.name: _experts_of(row) for row in section.rows}
    return {name: use for name, use in found.items() if use}


def _experts_of(row: Row) -> dict[str, float]:
    conditions = [use for cell in row.cells for use in cell.facts.experts.values()]
    modalities = [m for m in row.modalities if conditions and m in conditions[0]]
    return {m: float(np.mean([_perplexity(c[m]["weight"]) for c in conditions])) for m in modalities}


def _perplexity(weights: Sequence[float]) -> float:
    share = np.asarray(weights) / np.sum(weights)
    return float(np.exp(-np.sum(share * np.log(np.where(share > 0, share, 1)))))
