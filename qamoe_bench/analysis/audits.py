"""Audits: the realised corruption, the calibration of variances and probabilities, and the use of experts.

Those of quality scores are in `quality_validity` and `quality_effects`.

Dimension legend: S seeds, V draws, C conditions, N samples, L levels of coverage, A modalities, K classes or labels,
M decisions of all samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.dialects import default_dialect
from qamoe_bench.metrics.probabilities import decisions, entropy, probability_errors
from qamoe_bench.shapes import Bool, Float, Shaped
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import mean_of_defined
from qamoe_bench.statistics.ranks import spearman
from qamoe_bench.statistics.uncertainty import ause, coverage, gaussian_nll, risk_coverage

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
    """Quality of a row's variances, or of its probabilities of classes: means over seeds and draws.

    Attributes:
        nll: Negative log-likelihood in nats, mean over conditions; Gaussian for variances.
        rank: Spearman's ρ of σ², or of the predictive entropy, with the error within a condition, mean over conditions.
        ause: Area under the sparsification error, mean over conditions; samples are removed by σ² or by entropy.
        covered: By condition, (C, L). For variances the share of labels inside the central intervals of the levels
            `COVERAGE`; for probabilities the share of right decisions among those of about this probability, NaN where
            there are none.
        risk: Area under the risk–coverage curve: the mean share of wrong decisions among the most certain samples, over
            all shares of samples; NaN for variances.
    """

    nll: float
    rank: float
    ause: float
    covered: Float[Values, "C L"]
    risk: float = np.nan


def uncertainty(section: Section) -> Mapping[str, UncertaintyAudit]:
    """By row name, for every row with variances or probabilities."""
    if section.task.is_regression:
        return {row.name: _uncertainty_of(row, section.label) for row in section.rows if row.has("variance")}
    return {row.name: _confidence_of(row, section) for row in section.rows}


def _uncertainty_of(row: Row, label: Values) -> UncertaintyAudit:
    error = label - row.column("prediction").astype(np.float64)  # (S, V, C, N)
    variance = row.column("variance").astype(np.float64)  # (S, V, C, N)
    return UncertaintyAudit(
        nll=float(gaussian_nll(error, variance).mean()),
        rank=float(mean_of_defined(spearman(variance, np.abs(error)).ravel())),
        ause=float(ause(error, variance).mean()),
        covered=coverage(error, variance, COVERAGE).mean((0, 1)),
    )


def _confidence_of(row: Row, section: Section) -> UncertaintyAudit:
    task = section.task
    answers = row.predictions_for("").astype(np.float64)  # (S, V, C, N, K)
    uncertain = entropy(answers, task)  # (S, V, C, N)
    error = probability_errors(answers, section.label, task)
    confidence, is_right = decisions(answers, section.label, task)  # (S, V, C, M)
    wrong = (~is_right).reshape(*uncertain.shape, -1).mean(-1)  # (S, V, C, N)
    return UncertaintyAudit(
        nll=float(default_dialect(task).definitions["nll"](answers, section.label).mean()),
        rank=float(mean_of_defined(spearman(uncertain, error).ravel())),
        ause=float(mean_of_defined(ause(error, uncertain).ravel())),
        covered=_reliability(confidence, is_right),
        risk=float(risk_coverage(wrong, uncertain).mean()),
    )


def _reliability(
    confidence: Float[Values, "S V C M"], is_right: Bool[NDArray[np.bool_], "S V C M"]
) -> Float[Values, "C L"]:
    """The share of right decisions by condition and level, among those whose probability is nearest to the level."""
    limits = (np.array(COVERAGE)[1:] + np.array(COVERAGE)[:-1]) / 2
    nearest = np.digitize(confidence, limits)  # (S, V, C, M)
    shares = np.full((confidence.shape[2], len(COVERAGE)), np.nan)
    for condition, level in np.ndindex(*shares.shape):
        is_member = nearest[:, :, condition] == level
        if is_member.any():
            shares[condition, level] = is_right[:, :, condition][is_member].mean()
    return shares


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
