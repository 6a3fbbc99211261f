"""A sweep: one model or oracle through every condition of a protocol, to columns of predictions."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from qamoe_bench.contract import AcceptsQuality, Output, TwoStage
from qamoe_bench.corruption.apply import corrupt
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.evaluation.interventions import averaged, shuffled
from qamoe_bench.evaluation.precision import Precision
from qamoe_bench.evaluation.predictor import AsksApart, AsksWhole, Clock, check_same, checked
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.seeding import seeded

SPLIT = "test"
BATCH_SIZE = 64  # larger batches leave the cache and are several times slower per sample in corruption
Columns = dict[str, NDArray[Any]]
Asks = AsksWhole | AsksApart


class TestSet:
    """A test split on a device with the draws of one seed, shared by all models that are evaluated on it."""

    __test__ = False  # its name is not meant for pytest

    def __init__(self, data: Dataset, seed: int, device: torch.device) -> None:
        split = data.splits[SPLIT]
        self.data, self.ids, self.target = data, split.ids, split.target.numpy()
        self.scatter = data.reliability.get(SPLIT, {})
        self.clean = split.batch().to(device)
        self.seed = seed
        self.reference = data.reference.to(device)

    @lru_cache(maxsize=1)  # noqa: B019  # a test set lives as long as its process works on one seed
    def _draws(self, draw: int) -> CommonDraws:
        return CommonDraws(self.seed, self.ids, self.clean, draw)

    def corrupted(self, condition: Condition, rows: slice = slice(None), draw: int = 0) -> Corrupted:
        """Some samples under a condition, with one of the seed's independent draws."""
        return corrupt(self.clean.rows(rows), condition, self._draws(draw).rows(rows), self.reference)


@dataclass(frozen=True)
class EvalConfig:
    """Every choice of an evaluation that is neither the model's nor the protocol's."""

    precision: Precision = "float32"  # of the model's arithmetic; see `qamoe_bench.evaluation.precision`


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep.

    Attributes:
        columns: Equally long, draw by draw and condition by condition: draw, condition, id, target, prediction, where
            the model gives them variance and quality_<modality>, and per modality what happened: missing_<modality>
            (share of valid frames taken away) and noise_<modality> (size of every other change in units of σ_ref).
            Of a model that gives quality and takes it (see `AcceptsQuality`) also what it answers with other scores, in
            the same state: shuffled_prediction, with those of all modalities permuted together between the samples of
            the condition, and averaged_prediction, with the mean of each modality over these samples. Where the data
            set's law is known scatter_<modality>, the true noise scale of the sample's frames before any corruption
            (smaller is more reliable), which is the same under every condition.
        experts: Per condition and modality, of each expert the `load` (share of samples that it answered) and the
            mean `weight` of its answers; empty where the model has no experts.
        seconds_per_sample: See `CellFacts`.
        encodings_asked: See `CellFacts`.
        encodings_computed: See `CellFacts`.
    """

    columns: Columns
    experts: Mapping[str, Mapping[str, Mapping[str, list[float]]]] = field(default_factory=dict)
    seconds_per_sample: float = 0.0
    encodings_asked: int = 0
    encodings_computed: int = 0


def sweep_model(
    model_for: nn.Module | Callable[[Condition], nn.Module],
    test: TestSet,
    protocol: Protocol,
    batch_size: int = BATCH_SIZE,
    *,
    encode_once: bool = True,
    precision: Precision = "float32",
) -> Sweep:
    """Predictions of a model in evaluation mode under every condition.

    Args:
        model_for: The model, or what gives the model for a condition where each has its own.
        test: The samples, and the draws of a seed.
        protocol: The conditions.
        batch_size: Samples at a time; it changes nothing but speed, unless the model itself draws random numbers.
        encode_once: Whether equal inputs of an encoder are encoded once, where the model is an `TwoStage`. It
            changes nothing but speed, and the last bits, since other samples share a batch then.
        precision: Of the model's own arithmetic; corruptions are always made in float32.

    Raises:
        RunFailed: when the model returns something else than an `Output`, or a prediction that is not finite, or when
            its encoders and fusion together answer otherwise than its forward pass.
    """
    blocks, experts = list[Columns](), dict[str, dict[str, Any]]()
    seconds, of_models = list[float](), list[Asks]()
    for draw, condition in _blocks(protocol):
        model = (model_for if isinstance(model_for, nn.Module) else model_for(condition)).eval()
        if not of_models or of_models[-1].model is not model:
            of_models.append(_asks(model, test, encode_once, precision))
        trial = _Trial(test, condition, draw, batch_size, first=not blocks)
        columns, routing, of_batches = _predict(of_models[-1], trial)
        blocks.append(columns)
        seconds += of_batches if trial.first else []
        if routing and not draw:
            experts[condition.name] = {m: _use(weights) for m, weights in routing.items()}
    asked, computed = (sum(counts) for counts in zip(*(a.encodings for a in of_models), strict=True))
    # The median, since a machine that others use too stutters now and then.
    return Sweep(_assemble(test, protocol, blocks), experts, statistics.median(seconds), asked, computed)


def _asks(model: nn.Module, test: TestSet, encode_once: bool, precision: Precision) -> Asks:
    clock = Clock(next(iter(test.clean.lengths.values())).device, precision)
    if encode_once and isinstance(model, TwoStage):
        return AsksApart(model, clock, test.clean, test.reference.token_ids)
    return AsksWhole(model, clock)


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
    first: bool

    def batches(self) -> Iterator[tuple[slice, Corrupted]]:
        for start in range(0, len(self.test.ids), self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield rows, self.test.corrupted(self.condition, rows, self.draw)

    def answer(self, ask: Callable[..., object], rows: slice, *given: object) -> Output:
        # A model that samples in evaluation draws the same whenever it is asked, and whatever scores it is given.
        with seeded("sweep", *self.words, rows.start):
            return checked(ask(*given), len(self.test.ids[rows]), self.condition)

    @property
    def words(self) -> tuple[object, ...]:
        return self.test.seed, self.draw, self.condition.name


@torch.inference_mode()
def _predict(asks: Asks, trial: _Trial) -> tuple[Columns, dict[str, Tensor], list[float]]:
    """Columns, the weights of experts (N, E) per modality, and the seconds per sample of each batch."""
    parts, seconds, kept = list[Columns](), list[float](), list[tuple[slice, Any]]()
    routing, quality = list[Mapping[str, Tensor]](), list[Mapping[str, Tensor]]()
    for rows, corrupted in trial.batches():
        before = asks.clock.seconds
        given = asks.given(corrupted, rows.start, anew=trial.first)
        output = trial.answer(asks.ask, rows, given)
        seconds.append((asks.clock.seconds - before) / corrupted.batch.size)
        if trial.first and rows.start == 0 and isinstance(asks, AsksApart):
            check_same(output, trial.answer(asks.clock.untimed, rows, asks.model, corrupted.batch))
        columns = {name: _numbers(value) for name, value in output.columns().items()}
        parts.append(columns | _what_happened(corrupted))
        routing.append(output.routing)
        quality.append(output.quality)
        if asks.keeps:
            kept.append((rows, given))
    columns, scores = _stack(parts), _joined(quality)
    if scores and isinstance(asks.model, AcceptsQuality):
        # What is too large to be kept is made once more.
        again = kept or ((rows, asks.given(c, rows.start, anew=False)) for rows, c in trial.batches())
        columns |= _predict_with_other_scores(asks, trial, again, scores)
    return columns, _joined(routing), seconds


def _predict_with_other_scores(
    asks: Asks, trial: _Trial, inputs: Iterable[tuple[slice, Any]], own: Mapping[str, Tensor]
) -> Columns:
    """Its answers with the scores of other samples and with their mean."""
    other = {"shuffled": shuffled(own, *trial.words), "averaged": averaged(own)}
    parts: list[Columns] = []
    for rows, given in inputs:
        part = Columns()
        for name, scores in other.items():
            output = trial.answer(asks.ask_with, rows, given, {m: r[rows] for m, r in scores.items()})
            part[f"{name}_prediction"] = _numbers(output.prediction)
        parts.append(part)
    return _stack(parts)


def _numbers(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy(), np.float32)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {m: torch.cat([part[m] for part in parts]) for m in parts[0]}


def _use(weights: Float[Tensor, "N E"]) -> dict[str, list[float]]:
    return {"load": (weights > 0).float().mean(0).tolist(), "weight": weights.mean(0).tolist()}


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
