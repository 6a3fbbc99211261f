"""A real Dask cluster on this machine: scheduler and workers are processes that are killed for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from manners import FEW, GOOD, check, plan_with_own
from process import interrupted
from smallstudy import assert_same, calling, command, predictions, small_plan

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.executors.serial import SerialExecutor
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.store import Store
from qamoe_bench.store.temporary import temporary_name

pytest.importorskip("distributed", reason="needs Dask distributed: pip install 'qamoe-bench[dask]'")


@dataclass
class Cluster:
    """A scheduler on a free TCP port, and workers without nannies, so that killed workers are not restarted."""

    file: Path
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    @property
    def execution(self) -> Execution:
        return Execution("dask", scheduler=str(self.file))


def dask(*words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    while not file.exists():
        assert scheduler.poll() is None
        time.sleep(0.02)
    options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(file.parent))
    workers = [dask("worker", "--scheduler-file", str(file), *options) for _ in range(3)]
    yield Cluster(file, scheduler, workers)
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def test_workers_with_other_versions_refuse_the_work(
    cluster: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qamoe_bench.run.remote.versions", lambda: {"qamoe-bench": "9.9", "torch": "0.1"})
    with pytest.raises(
        BenchError, match=r"worker on .*expected qamoe-bench 9.9, got .*, torch 0.1, got .*same versions"
    ):
        run_plans([small_plan(data)], Store(tmp_path), cluster.execution)
    assert not list(tmp_path.rglob("*.parquet"))


def test_models_that_would_end_their_worker_or_change_it_leave_the_others_alone(
    cluster: Cluster, data: Path, tmp_path: Path
) -> None:
    alone, store = Store(tmp_path / "alone"), Store(tmp_path / "r")
    run_plans([small_plan(data, *GOOD, seeds=(1,), protocols=("clean",))], alone, Execution("local"))
    with pytest.raises(RunFailed) as failed:
        run_plans([plan_with_own(data, FEW)], store, cluster.execution)
    check(store, alone, str(failed.value), FEW)
    assert {worker.poll() for worker in cluster.workers} == {None}


@pytest.mark.parametrize("presses", [1, 2])
def test_after_ctrl_c_the_cluster_serves_the_same_request_again(
    presses: int, cluster: Cluster, data: Path, tmp_path: Path, serial: Store
) -> None:
    store = Store(tmp_path)
    done = interrupted(
        *command(data, store, "--executor", "dask", "--scheduler", str(cluster.file)), presses=presses,
        when=lambda: any(store.runs.glob("*/predictions/*.parquet")),
    )  # fmt: skip
    assert done.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in done.stderr
    rest = run_plans([small_plan(data)], store, cluster.execution)
    assert rest.evaluated + rest.reused == 24
    assert rest.reused > 0
    assert {worker.poll() for worker in cluster.workers} == {None}
    # A call that a worker had begun before may still write what is there already.
    made = predictions(store)
    for name, expected in predictions(serial).items():
        assert made[name].equals(expected), name


def test_a_run_that_was_interrupted_in_this_process_can_be_repeated_in_it(
    cluster: Cluster, data: Path, tmp_path: Path, serial: Store
) -> None:
    store = Store(tmp_path)
    for jobs in (1, 3):
        done = 0

        def press(_: int, jobs: int = jobs) -> None:
            nonlocal done
            done += 1
            if done == jobs:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run_plans([small_plan(data)], store, cluster.execution, calling(press))
    rest = run_plans([small_plan(data)], store, cluster.execution)
    assert rest.evaluated + rest.reused == 24
    assert rest.reused > 0
    made = predictions(store)
    for name, expected in predictions(serial).items():
        assert made[name].equals(expected), name


def test_two_workers_are_killed_in_the_middle_and_every_cell_equals_that_of_a_serial_run(
    cluster: Cluster, data: Path, tmp_path: Path, serial: Store
) -> None:
    jobs = 0

    def kill_after_a_job(_: int) -> None:
        nonlocal jobs
        jobs += 1
        if jobs in (1, 4):
            cluster.workers[jobs // 4].send_signal(signal.SIGKILL)

    store = Store(tmp_path)
    summary = run_plans([small_plan(data)], store, cluster.execution, calling(kill_after_a_job))
    assert [worker.poll() for worker in cluster.workers] == [-signal.SIGKILL, -signal.SIGKILL, None]
    assert jobs == 12
    assert summary.evaluated <= 24  # a killed worker does not report the cells that it stored
    assert len(list(tmp_path.rglob("[!.]*.safetensors"))) == 12
    (folder,) = tmp_path.rglob("predictions")
    # The temporary file of a worker that is killed while it writes.
    left = temporary_name("half").replace(f".{os.getpid()}.", f".{cluster.workers[0].pid}.")
    (folder / left).write_bytes(b"half")
    second = run_plans([small_plan(data)], store, cluster.execution)
    assert (second.trained, second.evaluated, second.reused) == (0, 0, 24)
    assert_same(store, serial)


def test_a_call_that_dask_gave_up_raises_run_failed() -> None:
    from distributed import KilledWorker

    from qamoe_bench.run.executors.cluster import ClusterExecutor

    class GivesUp(SerialExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(KilledWorker("task", None, 3))  # type: ignore[arg-type]
            return future

    with ClusterExecutor(GivesUp()) as executor, pytest.raises(RunFailed, match="its worker died 4 times"):
        executor.submit(print).result()


def test_when_the_scheduler_is_lost_the_run_ends_and_another_executor_computes_the_rest(
    cluster: Cluster, data: Path, tmp_path: Path, serial: Store
) -> None:
    store = Store(tmp_path)
    with pytest.raises(RunFailed, match="the connection to the scheduler was lost.*continues from there"):
        run_plans([small_plan(data)], store, cluster.execution, calling(lambda _: cluster.scheduler.kill()))
    for worker in cluster.workers:  # one that has not noticed yet would write during the comparison
        worker.kill()
        worker.wait()
    rest = run_plans([small_plan(data)], store, Execution("local"))
    assert rest.evaluated + rest.reused == 24
    assert rest.reused > 0
    assert_same(store, serial)
