"""What the engine adds to a cell, here and on Dask, and what a second process gains.

The overhead of a cell is the time of a run without the sweeps themselves: planning what is left, sending the job,
building the model, writing files durably. The model is one that has nothing to train. On Dask, with one worker on this
machine, it includes what travels. Run by `make benchmark`; prints, judges nothing.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from smallstudy import small_plan
from tinydata import mmsa_content

from qamoe_bench.data.open import open_dataset
from qamoe_bench.executors.choice import Execution
from qamoe_bench.job import Plan
from qamoe_bench.plan import Request, plan
from qamoe_bench.registry import find_model
from qamoe_bench.runner import run_all
from qamoe_bench.store import Store
from qamoe_bench.sweep import TestSet, sweep_model

SEEDS = 60


def seconds(plans: list[Plan], execution: Execution) -> float:
    """Of a run into an empty store."""
    with tempfile.TemporaryDirectory() as root:
        return run_all(plans, Store(Path(root)), execution).seconds


def of_sweeps(asked: Plan) -> float:
    """Of the sweeps of a plan alone."""
    (job, *_), start = asked.jobs, time.perf_counter()
    data = open_dataset(job.data)
    model = find_model("mean").builder()(data.spec)
    for job in asked.jobs:
        test = TestSet(data, job.seed, torch.device("cpu"))
        for _, protocol in job.cells:
            sweep_model(model, test, protocol)
    return time.perf_counter() - start


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A scheduler and one worker."""
    file = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    base = [sys.executable, "-m", "dask"]
    words = (
        ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"],
        ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"],
    )
    with open(os.devnull, "wb") as quiet:  # noqa: PTH123
        processes = []
        for command in words:
            processes.append(subprocess.Popen([*base, *command], env=environment, stdout=quiet, stderr=quiet))
            while not file.exists():
                time.sleep(0.05)
        yield str(file)
        for process in reversed(processes):
            process.kill()
            process.wait()


def main() -> None:
    """Print every figure."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "tiny.pkl"
        data.write_bytes(pickle.dumps(mmsa_content()))
        asked = small_plan(data, "mean", seeds=tuple(range(SEEDS)), protocols=("clean", "random-missing"))
        cells = len(asked.cells)
        of_sweeps(asked)  # what is computed once per process
        sweeps = of_sweeps(asked)
        here = seconds([asked], Execution("local"))
        print(f"engine, {cells} cells in this process: {1000 * (here - sweeps) / cells:.1f} ms per cell")  # noqa: T201
        with cluster(folder) as scheduler:
            dask = Execution("dask", scheduler=scheduler)
            warm = small_plan(data, "mean", seeds=(-1,), protocols=("clean", "random-missing"))
            seconds([warm], dask)
            there = seconds([asked], dask)
        print(f"engine, {cells} cells on Dask: {1000 * (there - sweeps) / cells:.1f} ms per cell")  # noqa: T201
        several = [plan(Request(("random-missing",), ("late-fusion", "qa-moe"), seeds=(1, 2, 3, 4), device="cpu"))]
        one = seconds(several, Execution("processes", jobs=1))
        two = seconds(several, Execution("processes", jobs=2))
        load = os.getloadavg()[0]
        print(  # noqa: T201
            f"8 trainings and 12 cells: {one:.1f} s in one process, {two:.1f} s in two, {one / two:.2f} times as fast "
            f"(load of the machine at the end: {load:.1f})"
        )


if __name__ == "__main__":
    main()
