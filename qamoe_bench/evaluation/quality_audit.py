"""Predictions of one trial with other quality scores than the model's own.

A model answers with predictions (N), or for classes and labels with log-probabilities (N, C).

Dimension legend: N samples of the test set, K permutations, Q sets of scores for all samples, C classes or labels.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.evaluation.columns import Columns, answers_of
from qamoe_bench.evaluation.interventions import (
    Present,
    QualityScores,
    averaged,
    constant,
    permutations,
    reversed_ranks,
    shuffled,
    true_order,
)
from qamoe_bench.evaluation.permutation_test import metrics_of
from qamoe_bench.evaluation.predictor import CachedPredictor, Predictor
from qamoe_bench.evaluation.trial import AFFORDABLE, Trial
from qamoe_bench.metrics.dialects import judged_predictions
from qamoe_bench.protocol.kinds import signal_left
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.vocabulary import LOG_PROBABILITY

ROWS = 1024
"""Samples whose encodings are fused together, at least: more than in a batch, because these are small."""
Inputs = tuple[slice, Any]
"""Rows of the test set, and the model's prepared input for them."""


@dataclass(frozen=True)
class AuditedTrial:
    """Results of a trial with other quality scores.

    Attributes:
        columns: `<intervention>_prediction`, or `<intervention>_log_probability_<index>`; one row per sample.
        metrics: Each metric of `metrics_of` with the own scores and under K permutations; empty if K is 0.
    """

    columns: Columns
    metrics: Mapping[str, Float[Values, " J"]]


def audit_quality(
    predictor: Predictor, trial: Trial, inputs: Iterable[Inputs], own: QualityScores, columns: Columns
) -> AuditedTrial:
    """Predict for all samples of a trial with other scores.

    Args:
        predictor: Runs the model, which must accept scores.
        trial: The samples.
        inputs: What the predictor prepared of every batch, in order.
        own: The model's own scores.
        columns: The model's predictions with its own scores, and the realised corruption.
    """
    device = next(iter(own.values())).device
    signal = {m: torch.from_numpy(signal_left(columns[f"missing_{m}"], columns[f"noise_{m}"])).to(device) for m in own}
    present = {m: torch.from_numpy(columns[f"missing_{m}"] < 1).to(device) for m in own}
    interventions = _interventions(own, present, signal, trial.words)
    count = predictor.permutations if trial.permutations == AFFORDABLE else trial.permutations
    sets = [own, *interventions.values(), *_permuted(own, present, count, trial.words)]
    task = trial.test.data.task
    stored = judged_predictions(columns, "").astype(np.float32)  # with the model's own scores
    answers = _relative(_predict_all(predictor, trial, inputs, sets), stored)
    by_name: Columns = {}
    for i, name in enumerate(interventions, 1):
        by_name |= _columns_of(answers[i], name)
    permuted = answers[1 + len(interventions) :]  # (K, N) or (K, N, C)
    metrics = metrics_of(stored, permuted, trial.test.target, task) if count else {}
    return AuditedTrial(by_name, metrics)


def _columns_of(answers: Float[NDArray[np.float32], "N ..."], intervention: str) -> Columns:
    """The columns that keep the answers under an intervention."""
    if answers.ndim == 1:
        return {f"{intervention}_prediction": answers}
    return {f"{intervention}_{LOG_PROBABILITY}{k}": values for k, values in enumerate(answers.T)}


def _interventions(
    own: QualityScores, present: Present, signal: QualityScores, words: tuple[object, ...]
) -> dict[str, QualityScores]:
    """The scores of every intervention, by its name."""
    return {
        "shuffled": shuffled(own, *words),
        "averaged": averaged(own),
        "constant": constant(own, present),
        "reversed": reversed_ranks(own, present),
        "true_order": true_order(own, present, signal),
    }


def _permuted(own: QualityScores, present: Present, count: int, words: tuple[object, ...]) -> Iterator[QualityScores]:
    """The scores permuted within the samples that have each modality, K times."""
    if count:
        orders = permutations(present, count, *words)
        for k in range(count):
            yield {m: r[orders[m][k]] for m, r in own.items()}


def _predict_all(
    predictor: Predictor, trial: Trial, inputs: Iterable[Inputs], sets: list[QualityScores]
) -> Float[NDArray[np.float32], "Q N ..."]:
    """Answers with every set of scores."""
    parts = []
    for rows, prepared in _joined(predictor, inputs):
        predict = predictor.with_quality(prepared)
        of_rows = []
        for scores in sets:
            given: dict[str, Tensor] = {m: r[rows] for m, r in scores.items()}
            of_rows.append(answers_of(trial.output(predict, rows, given)))
        parts.append(np.stack(of_rows))
    return np.concatenate(parts, axis=1)


def _relative(
    answers: Float[NDArray[np.float32], "Q N ..."], stored: Float[NDArray[np.float32], "N ..."]
) -> Float[NDArray[np.float32], "Q N ..."]:
    """The stored answer plus the change that other scores make, where the first set of scores is the model's own.

    Predictions of a batch of another size differ in the last bits. This way, scores without an effect have none to the
    last bit, which would otherwise pass for a small but significant change.
    """
    changes: NDArray[np.float32] = answers - answers[0]
    return np.asarray(stored + changes, np.float32)


def _joined(predictor: Predictor, inputs: Iterable[Inputs]) -> Iterator[Inputs]:
    """The inputs of several batches as one, where they are small."""
    if not isinstance(predictor, CachedPredictor):
        yield from inputs
        return
    pending: list[Inputs] = []
    for rows, prepared in inputs:
        pending.append((rows, prepared))
        if rows.stop - pending[0][0].start >= ROWS:
            yield _as_one(predictor, pending)
            pending = []
    if pending:
        yield _as_one(predictor, pending)


def _as_one(predictor: CachedPredictor, inputs: list[Inputs]) -> Inputs:
    return slice(inputs[0][0].start, inputs[-1][0].stop), predictor.join([prepared for _, prepared in inputs])
