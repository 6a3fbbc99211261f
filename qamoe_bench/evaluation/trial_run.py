"""One model on a test set in one trial, or in several together, batch by batch.

Dimension legend: N samples of the test set, E experts, K permutations, J = K + 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qamoe_bench.contract import AcceptsQuality
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.checks import check_same_prediction
from qamoe_bench.evaluation.columns import Columns, realised_corruption, stack, to_float32
from qamoe_bench.evaluation.predictor import CachedPredictor, Predictor
from qamoe_bench.evaluation.quality_audit import audit_quality
from qamoe_bench.evaluation.trial import Trial, batches_of
from qamoe_bench.statistics.arrays import Values


@dataclass(frozen=True)
class TrialResult:
    """What one model predicts in one trial.

    Attributes:
        columns: Outputs and realised corruption, one row per sample.
        routing: Per modality the weight of each expert (N, E), where the model has experts.
        seconds: Seconds per sample of each batch.
        permuted: Metrics under permutations of the quality scores, see `AuditedTrial.metrics`; empty if not tried.
    """

    columns: Columns
    routing: Mapping[str, Float[Tensor, "N E"]]
    seconds: Sequence[float]
    permuted: Mapping[str, Float[Values, " J"]] = field(default_factory=dict)


@dataclass
class _Batches:
    """Results of the batches of a trial so far."""

    columns: list[Columns] = field(default_factory=list)
    routing: list[Mapping[str, Tensor]] = field(default_factory=list)
    quality: list[Mapping[str, Tensor]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    inputs: list[tuple[slice, Any]] = field(default_factory=list)  # kept only where the predictor allows


@torch.inference_mode()
def run_trials(predictor: Predictor, trials: Sequence[Trial]) -> list[TrialResult]:
    """Predict for every sample in each trial of a group, and again with other scores where the model accepts them."""
    results = {trial: _Batches() for trial in trials}
    for trial, rows, corrupted, later in batches_of(trials):
        _predict_batch(predictor, trial, rows, corrupted, later, results[trial])
    return [_result(predictor, trial, results.pop(trial)) for trial in trials]


def _result(predictor: Predictor, trial: Trial, batches: _Batches) -> TrialResult:
    columns = stack(batches.columns)
    permuted: Mapping[str, Values] = {}
    quality = _joined(batches.quality)
    if quality and isinstance(predictor.model, AcceptsQuality):
        # Inputs that are too large to keep are prepared a second time.
        inputs = batches.inputs or _prepared_again(predictor, trial)
        audited = audit_quality(predictor, trial, inputs, quality, columns)
        columns |= audited.columns
        permuted = audited.metrics
    return TrialResult(columns, _joined(batches.routing), batches.seconds, permuted)


def _predict_batch(
    predictor: Predictor,
    trial: Trial,
    rows: slice,
    corrupted: Corrupted,
    later: Sequence[Corrupted],
    results: _Batches,
) -> None:
    """Predict for one batch and append the results."""
    realised = realised_corruption(corrupted)  # first, because a model may change its batch
    seconds_before = predictor.clock.seconds
    prepared = predictor.prepare(corrupted, rows.start, later, refresh=trial.first)
    output = trial.output(predictor.predict, rows, prepared)
    results.seconds.append((predictor.clock.seconds - seconds_before) / corrupted.batch.size)
    if trial.first and rows.start == 0 and isinstance(predictor, CachedPredictor):
        again = trial.corrupted(rows).batch  # the encoders may have changed theirs
        forward = trial.output(predictor.clock.untimed, rows, predictor.model, again)
        check_same_prediction(output, forward)
    outputs = {name: to_float32(value) for name, value in output.columns().items()}
    results.columns.append(outputs | realised)
    results.routing.append(output.routing)
    results.quality.append(output.quality)
    if predictor.keeps_inputs:
        results.inputs.append((rows, prepared))


def _prepared_again(predictor: Predictor, trial: Trial) -> Iterator[tuple[slice, Any]]:
    for _, rows, corrupted, later in batches_of([trial]):
        yield rows, predictor.prepare(corrupted, rows.start, later, refresh=False)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by modality, one batch after the other."""
    joined = {}
    for m in parts[0]:
        joined[m] = torch.cat([part[m] for part in parts])
    return joined
