"""What tests share."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tinydata import make_dataset, mmsa_content

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset

torch.set_num_threads(1)  # as workers do; two threads under a parallel test run are many times slower than one


@pytest.fixture
def tiny() -> Dataset:
    """A data set of 40/12/20 samples with all modalities."""
    return make_dataset()


@pytest.fixture
def batch(tiny: Dataset) -> Batch:
    """The 20 test samples as training has them, with labels and nothing corrupted."""
    plain = tiny.splits["test"].batch(target=True)
    return replace(plain, clean=plain.features, signal={m: torch.ones(plain.size) for m in plain.modalities})


@pytest.fixture
def write_pickle(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny data set as an MMSA pickle, after `change` had its way with the content; gives the path."""

    def write(change: Callable[[dict[str, dict[str, Any]]], object] = lambda _: None, name: str = "tiny") -> Path:
        content = mmsa_content()
        change(content)
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(pickle.dumps(content))
        return path

    return write
