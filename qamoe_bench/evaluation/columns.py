"""Columns of a sweep: arrays of equal length, by name, with one row per draw, condition and sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.contract import Output
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Condition

Columns = dict[str, NDArray[Any]]


def to_float32(values: Tensor) -> NDArray[np.float32]:
    """A tensor on any device and of any precision as a float32 array."""
    return np.asarray(values.float().cpu().numpy(), np.float32)


def answers_of(output: Output) -> NDArray[np.float32]:
    """What metrics judge of an output: predictions (B), or log-probabilities (B, C) of classes or labels."""
    probabilities = output.log_probabilities
    return to_float32(output.prediction if probabilities is None else probabilities)


def realised_corruption(corrupted: Corrupted) -> Columns:
    """Per modality the share of erased frames and the size of every other change, as they came out."""
    modalities = corrupted.batch.modalities
    missing = {f"missing_{m}": corrupted.missing(m).cpu().numpy() for m in modalities}
    return missing | {f"noise_{m}": corrupted.noise[m].cpu().numpy() for m in modalities}


def stack(parts: Sequence[Columns]) -> Columns:
    """Columns of the same names, one part after the other."""
    stacked = Columns()
    for name in parts[0]:
        stacked[name] = np.concatenate([part[name] for part in parts])
    return stacked


def assemble(test: TestSet, blocks: Sequence[tuple[int, Condition]], parts: Sequence[Columns]) -> Columns:
    """The columns of all blocks (a draw and a condition each), with what identifies and describes every row."""
    draws = [draw for draw, _ in blocks]
    names = [condition.name for _, condition in blocks]
    samples = len(test.ids)
    identity: Columns = {
        "draw": np.repeat(np.array(draws, np.int32), samples),
        "condition": np.repeat(names, samples),
        "id": np.tile(np.array(test.ids, dtype=object), len(blocks)),
        "target": np.tile(test.target, len(blocks)),
    }
    stacked = stack(parts)
    constant = {f"scatter_{m}": tau.astype(np.float32) for m, tau in test.scatter.items()}
    if any(name.startswith("quality_") for name in stacked):
        constant |= test.properties  # these are compared with the scores
    return identity | stacked | {name: np.tile(values, len(blocks)) for name, values in constant.items()}


def as_arrow(columns: Columns) -> Mapping[str, pa.Array]:
    """Columns for a store; names that repeat become dictionaries."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    for name in ("condition", "id"):
        if name in arrays:
            arrays[name] = arrays[name].dictionary_encode()
    return arrays
