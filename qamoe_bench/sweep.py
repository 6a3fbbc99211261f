"""A sweep: one model or oracle through every condition of a protocol, to columns of predictions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.corruption.apply import corrupt
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.draws import CommonDraws
from qamoe_bench.errors import RunFailed
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
        experts: Per condition and modality, of each expert the `load` (share of samples that it answered) and the
            mean `weight` of its answers; empty where the model has no experts.
    """

    columns: Columns
    experts: Mapping[str, Mapping[str, Mapping[str, list[float]]]] = field(default_factory=dict)


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
    blocks, experts = [], dict[str, dict[str, Any]]()
    for draw, condition in _blocks(protocol):
        model = model_for if isinstance(model_for, nn.Module) else model_for(condition)
        # A model that samples in evaluation gives the same answers whenever it is asked.
        with seeded("sweep", test.seed, draw, condition.name):
            columns, routing = _predict(model.eval(), test, condition, draw, batch_size)
        blocks.append(columns)
        if routing and not draw:
            experts[condition.name] = {m: _use(weights) for m, weights in routing.items()}
    return Sweep(_assemble(test, protocol, blocks), experts)


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


@torch.inference_mode()
def _predict(
    model: nn.Module, test: TestSet, condition: Condition, draw: int, batch_size: int
) -> tuple[Columns, dict[str, Tensor]]:
    """Columns, and the weights of experts (N, E) per modality."""
    parts: list[Columns] = []
    routing: list[Mapping[str, Tensor]] = []
    for start in range(0, len(test.ids), batch_size):
        corrupted = test.corrupted(condition, slice(start, start + batch_size), draw)
        output = _checked(model(corrupted.batch), corrupted.batch, condition)
        columns = {name: value.float().cpu().numpy() for name, value in output.columns().items()}
        parts.append(columns | _what_happened(corrupted))
        routing.append(output.routing)
    return _stack(parts), {m: torch.cat([r[m] for r in routing]) for m in routing[0]}


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
    return identity | _stack(blocks)


def as_arrow(columns: Columns) -> Mapping[str, pa.Array]:
    """Columns for a store; names that repeat become dictionaries."""
    return {
        name: pa.array(values).dictionary_encode() if name in ("condition", "id") else pa.array(values)
        for name, values in columns.items()
    }
