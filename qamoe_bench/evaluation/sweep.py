"""A sweep: one model or oracle through every condition of a protocol, to columns of predictions."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.contract import TwoStage
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.clock import Clock
from qamoe_bench.evaluation.columns import Columns, assemble, realised_corruption
from qamoe_bench.evaluation.permutation_test import mean_over_trials
from qamoe_bench.evaluation.precision import Precision
from qamoe_bench.evaluation.predictor import CachedPredictor, Predictor, WholeBatchPredictor
from qamoe_bench.evaluation.test_set import SPLIT, TestSet
from qamoe_bench.evaluation.trial import AFFORDABLE, groups, trials_of
from qamoe_bench.evaluation.trial_run import run_trials
from qamoe_bench.protocol.spec import Condition, Protocol

BATCH_SIZE = 64  # larger batches leave the processor's cache and make corruption several times slower per sample


@dataclass(frozen=True)
class EvalConfig:
    """Every choice of an evaluation that belongs neither to the model nor to the protocol."""

    prefix: ClassVar[str] = "eval."  # before its settings in the name of a model

    precision: Precision = "float32"  # of the model's arithmetic; see `qamoe_bench.evaluation.precision`
    permutations: int = AFFORDABLE  # of quality scores

    def __post_init__(self) -> None:
        if self.permutations < 0 and self.permutations != AFFORDABLE:
            raise BenchError(
                f"setting eval.permutations: expected 0 or more, got {self.permutations}; set eval.permutations=200, "
                "or leave it out for as many as are affordable"
            )


@dataclass(frozen=True)
class Sweep:
    """The results of a sweep.

    Attributes:
        columns: Equally long, draw by draw and condition by condition.

            draw, condition, id, target: identify the sample and its state.
            prediction, variance, quality_<modality>: the model's output, where it has them; of data with classes or
                labels also log_probability_<index>.
            missing_<modality>: realised share of valid frames that were erased.
            noise_<modality>: realised size of every other change in units of σ_ref.
            shuffled_prediction, averaged_prediction: for a model that returns quality and accepts it (see
                `AcceptsQuality`), its predictions with other scores in the same state: those of all modalities permuted
                together between the samples of the condition, and the mean of each modality over these samples. Of data
                with classes or labels, shuffled_log_probability_<index> and so on.
            constant_prediction, reversed_prediction, true_order_prediction: the same with scores that are changed only
                where the modality is present: to their mean, to reversed ranks, and to the order of the true signal
                left; see `qamoe_bench.evaluation.interventions`.
            length_<modality>, energy_<modality>: for such a model, properties of the samples before corruption that
                scores may follow instead of quality; see `TestSet.properties`.
            scatter_<modality>: where the data set's law is known, the true noise scale of the sample's frames before
                any corruption (smaller is more reliable), which is the same under every condition.
        experts: Per condition and modality, of each expert the `load` (share of samples that it was used for) and the
            mean `weight`; empty where the model has no experts.
        seconds_per_sample: See `CellFacts`.
        encodings_asked: See `CellFacts`.
        encodings_computed: See `CellFacts`.
        permutations: See `CellFacts`.
    """

    columns: Columns
    experts: Mapping[str, Mapping[str, Mapping[str, list[float]]]] = field(default_factory=dict)
    seconds_per_sample: float = 0.0
    encodings_asked: int = 0
    encodings_computed: int = 0
    permutations: Mapping[str, list[float]] = field(default_factory=dict)


def sweep_model(
    model_for: nn.Module | Callable[[Condition], nn.Module],
    test: TestSet,
    protocol: Protocol,
    batch_size: int = BATCH_SIZE,
    *,
    encode_once: bool = True,
    precision: Precision = "float32",
    permutations: int = AFFORDABLE,
) -> Sweep:
    """Predictions of a model in evaluation mode under every condition.

    Args:
        model_for: The model, or a function that returns the model of a condition where each has its own.
        test: The samples, and the draws of a seed.
        protocol: The conditions.
        batch_size: Samples per batch; it affects only speed, unless the model itself draws random numbers.
        encode_once: Whether equal inputs of an encoder are encoded once, where the model is a `TwoStage`. It affects
            only speed and the last bits, because encodings are then computed in other batches.
        precision: Of the model's own arithmetic; corruptions are always computed in float32.
        permutations: How many permutations of the quality scores are tried, or `AFFORDABLE`.

    Raises:
        RunFailed: when the model returns something else than an `Output`, or a prediction that is not finite, or when
            encoding and fusing predict otherwise than the forward pass.
    """
    blocks = _blocks(protocol)
    parts = list[Columns]()
    experts = dict[str, dict[str, Any]]()
    permuted = list[Mapping[str, Any]]()
    seconds = list[float]()
    predictors = list[Predictor]()
    for group in groups(trials_of(test, blocks, batch_size, permutations), model_for):
        model = (model_for if isinstance(model_for, nn.Module) else model_for(group[0].condition)).eval()
        if not predictors or predictors[-1].model is not model:
            predictors.append(make_predictor(model, test, encode_once, precision))
        for trial, result in zip(group, run_trials(predictors[-1], group), strict=True):
            parts.append(result.columns)
            permuted += [result.permuted] if result.permuted else []
            if trial.first:  # later trials reuse encodings, so their time is not that of the model
                seconds += result.seconds
            if result.routing and not trial.draw:
                of_trial = {m: _expert_use(weights) for m, weights in result.routing.items()}
                experts[trial.condition.name] = of_trial
    # The median, because single batches are slowed down by other processes on the machine.
    seconds_per_sample = statistics.median(seconds)
    requested = sum(predictor.encodings[0] for predictor in predictors)
    computed = sum(predictor.encodings[1] for predictor in predictors)
    columns = assemble(test, blocks, parts)
    return Sweep(columns, experts, seconds_per_sample, requested, computed, mean_over_trials(permuted))


def make_predictor(model: nn.Module, test: TestSet, encode_once: bool, precision: Precision) -> Predictor:
    """A predictor with cached encodings, where the model and the caller allow it."""
    device = next(iter(test.clean.lengths.values())).device
    clock = Clock(device, precision)
    if encode_once and isinstance(model, TwoStage):
        return CachedPredictor(model, clock, test.clean, test.reference.token_ids)
    return WholeBatchPredictor(model, clock)


def _blocks(protocol: Protocol) -> list[tuple[int, Condition]]:
    """Every condition under every draw; conditions change fastest, so that each draw is computed once."""
    return [(draw, condition) for draw in range(protocol.draws) for condition in protocol.conditions]


def _expert_use(weights: Float[Tensor, "N E"]) -> dict[str, list[float]]:
    """Share of samples that use each expert, and its mean weight."""
    return {"load": (weights > 0).float().mean(0).tolist(), "weight": weights.mean(0).tolist()}


def sweep_oracle(test: TestSet, protocol: Protocol) -> Sweep:
    """The same columns for the data set's Bayes-optimal predictor, with its decisions as `prediction_<metric>`."""
    oracle = test.data.oracle
    assert oracle is not None
    blocks = _blocks(protocol)
    parts: list[Columns] = []
    for draw, condition in blocks:
        corrupted = test.corrupted(condition, draw=draw)
        chosen = {key: samples.cpu().numpy() for key, samples in corrupted.chosen.items()}
        decisions = oracle.predict(SPLIT, corrupted.batch.to("cpu"), condition, chosen)
        columns = {name: values.astype(np.float32) for name, values in decisions.items()}
        parts.append(columns | realised_corruption(corrupted))
    return Sweep(assemble(test, blocks, parts))
