"""When a cell fails, the others continue; the reason is recorded, and the same request computes the rest."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from smallstudy import SHORT, assert_same, small_plan

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.provenance.environment import versions
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.remote import pack_call, store_marker
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.failures import failed_keys
from qamoe_bench.store.store import Store

LOCAL = Execution("local")


def faulty(**settings: object) -> str:
    words = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"faultymodels:build:{words},{SHORT}"


def records(store: Store) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(store.root.rglob("failures/*.json"))]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("memory", r"out of memory \(MemoryError: 1 TiB requested\)"),
        ("allocation", r"out of memory \(RuntimeError: .*allocate memory"),
        ("bug", "IndexError: a mistake in the model"),
    ],
)
def test_a_cell_that_fails_is_recorded_and_the_others_are_made(
    fault: str, reason: str, data: Path, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    plan = small_plan(data, faulty(fault=fault, when="evaluation", once=once), f"mean:{SHORT}")
    store = Store(tmp_path / "r")
    with pytest.raises(
        RunFailed, match=f"^1 of 12 cells .*spectrum 1 random-missing: {reason}.* the others are stored"
    ):
        run_plans([plan], store, LOCAL)
    assert len(store.cells()) == 11
    (record,) = records(store)
    assert "_fail" in record["traceback"]
    assert failed_keys(store, plan.run_id) == {record["key"]}
    rest = run_plans([plan], store, LOCAL)
    assert (rest.trained, rest.evaluated, rest.reused) == (0, 1, 11)
    assert records(store) == []


def test_a_training_that_fails_takes_its_cells_with_it_and_is_not_tried_for_each(data: Path, tmp_path: Path) -> None:
    plan = small_plan(data, faulty(fault="memory", once=tmp_path / "once"), seeds=(1, 2))
    store = Store(tmp_path / "r")
    with pytest.raises(RunFailed, match="^2 of 4 cells .*1 clean, faulty.*1 random-missing: out of memory"):
        run_plans([plan], store, LOCAL)
    assert len(records(store)) == 2  # a second try would have gone well
    assert run_plans([plan], store, LOCAL).evaluated == 2


def test_a_worker_that_is_killed_costs_a_second_try_and_a_job_that_kills_it_twice_is_given_up(
    data: Path, tmp_path: Path
) -> None:
    once = [faulty(when=when, once=tmp_path / when) for when in ("training", "evaluation")]
    plan, killed = small_plan(data, *once, faulty(seed=2), f"mean:{SHORT}", seeds=(1, 2)), Store(tmp_path / "killed")
    with pytest.raises(RunFailed, match="^2 of 16 cells .*worker process died 2 times .killed, by .*out of memory"):
        run_plans([plan], killed, Execution("processes", jobs=2))
    assert {record["cell"]["seed"] for record in records(killed)} == {2}
    assert {(tmp_path / when).exists() for when in ("training", "evaluation")} == {True}
    undisturbed = small_plan(data, *once, f"mean:{SHORT}", seeds=(1, 2)), small_plan(data, faulty(seed=2), seeds=(1,))
    whole = Store(tmp_path / "whole")
    run_plans(undisturbed, whole, LOCAL)
    assert_same(killed, whole)


def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(
    data: Path, tmp_path: Path, serial: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writes = Store(tmp_path), 0

    def full(descriptor: int) -> None:
        nonlocal writes
        writes += 1
        if writes > 12:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BenchError, match="cannot write .*No space left on device.*free space"):
            run_plans([small_plan(data)], store, LOCAL)
    assert 0 < len(store.cells()) < 24
    run_plans([small_plan(data)], store, LOCAL)
    assert_same(store, serial)


def test_clocks_decide_nothing(data: Path, tmp_path: Path, serial: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    run_plans([small_plan(data, seeds=(1, 2))], store, LOCAL)
    monkeypatch.setattr(time, "time", lambda: 1e8)
    for index, path in enumerate(store.root.rglob("*")):
        os.utime(path, (0, 4e9 * (index % 2)))
    summary = run_plans([small_plan(data)], store, LOCAL)
    assert (summary.evaluated, summary.reused) == (8, 16)
    assert_same(store, serial)


WRITERS = """
import os, sys
from pathlib import Path
from storedcell import COLUMNS, FACTS
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.store import Store
for writer in range(20):
    if os.fork() == 0:
        store = Store(Path(sys.argv[1]))
        for run in ("shared", f"own{writer}"):
            store.prepare(run)
            store.write_manifest(run, {"cells": []})
        for cell in range(10):
            for name, run in (("all", "shared"), (str(writer), "shared"), (str(writer), f"own{writer}")):
                store.write_cell(run, Cell("d", "0", "p", "1", name, "clean", "2", cell), FACTS, COLUMNS)
                store.prepare(run)
        os._exit(0)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(20)))
"""


def test_twenty_writers_into_one_folder_lose_no_cell(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", WRITERS, str(tmp_path)], env=environment, check=True, timeout=60)
    store = Store(tmp_path)
    assert {(c.cell.model, c.cell.seed) for c in store.cells()} == {
        (name, seed) for name in ("all", *map(str, range(20))) for seed in range(10)
    }
    assert len(store.manifests()) == 21
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "index.parquet"]
    assert len(files) == 21 + 10 + 2 * 200


def test_a_write_whose_file_was_swept_up_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qamoe_bench.store.atomic import write_atomic

    rename, lost = Path.replace, list[Path]()

    def lose_the_first(self: Path, target: Path) -> Path:
        if not lost:
            lost.append(self)
            self.unlink()
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", lose_the_first)
    write_atomic(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert len(lost) == len(list(tmp_path.iterdir())) == 1


def test_workers_of_a_parent_that_was_killed_end(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "from qamoe_bench.run.executors.processes import ProcessesExecutor\n"
        "if __name__ == '__main__':\n"
        "    executor = ProcessesExecutor(1, print)\n"
        "    print(executor.submit(os.getpid).result(), flush=True)\n"
        "    executor.submit(time.sleep, 100).result()\n"
    )
    (tmp_path / "parent.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    """Whether a process is there and not a zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


REMOTE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "no such folder": (lambda store, _: store.rename(store.with_name("gone")), "expected to see the store at .*share"),
    "other data": (lambda _, data: data.write_bytes(data.with_name("other.pkl").read_bytes()), "data .* differ"),
}


@pytest.mark.parametrize("case", REMOTE)
def test_a_worker_that_sees_something_else_refuses(case: str, data: Path, tmp_path: Path) -> None:
    from tinydata import mmsa_content

    from qamoe_bench.data.open import open_dataset

    change, words = REMOTE[case]
    mine, store = tmp_path / "mine.pkl", Store(tmp_path / "r")
    mine.write_bytes(data.read_bytes())
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(mmsa_content(("text", "audio"))))
    plan = small_plan(mine, seeds=(1,))
    store.prepare(plan.run_id)
    with store_marker(store, plan.run_id) as marker:
        function, *arguments = pack_call(plan.jobs[0], store, plan.run_id, marker)
        change(store.root, mine)
        open_dataset.cache_clear()
        with pytest.raises(BenchError, match=f"^worker on .*{words}"):
            function(*arguments)


def test_a_worker_with_other_code_refuses(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, store = small_plan(data, seeds=(1,)), Store(tmp_path)
    store.prepare(plan.run_id)
    with store_marker(store, plan.run_id) as marker:
        function, *arguments = pack_call(plan.jobs[0], store, plan.run_id, marker)
        monkeypatch.setattr("qamoe_bench.run.plan.engine_digest", lambda: "other")
        with pytest.raises(BenchError, match="^worker on .*the code of qamoe-bench or of model .* differs"):
            function(*arguments)
    assert arguments[0] == versions()
