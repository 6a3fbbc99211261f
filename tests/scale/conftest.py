"""Fixtures of this folder: data, and the serial run that others are compared with."""

import pickle
from pathlib import Path

import pytest
from smallstudy import small_plan
from tinydata import mmsa_content

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.store import Store


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set as a pickle."""
    path = tmp_path_factory.mktemp("data") / "tiny.pkl"
    path.write_bytes(pickle.dumps(mmsa_content()))
    return path


@pytest.fixture(scope="session")
def serial(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the small study, made by one process without any fault."""
    store = Store(tmp_path_factory.mktemp("serial"))
    summary = run_plans([small_plan(data)], store, Execution("local"))
    assert summary.evaluated == 24
    return store
