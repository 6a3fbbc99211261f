"""Ctrl-C, once and twice, while workers compute: nothing is lost, and the same command computes the rest."""

import signal
from pathlib import Path

import pytest
from process import interrupted
from smallstudy import assert_same, command, small_plan

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.store import Store


@pytest.mark.parametrize("presses", [1, 2])
def test_in_processes(presses: int, data: Path, tmp_path: Path, serial: Store) -> None:
    store = Store(tmp_path)
    done = interrupted(
        *command(data, store, "--executor", "processes", "--jobs", "2"), presses=presses,
        when=lambda: any(store.runs.glob("*/predictions/*.parquet")),
    )  # fmt: skip
    # The second press may meet a process that has nothing left to do but to end.
    assert done.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    rest = run_plans([small_plan(data)], store, Execution("local"))
    assert rest.evaluated + rest.reused == 24
    assert rest.reused > 0
    assert_same(store, serial)
