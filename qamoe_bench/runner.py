"""Running a plan: train what is not trained, evaluate what is not evaluated, store each cell as it is finished.

A job that is interrupted loses its current training at most; the same request again goes on from what is stored.
Jobs are independent and compute on one thread each, so they give the same bits in one process or in several.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, is_dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from qamoe_bench.checkpoint import load_weights, save_weights
from qamoe_bench.contract import DataSpec
from qamoe_bench.data.open import open_dataset
from qamoe_bench.environment import commit, machine, usable_cores
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluate import TestSet, as_arrow, sweep_model, sweep_oracle
from qamoe_bench.executor import Executor, Tick, in_process, in_processes
from qamoe_bench.plan import Job, Plan
from qamoe_bench.record import CellFacts
from qamoe_bench.store import Store
from qamoe_bench.train import seeded, train

Progress = Callable[[int], AbstractContextManager[Tick]]
"""Given the number of work units (epochs and cells) ahead, a context that shows progress and yields a `Tick`."""


@dataclass(frozen=True)
class Outcome:
    """What was done: trainings made, cells made."""

    trained: int = 0
    evaluated: int = 0


@dataclass(frozen=True)
class Summary:
    """What a run did: trainings and cells made, cells that were there already, seconds."""

    trained: int
    evaluated: int
    reused: int
    seconds: float


def run(
    plan: Plan, store: Store, jobs: int | None = None, progress: Progress = lambda _: nullcontext(_ignore)
) -> Summary:
    """Finish every cell of a plan.

    Args:
        plan: What to do.
        store: Where to keep it.
        jobs: Worker processes; by default one per usable core, and never more than jobs are left.
        progress: See `Progress`.

    Raises:
        BenchError: when the store cannot be written to.
        RunFailed: when a job failed; the others were finished first.
        KeyboardInterrupt: when interrupted; what was finished is stored.
    """
    start = time.perf_counter()
    store.prepare(plan.run_id)
    store.write_manifest(plan.run_id, {**plan.manifest, "commit": commit(), "machine": machine()})
    left = [job for job in plan.jobs if work_units(job, store)]
    reused = sum(store.find_cell(cell) is not None for cell in plan.cells)
    workers = min(jobs or usable_cores(), len(left))
    execute: Executor = in_processes if workers > 1 else in_process
    with progress(sum(work_units(job, store) for job in left)) as tick:
        outcomes = execute(run_job, [(job, store, plan.run_id) for job in left], workers, tick)
    return Summary(
        trained=sum(o.trained for o in outcomes),
        evaluated=sum(o.evaluated for o in outcomes),
        reused=reused,
        seconds=time.perf_counter() - start,
    )


def work_units(job: Job, store: Store) -> int:
    """Epochs and cells that are left to do."""
    cells = sum(store.find_cell(cell) is None for cell, _ in job.cells)
    must_train = cells and job.model and store.find_checkpoint(job.weights) is None
    return cells + (job.training.epochs if must_train else 0)


def run_job(job: Job, store: Store, run_id: str, tick: Tick) -> Outcome:
    """Do what is left of a job: get the weights, then make and store one cell after the other."""
    device = torch.device(job.device)
    test = _test_set(job.data, job.seed, job.device)
    before = store.find_checkpoint(job.weights)
    model, training = _weights(job, store, run_id, device, tick) if job.model else (None, {})
    evaluated = 0
    for cell, protocol in job.cells:
        if store.find_cell(cell) is None:
            columns = sweep_model(model, test, protocol) if model else sweep_oracle(test, protocol)
            conditions = tuple({"name": c.name, "levels": dict(c.levels)} for c in protocol.conditions)
            facts = CellFacts(conditions, _parameters(model), _config(model), training)
            store.write_cell(run_id, cell, facts, as_arrow(columns))
            evaluated += 1
            tick(1)
    return Outcome(int(model is not None and before is None), evaluated)


@lru_cache(maxsize=1)  # jobs come seed by seed, and the draws of a seed serve every model
def _test_set(data: str, seed: int, device: str) -> TestSet:
    return TestSet(open_dataset(data), seed, torch.device(device))


def _weights(job: Job, store: Store, run_id: str, device: torch.device, tick: Tick) -> tuple[nn.Module, dict[str, Any]]:
    """The job's model with trained weights: from the store, or trained now and stored."""
    data = open_dataset(job.data)
    model = _build(job, data.spec).to(device)
    found = store.find_checkpoint(job.weights)
    if found is not None:
        return model, load_weights(model, found)
    trained = train(model, data, job.regime, job.seed, job.training, device, on_epoch=lambda: tick(1))
    training = {**asdict(job.training), **asdict(trained)}
    save_weights(model, training, store.checkpoint_path(run_id, job.weights))
    return model, training


def _build(job: Job, spec: DataSpec) -> nn.Module:
    assert job.model is not None
    with seeded("build", job.seed):
        model = job.model.builder()(spec, **job.overrides)
    if not isinstance(model, nn.Module):
        raise BenchError(
            f"model {job.model.name!r}: expected {job.model.target} to return a torch.nn.Module, got "
            f"{type(model).__name__}"
        )
    return model


def _parameters(model: nn.Module | None) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad) if model else 0


def _config(model: nn.Module | None) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}


def _ignore(_: int) -> None:
    """A tick that nobody watches."""
