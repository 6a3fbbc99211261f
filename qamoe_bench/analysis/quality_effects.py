"""Effects of quality scores on predictions: do the scores matter, and is it presence or quality that matters?

Dimension legend: S seeds, V draws, C conditions, N samples, R resamples, D metrics, K permutations, J = K + 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from qamoe_bench.analysis.scores import Scores, resample
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.analysis.shared_results import SharedResults
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import Dialect, default_dialect
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, estimate, mean_of_defined
from qamoe_bench.statistics.permutation import permutation_p

INTERVENTIONS = ("shuffled", "averaged", "constant", "reversed", "true_order")
"""Interventions on the quality scores of a condition, whose predictions are stored."""
UNTESTED = ("mae", "acc2_non0", "corr")
"""Metrics of regression of rows without permutations, of which only the change with scores of all samples is known."""


def intervention_effects(
    section: Section, dialect: Dialect, scores: Sequence[Scores], shared: SharedResults
) -> Mapping[str, Mapping[str, Estimate]]:
    """Effects on every metric of replacing the quality scores, by row name and intervention.

    Only interventions that are recorded. The estimates are arrays over the metrics, in order, of the mean over all
    conditions under the intervention minus that with the model's own scores.
    """
    effects: dict[str, dict[str, Estimate]] = {}
    for i, row in enumerate(section.rows):
        recorded = [name for name in INTERVENTIONS if row.has_intervention(name)]
        if recorded:
            effects[row.name] = {
                name: _intervention_effect(i, section, name, dialect, scores, shared) for name in recorded
            }
    return effects


def _intervention_effect(
    index: int,
    section: Section,
    intervention: str,
    dialect: Dialect,
    scores: Sequence[Scores],
    shared: SharedResults,
) -> Estimate:
    kind = f"{intervention} scores of row {index}"
    changes = []
    for own in scores:
        compute = partial(_change, index, section, intervention, dialect, own)
        changes.append(shared.once(kind, dialect, own.metric.name, compute))
    values, resampled = zip(*changes, strict=True)
    # Of arrays (S, D) and (R, S, D).
    return estimate(np.stack(values, axis=-1), np.stack(resampled, axis=-1), section.resampling.freedom)


def _change(
    index: int, section: Section, intervention: str, dialect: Dialect, own: Scores
) -> tuple[Float[Values, " S"], Float[Values, "R S"]]:
    """The change of one metric by an intervention, mean over conditions, and of every resample."""
    row = section.rows[index]
    seeds = section.seed_indices(row)
    prediction = row.predictions_for("", intervention).astype(np.float64)
    definition = dialect.on_scale(section.label).definitions[own.metric.name]
    terms = definition.terms(prediction, section.label)
    changed = definition.of(terms).mean(1)  # (S, C)
    change = resample(terms, section, definition) - own.resampled[:, index, seeds]  # (R, S, C)
    return (changed - own.values[index, seeds]).mean(-1), change.mean(-1)


@dataclass(frozen=True)
class PermutationTest:
    """Effect of permuting the quality scores on one metric: means over conditions, draws and seeds.

    Attributes:
        metric: The metric, by its definition in the default dialect of the task.
        everything: Change when the scores are shuffled between all samples, so that presence is shuffled too.
        quality: Change when the scores of each modality are permuted among the samples that have it, mean over
            permutations.
        low: The permutation at 2.5 % of this change.
        high: That at 97.5 %.
        p: Of the hypothesis that such permutations cost nothing, see `permutation_p`.
        count: Number of permutations, K; 0 if none was tried, and then `quality`, `low`, `high` and `p` are NaN.
    """

    metric: str
    everything: float
    quality: float
    low: float
    high: float
    p: float
    count: int

    @property
    def presence(self) -> float:
        """The part of the change that is due to presence: the whole without the quality among present samples."""
        return self.everything - self.quality


def permutation_tests(section: Section) -> Mapping[str, Sequence[PermutationTest]]:
    """By row name, for every row that predicts with given scores."""
    return {row.name: _tests_of(row, section) for row in section.rows if row.has_intervention("shuffled")}


def _tests_of(row: Row, section: Section) -> list[PermutationTest]:
    by_seed = [cell.facts.permutations for cell in row.cells]
    if not all(by_seed):
        nan = float("nan")
        metrics = UNTESTED if section.task.is_regression else default_dialect(section.task).shown
        return [PermutationTest(m, _effect_on_everything(row, section, m), nan, nan, nan, nan, 0) for m in metrics]
    tests = []
    for metric in by_seed[0]:
        if all(metric in values for values in by_seed):
            # Cells of one recipe have the same number of permutations.
            values = np.mean([values[metric] for values in by_seed], axis=0)
            tests.append(permutation_test(metric, values, _effect_on_everything(row, section, metric)))
    return tests


def permutation_test(metric: str, values: Float[Values, " J"], everything: float = np.nan) -> PermutationTest:
    """The test of one metric.

    Args:
        metric: Its name.
        values: With the model's own scores, and then under each permutation.
        everything: The change when the scores of all samples are shuffled.
    """
    changes = values[1:] - values[0]  # (K)
    sign = METRICS[metric].sign  # 1 where higher is better; an error is lower where the metric is better
    low, high = np.quantile(changes, [0.025, 0.975])
    p = permutation_p(-sign * values[0], -sign * values[1:])
    return PermutationTest(metric, everything, float(changes.mean()), float(low), float(high), p, len(changes))


def _effect_on_everything(row: Row, section: Section, metric: str) -> float:
    """The change of a metric when scores are shuffled between all samples, where it is defined."""
    definition = default_dialect(section.task).definitions[metric]
    shuffled = definition(row.predictions_for("", "shuffled").astype(np.float64), section.label)  # (S, V, C)
    own = definition(row.predictions_for("").astype(np.float64), section.label)  # (S, V, C)
    return float(mean_of_defined((shuffled - own).ravel()))
