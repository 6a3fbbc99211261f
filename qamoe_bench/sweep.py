"""A sweep: one model or oracle through every condition of a protocol, to columns of predictions."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output, TakesQuality
from qamoe_bench.corruption.apply import corrupt
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.draws import CommonDraws
from qamoe_bench.errors import RunFailed
from qamoe_bench.interventions import averaged, shuffled
from qamoe_bench.protocol import Condition, Protocol
from qamoe_bench.seeding import seeded

SPLIT = "test"
BATCH_SIZE = 64  # larger batches leave the cache and are several times slower per sample in corruption
Columns = dict[str, NDArray[Any]]


class TestSet:
    """A test split on a device with the draws of one seed, shared by all models that are evaluated on it."""

    __test__ = False  # its name is not meant for pytest

    def __init__(self, data: Dataset, seed: int, device: torch.device) -> None:
        split = data.splits[SPLIT]
        self.data, self.ids, self.target = data, split.ids, split.target.numpy()
        self.scatter = data.reliability.get(SPLIT, {})
        self.clean = split.batch(target=False).to(device)
        self.seed = seed
        self.reference = data.reference.to(device)

    @lru_cache(maxsize=1)  # noqa: B019  # a test set lives as long as its process works on one seed
    def _draws(self, draw: int) -> CommonDraws:
        return CommonDraws(self.seed, self.ids, self.clean, draw)

    def corrupted(self, condition: Condition, rows: slice = slice(None), draw: int = 0) -> Corrupted:
        """Some samples under a condition, with one of the seed's independent draws."""
        return corrupt(self.clean.rows(rows), condition, self._draws(draw).rows(rows), self.reference)


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep.

    Attributes:
        columns: Equally long, draw by draw and condition by condition: draw, condition, id, target, prediction, where
            the model gives them variance and quality_<modality>, and per modality what happened: missing_<modality>
            (share of valid frames taken away) and noise_<modality> (size of every other change in units of σ_ref).
            Of a model that gives quality and takes it (see `TakesQuality`) also what it answers with other scores, in
            the same state: shuffled_prediction, with those of all modalities permuted together between the samples of
            the condition, and averaged_prediction, with the mean of each modality over these samples. Where the data
            set's law is known scatter_<modality>, the true noise scale of the sample's frames before any corruption
            (smaller is more reliable), which is the same under every condition.
        experts: Per condition and modality, of each expert the `load` (share of samples that it answered) and the
            mean `weight` of its answers; empty where the model has no experts.
        seconds_per_sample: See `CellFacts`.
    """

    columns: Columns
    experts: Mapping[str, Mapping[str, Mapping[str, list[float]]]] = field(default_factory=dict)
    seconds_per_sample: float = 0.0


def sweep_model(
    model_for: nn.Module | Callable[[Condition], nn.Module],
    test: TestSet,
    protocol: Protocol,
    batch_size: int = BATCH_SIZE,
) -> Sweep:
    """Predictions of a model in evaluation mode under every condition.

    Args:
        model_for: The model, or what gives the model for a condition where each has its own.
        test: The samples, and the draws of a seed.
        protocol: The conditions.
        batch_size: Samples at a time; it changes nothing but speed, unless the model itself draws random numbers.

    Raises:
        RunFailed: when the model returns something else than an `Output`, or a prediction that is not finite.
    """
    blocks, experts, seconds = [], dict[str, dict[str, Any]](), list[float]()
    for draw, condition in _blocks(protocol):
        model = model_for if isinstance(model_for, nn.Module) else model_for(condition)
        columns, routing, of_batches = _predict(model.eval(), _Trial(test, condition, draw, batch_size))
        blocks.append(columns)
        seconds += of_batches
        if routing and not draw:
            experts[condition.name] = {m: _use(weights) for m, weights in routing.items()}
    # The median, since a machine that others use too stutters now and then.
    return Sweep(_assemble(test, protocol, blocks), experts, statistics.median(seconds))


def _blocks(protocol: Protocol) -> list[tuple[int, Condition]]:
    """Every condition under every draw; conditions change fastest, so that draws are made once."""
    return [(draw, condition) for draw in range(protocol.draws) for condition in protocol.conditions]


def sweep_oracle(test: TestSet, protocol: Protocol) -> Sweep:
    """The same columns for the data set's Bayes-optimal predictor, with its decisions as `prediction_<metric>`."""
    oracle = test.data.oracle
    assert oracle is not None
    blocks: list[Columns] = []
    for draw, condition in _blocks(protocol):
        corrupted = test.corrupted(condition, draw=draw)
        predicted = oracle.predict(SPLIT, corrupted.batch.to("cpu"), condition)
        blocks.append({k: v.astype(np.float32) for k, v in predicted.items()} | _what_happened(corrupted))
    return Sweep(_assemble(test, protocol, blocks))


@dataclass(frozen=True)
class _Trial:
    """The samples of a test set under one condition and draw, for a model to answer some at a time."""

    test: TestSet
    condition: Condition
    draw: int
    batch_size: int

    def batches(self) -> Iterator[tuple[slice, Corrupted]]:
        for start in range(0, len(self.test.ids), self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield rows, self.test.corrupted(self.condition, rows, self.draw)

    def answer(self, ask: Callable[..., object], rows: slice, batch: Batch, *given: object) -> Output:
        # A model that samples in evaluation draws the same whenever it is asked, and whatever scores it is given.
        with seeded("sweep", *self.words, rows.start):
            return _checked(ask(batch, *given), batch, self.condition)

    @property
    def words(self) -> tuple[object, ...]:
        return self.test.seed, self.draw, self.condition.name


@torch.inference_mode()
def _predict(model: nn.Module, trial: _Trial) -> tuple[Columns, dict[str, Tensor], list[float]]:
    """Columns, the weights of experts (N, E) per modality, and the seconds per sample of each batch."""
    parts, clock = list[Columns](), _Clock(model)
    routing, quality = list[Mapping[str, Tensor]](), list[Mapping[str, Tensor]]()
    for rows, corrupted in trial.batches():
        output = trial.answer(clock, rows, corrupted.batch)
        columns = {name: _numbers(value) for name, value in output.columns().items()}
        parts.append(columns | _what_happened(corrupted))
        routing.append(output.routing)
        quality.append(output.quality)
    columns, scores = _stack(parts), _joined(quality)
    if scores and isinstance(model, TakesQuality):
        columns |= _predict_with_other_scores(model, trial, scores)
    return columns, _joined(routing), clock.seconds_per_sample


def _predict_with_other_scores(model: TakesQuality, trial: _Trial, own: Mapping[str, Tensor]) -> Columns:
    """Its answers with the scores of other samples and with their mean.

    The samples are corrupted once more, for to keep those of a whole condition may take as much memory as all the data.
    """
    other = {"shuffled": shuffled(own, *trial.words), "averaged": averaged(own)}
    parts: list[Columns] = []
    for rows, corrupted in trial.batches():
        part = Columns()
        for name, scores in other.items():
            given = {m: r[rows] for m, r in scores.items()}
            output = trial.answer(model.answer_with, rows, corrupted.batch, given)
            part[f"{name}_prediction"] = _numbers(output.prediction)
        parts.append(part)
    return _stack(parts)


class _Clock:
    """A model with a clock: the wall time of every forward pass, divided by the size of its batch."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.seconds_per_sample: list[float] = []

    def __call__(self, batch: Batch) -> object:
        start = _now(batch)
        output = self._model(batch)
        self.seconds_per_sample.append((_now(batch) - start) / batch.size)
        return output


def _now(batch: Batch) -> float:
    """The time when the batch's device has done all that it was told to."""
    device = next(iter(batch.lengths.values())).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _numbers(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy(), np.float32)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {m: torch.cat([part[m] for part in parts]) for m in parts[0]}


def _use(weights: Float[Tensor, "N E"]) -> dict[str, list[float]]:
    return {"load": (weights > 0).float().mean(0).tolist(), "weight": weights.mean(0).tolist()}


def _checked(output: object, batch: Batch, condition: Condition) -> Output:
    if not isinstance(output, Output):
        raise RunFailed(f"the model returned {type(output).__name__}: expected a qamoe_bench.contract.Output")
    if output.prediction.shape != (batch.size,):
        raise RunFailed(
            f"the model predicted a tensor of shape {tuple(output.prediction.shape)} for {batch.size} samples: "
            f"expected ({batch.size},)"
        )
    if not output.prediction.isfinite().all():
        raise RunFailed(f"the model's predictions are not finite at condition {condition.name!r}")
    return output


def _what_happened(corrupted: Corrupted) -> Columns:
    modalities = corrupted.batch.modalities
    missing = {f"missing_{m}": corrupted.missing(m).cpu().numpy() for m in modalities}
    return missing | {f"noise_{m}": corrupted.noise[m].cpu().numpy() for m in modalities}


def _stack(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _assemble(test: TestSet, protocol: Protocol, blocks: list[Columns]) -> Columns:
    names, draws = [c.name for _, c in _blocks(protocol)], [draw for draw, _ in _blocks(protocol)]
    identity: Columns = {
        "draw": np.repeat(np.array(draws, np.int32), len(test.ids)),
        "condition": np.repeat(names, len(test.ids)),
        "id": np.tile(np.array(test.ids, dtype=object), len(blocks)),
        "target": np.tile(test.target, len(blocks)),
    }
    scatter = {f"scatter_{m}": np.tile(tau.astype(np.float32), len(blocks)) for m, tau in test.scatter.items()}
    return identity | _stack(blocks) | scatter


def as_arrow(columns: Columns) -> Mapping[str, pa.Array]:
    """Columns for a store; names that repeat become dictionaries."""
    return {
        name: pa.array(values).dictionary_encode() if name in ("condition", "id") else pa.array(values)
        for name, values in columns.items()
    }
