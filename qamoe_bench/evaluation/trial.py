"""One model on a test set under one condition and draw, batch by batch.

Dimension legend: N samples of the test set, E experts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from qamoe_bench.contract import AcceptsQuality, Output
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.checks import check_output, check_same_prediction
from qamoe_bench.evaluation.columns import Columns, realised_corruption, stack, to_float32
from qamoe_bench.evaluation.interventions import averaged, shuffled
from qamoe_bench.evaluation.predictor import CachedPredictor, Predictor
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import seeded


@dataclass(frozen=True)
class Trial:
    """The samples of a test set under one condition and draw.

    Attributes:
        test: The samples before corruption.
        condition: The corruption.
        draw: Which of the seed's independent draws.
        batch_size: Samples per batch.
        first: Whether it is the first trial of a sweep, in which no cached encoding is used, so that it can be timed.
    """

    test: TestSet
    condition: Condition
    draw: int
    batch_size: int
    first: bool

    @property
    def words(self) -> tuple[object, ...]:
        """What addresses the random numbers of the trial."""
        return self.test.seed, self.draw, self.condition.name

    def batches(self) -> Iterator[tuple[slice, Corrupted]]:
        """The samples in order, with their rows in the test set."""
        for start in range(0, len(self.test.ids), self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield rows, self.test.corrupted(self.condition, rows, self.draw)

    def output(self, predict: Callable[..., object], rows: slice, *arguments: object) -> Output:
        """The checked output of a prediction for some rows."""
        # A model that samples in evaluation draws the same numbers at every call, with whatever quality scores.
        with seeded("sweep", *self.words, rows.start):
            where = f"at condition {self.condition.name!r}"
            return check_output(predict(*arguments), len(self.test.ids[rows]), where)


@dataclass(frozen=True)
class TrialResult:
    """What one model predicts in one trial.

    Attributes:
        columns: Outputs and realised corruption, one row per sample.
        routing: Per modality the weight of each expert (N, E), where the model has experts.
        seconds: Seconds per sample of each batch.
    """

    columns: Columns
    routing: Mapping[str, Float[Tensor, "N E"]]
    seconds: Sequence[float]


@dataclass
class _Batches:
    """Results of the batches of a trial so far."""

    columns: list[Columns] = field(default_factory=list)
    routing: list[Mapping[str, Tensor]] = field(default_factory=list)
    quality: list[Mapping[str, Tensor]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    inputs: list[tuple[slice, Any]] = field(default_factory=list)  # kept only where the predictor allows


@torch.inference_mode()
def run_trial(predictor: Predictor, trial: Trial) -> TrialResult:
    """Predict for every sample, and again with other quality scores where the model accepts them."""
    batches = _Batches()
    for rows, corrupted in trial.batches():
        _predict_batch(predictor, trial, rows, corrupted, batches)
    columns = stack(batches.columns)
    quality = _joined(batches.quality)
    if quality and isinstance(predictor.model, AcceptsQuality):
        # Inputs that are too large to keep are prepared a second time.
        inputs = batches.inputs or _prepared_again(predictor, trial)
        columns |= _predict_with_other_scores(predictor, trial, inputs, quality)
    return TrialResult(columns, _joined(batches.routing), batches.seconds)


def _predict_batch(predictor: Predictor, trial: Trial, rows: slice, corrupted: Corrupted, results: _Batches) -> None:
    """Predict for one batch and append the results."""
    seconds_before = predictor.clock.seconds
    prepared = predictor.prepare(corrupted, rows.start, refresh=trial.first)
    output = trial.output(predictor.predict, rows, prepared)
    results.seconds.append((predictor.clock.seconds - seconds_before) / corrupted.batch.size)
    if trial.first and rows.start == 0 and isinstance(predictor, CachedPredictor):
        forward = trial.output(predictor.clock.untimed, rows, predictor.model, corrupted.batch)
        check_same_prediction(output, forward)
    outputs = {name: to_float32(value) for name, value in output.columns().items()}
    results.columns.append(outputs | realised_corruption(corrupted))
    results.routing.append(output.routing)
    results.quality.append(output.quality)
    if predictor.keeps_inputs:
        results.inputs.append((rows, prepared))


def _prepared_again(predictor: Predictor, trial: Trial) -> Iterator[tuple[slice, Any]]:
    for rows, corrupted in trial.batches():
        yield rows, predictor.prepare(corrupted, rows.start, refresh=False)


def _predict_with_other_scores(
    predictor: Predictor, trial: Trial, inputs: Iterable[tuple[slice, Any]], own: Mapping[str, Tensor]
) -> Columns:
    """Predictions with the quality scores of other samples, and with the mean score."""
    interventions = {"shuffled": shuffled(own, *trial.words), "averaged": averaged(own)}
    parts: list[Columns] = []
    for rows, prepared in inputs:
        part = Columns()
        for name, scores in interventions.items():
            of_rows = {m: r[rows] for m, r in scores.items()}
            output = trial.output(predictor.predict_with_quality, rows, prepared, of_rows)
            part[f"{name}_prediction"] = to_float32(output.prediction)
        parts.append(part)
    return stack(parts)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by modality, one batch after the other."""
    joined = {}
    for m in parts[0]:
        joined[m] = torch.cat([part[m] for part in parts])
    return joined
