"""Evaluation: one model or oracle through every condition of a protocol, to columns of predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.corruption.apply import corrupt
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.draws import CommonDraws
from qamoe_bench.errors import RunFailed
from qamoe_bench.protocol import Condition, Protocol

SPLIT = "test"
BATCH_SIZE = 256
Columns = dict[str, NDArray[Any]]


class TestSet:
    """A test split on a device with the draws of one seed, shared by all models that are evaluated on it."""

    __test__ = False  # its name is not meant for pytest

    def __init__(self, data: Dataset, seed: int, device: torch.device) -> None:
        split = data.splits[SPLIT]
        self.data, self.ids, self.target = data, split.ids, split.target.numpy()
        self.clean = split.batch(target=False).to(device)
        self.draws = CommonDraws(seed, split.ids, self.clean)
        self.reference = data.reference.to(device)

    def corrupted(self, condition: Condition, rows: slice = slice(None)) -> Corrupted:
        """Some samples under a condition."""
        return corrupt(self.clean.rows(rows), condition, self.draws.rows(rows), self.reference)


def sweep_model(model: nn.Module, test: TestSet, protocol: Protocol, batch_size: int = BATCH_SIZE) -> Columns:
    """Predictions of a model in evaluation mode under every condition.

    Returns:
        Columns of equal length, condition by condition: condition, id, target, prediction, where the model gives them
        variance and quality_<modality>, and per modality what happened: missing_<modality> (share of valid frames
        taken away) and noise_<modality> (standard deviation of added noise in units of σ_ref).

    Raises:
        RunFailed: when the model returns something else than an `Output`, or a prediction that is not finite.
    """
    model.eval()
    blocks = [_predict(model, test, c, batch_size) for c in protocol.conditions]
    return _assemble(test, protocol, blocks)


def sweep_oracle(test: TestSet, protocol: Protocol) -> Columns:
    """The same columns for the data set's Bayes-optimal predictor, with its decisions as `prediction_<metric>`."""
    oracle = test.data.oracle
    assert oracle is not None
    blocks: list[Columns] = []
    for condition in protocol.conditions:
        corrupted = test.corrupted(condition)
        predicted = oracle.predict(SPLIT, corrupted.batch.to("cpu"), condition)
        blocks.append({k: v.astype(np.float32) for k, v in predicted.items()} | _what_happened(corrupted))
    return _assemble(test, protocol, blocks)


@torch.inference_mode()
def _predict(model: nn.Module, test: TestSet, condition: Condition, batch_size: int) -> Columns:
    parts: list[Columns] = []
    for start in range(0, len(test.ids), batch_size):
        corrupted = test.corrupted(condition, slice(start, start + batch_size))
        output = _checked(model(corrupted.batch), corrupted.batch, condition)
        columns = {name: value.float().cpu().numpy() for name, value in output.tensors().items()}
        parts.append(columns | _what_happened(corrupted))
    return _stack(parts)


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
    count = len(blocks)
    identity: Columns = {
        "condition": np.repeat([c.name for c in protocol.conditions], len(test.ids)),
        "id": np.tile(np.array(test.ids, dtype=object), count),
        "target": np.tile(test.target, count),
    }
    return identity | _stack(blocks)


def as_arrow(columns: Columns) -> Mapping[str, pa.Array]:
    """Columns for a store; names that repeat become dictionaries."""
    return {
        name: pa.array(values).dictionary_encode() if name in ("condition", "id") else pa.array(values)
        for name, values in columns.items()
    }
