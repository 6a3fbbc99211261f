"""Small data that tests share."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset, Split

torch.set_num_threads(1)  # as workers do; two threads under a parallel test run are many times slower than one

WIDTHS = {"text": 5, "audio": 3, "vision": 4}
FRAMES = {"text": 4, "audio": 6, "vision": 5}


def make_split(name: str, samples: int, modalities: tuple[str, ...] = tuple(WIDTHS)) -> Split:
    """Features that tell the label a little, with lengths from 1 to the longest."""
    random = np.random.default_rng(sum(map(ord, name)))
    target = np.round(random.uniform(-3, 3, samples), 1).astype(np.float32)
    features, lengths = {}, {}
    for m in modalities:
        length = random.integers(1, FRAMES[m] + 1, samples)
        x = random.standard_normal((samples, FRAMES[m], WIDTHS[m])) + 0.3 * target[:, None, None]
        x[np.arange(FRAMES[m])[None] >= length[:, None]] = 0
        features[m], lengths[m] = torch.tensor(x, dtype=torch.float32), torch.tensor(length)
    return Split(tuple(f"{name}{i}" for i in range(samples)), torch.tensor(target), features, lengths)


def make_dataset(modalities: tuple[str, ...] = tuple(WIDTHS)) -> Dataset:
    """40/12/20 samples."""
    sizes = {"train": 40, "valid": 12, "test": 20}
    splits = {name: make_split(name, size, modalities) for name, size in sizes.items()}
    return Dataset("tiny", splits, digest="tiny" + "".join(modalities))


@pytest.fixture
def tiny() -> Dataset:
    """A data set of 40/12/20 samples with all modalities."""
    return make_dataset()


@pytest.fixture
def batch(tiny: Dataset) -> Batch:
    """The 20 test samples with labels."""
    return tiny.splits["test"].batch(target=True)


WritePickle = Callable[..., Path]


@pytest.fixture
def write_pickle(tmp_path: Path) -> WritePickle:
    """Writes the tiny data set as an MMSA pickle, after `change` had its way with the content; gives the path."""

    def write(change: Callable[[dict[str, dict[str, Any]]], object] = lambda _: None, name: str = "tiny") -> Path:
        content = {split: _mmsa(data) for split, data in make_dataset().splits.items()}
        change(content)
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(pickle.dumps(content))
        return path

    return write


def _mmsa(split: Split) -> dict[str, Any]:
    columns: Mapping[str, Any] = {m: x.numpy() for m, x in split.features.items()}
    lengths = {f"{m}_lengths": n.numpy() for m, n in split.lengths.items()}
    return {**columns, **lengths, "id": list(split.ids), "regression_labels": split.target.numpy()}
