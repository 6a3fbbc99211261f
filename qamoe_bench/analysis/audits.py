"""Audits: the realised corruption, the calibration of variances, and the use of experts.

Those of quality scores are in `quality_validity` and `quality_effects`.

Dimension legend: S seeds, V draws, C conditions, N samples, L levels of coverage, A modalities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.shapes import Float, Shaped
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import mean_of_defined
from qamoe_bench.statistics.ranks import spearman
from qamoe_bench.statistics.uncertainty import ause, coverage, gaussian_nll

COVERAGE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


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
