"""Which classes are taken for which, and how well each is recognised, by condition.

Dimension legend: S seeds, V draws, C conditions, N samples, K classes or labels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.class_definitions import Counts, predicted_class, predicted_labels
from qamoe_bench.metrics.probabilities import true_indicators
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values


@dataclass(frozen=True)
class ClassResults:
    """The decisions of a row, over all its seeds and draws.

    Attributes:
        f1: F1 of each class or label, mean over seeds and draws, (C, K); 0 where neither the truth nor a decision has
            it, as with scikit-learn's zero_division=0.
        confusion: Share of the samples of a class (second axis) that are taken for each class (third axis), (C, K, K);
            NaN for a class without samples. Of several labels, None: they exclude one another in no sample.
    """

    f1: Float[Values, "C K"]
    confusion: Float[Values, "C K K"] | None


def class_results(section: Section, row: Row) -> ClassResults:
    """How a row decides; the task must have classes or labels."""
    answers = row.predictions_for("")  # log-probabilities, (S, V, C, N, K)
    truth = true_indicators(section.label, section.task)  # (N, K)
    if section.task.kind == "multi-label":
        return ClassResults(_f1(predicted_labels(answers), truth), None)
    decided = predicted_class(answers)[..., None] == np.arange(section.task.outputs)
    taken = np.einsum("nk,svcnj->ckj", truth.astype(np.float64), decided.astype(np.float64))
    samples = truth.sum(0)[:, None] * answers.shape[0] * answers.shape[1]  # (K, 1)
    with np.errstate(invalid="ignore"):
        return ClassResults(_f1(decided, truth), taken / samples)


def _f1(decided: Bool[NDArray[np.bool_], "S V C N K"], truth: Bool[NDArray[np.bool_], "N K"]) -> Float[Values, "C K"]:
    hits = (decided & truth).sum(-2, dtype=np.float64)
    counts = Counts(hits, decided.sum(-2, dtype=np.float64), truth.sum(0, dtype=np.float64))
    return np.asarray(counts.f1().mean((0, 1)))
