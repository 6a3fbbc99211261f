"""Overhead of the engine per cell, in this process and on Dask, and speed-up by a second process.

The overhead is the time of a run minus that of its trainings and sweeps, which the cells record: finding pending cells,
submitting jobs, building models and writing files durably. On Dask, with one worker on this machine, it includes
serialisation. Run by `make benchmark`; prints measurements without a verdict.
"""

import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from smallstudy import SHORT, small_plan
from tinydata import mmsa_content

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.plan import Plan
from qamoe_bench.run.planner import plan
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plans
from qamoe_bench.store.store import Store

SEEDS = 60


def seconds(plans: list[Plan], execution: Execution) -> tuple[float, float]:
    """Wall time of a run into an empty store, and the part of it in trainings and sweeps."""
    with tempfile.TemporaryDirectory() as root:
        store = Store(Path(root))
        spent = run_plans(plans, store, execution).seconds
        facts = [c.facts for c in store.cells()]
        # Every protocol's cell records the time of the training that it shares with the others.
        protocols = len({c.cell.protocol for c in store.cells()})
        sweeps = sum(f.seconds_per_condition * len(f.conditions) for f in facts)
        return spent, sweeps + sum(f.training.get("seconds", 0) for f in facts) / protocols


def overhead(where: str, asked: Plan, execution: Execution) -> None:
    """Print the overhead per cell."""
    before = time.process_time()
    spent, computing = seconds([asked], execution)
    processor = time.process_time() - before
    cells = len(asked.cells)
    print(  # noqa: T201
        f"engine, {cells} cells {where}: {1000 * (spent - computing) / cells:.1f} ms per cell in addition to "
        f"{1000 * computing / cells:.1f} ms of computation; {1000 * processor / cells:.1f} ms of processor time here"
    )


def timed(plans: list[Plan], jobs: int) -> tuple[float, float]:
    """Wall and processor time of a run in several processes, including their start."""
    before = processor_of_children()
    spent, _ = seconds(plans, Execution("processes", jobs=jobs))
    return spent, processor_of_children() - before


def processor_of_children() -> float:
    """Processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A Dask scheduler and one worker on this machine; yields the scheduler file."""
    file = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    base = [sys.executable, "-m", "dask"]
    commands = (
        ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"],
        ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"],
    )
    with open(os.devnull, "wb") as quiet:  # noqa: PTH123
        processes = []
        for command in commands:
            processes.append(subprocess.Popen([*base, *command], env=environment, stdout=quiet, stderr=quiet))
            # The worker can only start once the scheduler has written its file.
            while not file.exists():
                time.sleep(0.05)
        yield str(file)
        for process in reversed(processes):
            process.kill()
            process.wait()


def main() -> None:
    """Print all measurements."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "tiny.pkl"
        data.write_bytes(pickle.dumps(mmsa_content()))
        name = f"mean:{SHORT}"
        warm = small_plan(data, name, seeds=(-1,))
        asked = small_plan(data, name, seeds=tuple(range(SEEDS)))
        seconds([warm], Execution("local"))
        overhead("in this process", asked, Execution("local"))
        with cluster(folder) as scheduler:
            dask = Execution("dask", scheduler=scheduler)
            seconds([warm], dask)
            overhead("on Dask", asked, dask)
        several = [plan(Request(("clean",), ("late-fusion:train.epochs=20",), seeds=(1, 2, 3, 4, 5, 6), device="cpu"))]
        (one, of_one), (two, of_two) = (timed(several, jobs) for jobs in (1, 2))
        print(  # noqa: T201
            f"6 trainings: {one:.1f} s in one process, {two:.1f} s in two, {one / two:.2f} times as fast, for "
            f"{of_two / of_one:.2f} times the processor time (load of the machine: {os.getloadavg()[0]:.1f})"
        )


if __name__ == "__main__":
    main()
