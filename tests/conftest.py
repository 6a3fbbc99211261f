"""Fixtures that tests share."""

import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from playwright.sync_api import Browser, sync_playwright
from tinydata import make_dataset, mmsa_content, training_batch

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

ROOMS_THAT_COMPUTE = {"analysis", "baselines", "evaluation", "metrics", "models", "nn", "statistics", "training"}
"""Folders of tests in which annotations with shapes are checked; `make shapes` checks them in every test."""

torch.set_num_threads(1)  # as workers do; two threads under a parallel test run are many times slower than one


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check shapes in the tests of the rooms that compute; tests of whole runs, which make the same calls, are slow."""
    everywhere = "qamoe_bench" in (item.config.getoption("jaxtyping_packages") or "").split(",")
    checked = everywhere or item.path.parent.name in ROOMS_THAT_COMPUTE
    jaxtyping.config.update("jaxtyping_disable", not checked)


def pytest_collection_finish() -> None:
    """Start the server of commands, if any of the collected tests uses it."""
    if "process" in sys.modules:
        sys.modules["process"].start_server()


@pytest.fixture
def shapes_unchecked() -> None:
    """For a test of very many calls that other tests make as well."""
    jaxtyping.config.update("jaxtyping_disable", True)


@pytest.fixture
def tiny() -> Dataset:
    """A data set of 40/12/20 samples with all modalities."""
    return make_dataset()


@pytest.fixture
def batch(tiny: Dataset) -> TrainingBatch:
    """The 20 test samples as training has them, with labels and nothing corrupted."""
    return training_batch(tiny.splits["test"])


@pytest.fixture
def make_batch() -> Callable[[Dataset], TrainingBatch]:
    """Makes such a batch of another data set."""
    return lambda data: training_batch(data.splits["test"])


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH (chromium, chromium-browser or google-chrome): no page was opened")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
