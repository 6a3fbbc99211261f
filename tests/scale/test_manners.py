"""Whatever a model does, the cells of all others have the bits that they have without it."""

import os
import re
from pathlib import Path

import pytest
import torch
from manners import FAILING, GOOD, check, plan_with_own
from smallstudy import small_plan

from qamoe_bench.errors import RunFailed
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.store import Store


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("alone"))
    run_plans([small_plan(data, *GOOD, seeds=(1,), protocols=("clean",))], store, Execution("local"))
    return store


def test_in_one_process(data: Path, tmp_path: Path, alone: Store, capfd: pytest.CaptureFixture[str]) -> None:
    store, notes = Store(tmp_path), list[str]()
    before = (Path.cwd(), dict(os.environ), torch.get_default_dtype(), torch.get_num_threads())
    with pytest.raises(RunFailed) as failed:
        run_plans([plan_with_own(data)], store, Execution("local"), note=notes.append)
    assert (Path.cwd(), dict(os.environ), torch.get_default_dtype(), torch.get_num_threads()) == before
    check(store, alone, str(failed.value))
    records = "".join(path.read_text("utf-8") for path in store.root.rglob("failures/*.json"))
    for reason in FAILING.values():
        assert re.search(reason, records)
    said = "\n".join(notes)
    for words in ("default dtype", "number of threads", "denormal", "mkldnn", "the working folder", "environment"):
        assert words in said
    out, err = capfd.readouterr()
    assert "<<printed>>" not in out
    assert "<<printed>>" in err


def test_in_processes(data: Path, tmp_path: Path, alone: Store) -> None:
    store = Store(tmp_path)
    with pytest.raises(RunFailed) as failed:
        run_plans([plan_with_own(data)], store, Execution("processes", jobs=2))
    check(store, alone, str(failed.value))
