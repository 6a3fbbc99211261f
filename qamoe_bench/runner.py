"""Running a plan: train what is not trained, evaluate what is not evaluated, store each cell as it is finished.

A job that is interrupted loses its current training at most; the same request again goes on from what is stored.
Jobs are independent and compute on one thread each, so they give the same bits in one process or in several.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qamoe_bench.building import build_model
from qamoe_bench.checkpoint import load_weights, save_weights
from qamoe_bench.data.open import open_dataset
from qamoe_bench.environment import commit, machine, usable_cores
from qamoe_bench.executor import Executor, Tick, in_process, in_processes
from qamoe_bench.plan import Job, Plan
from qamoe_bench.protocol import Condition, Protocol
from qamoe_bench.record import CellFacts
from qamoe_bench.store import Store
from qamoe_bench.sweep import TestSet, as_arrow, sweep_model, sweep_oracle
from qamoe_bench.train import train

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
    left = [protocol for cell, protocol in job.cells if store.find_cell(cell) is None]
    if job.recipe is None or job.recipe.checkpoint:
        return len(left)
    keys = {job.weights(condition) for protocol in left for condition in protocol.conditions}
    return len(left) + job.recipe.training.epochs * sum(store.find_checkpoint(key) is None for key in keys)


def run_job(job: Job, store: Store, run_id: str, tick: Tick) -> Outcome:
    """Do what is left of a job: get the weights, then make and store one cell after the other."""
    test = _test_set(job.data, job.fine_tune, job.seed, job.device)
    weights = _Weights(job, store, run_id, tick)
    evaluated = 0
    for cell, protocol in job.cells:
        if store.find_cell(cell) is None:
            precision = job.evaluation(cell).precision
            sweep = (
                sweep_model(weights, test, protocol, precision=precision)
                if job.recipe
                else sweep_oracle(test, protocol)
            )
            conditions = tuple({"name": c.name, "levels": dict(c.levels)} for c in protocol.conditions)
            facts = CellFacts(
                conditions, *weights.facts(protocol), sweep.experts, sweep.seconds_per_sample,
                sweep.encodings_asked, sweep.encodings_computed,
            )  # fmt: skip
            store.write_cell(run_id, cell, facts, as_arrow(sweep.columns))
            evaluated += 1
            tick(1)
    return Outcome(weights.trained, evaluated)


@lru_cache(maxsize=1)  # jobs come seed by seed, and the draws of a seed serve every model
def _test_set(data: str, fine_tune: str, seed: int, device: str) -> TestSet:
    return TestSet(open_dataset(data, fine_tune), seed, torch.device(device))


class _Weights:
    """The trained model of a job for each condition: the user's, from the store, or trained now and stored.

    The last one is kept, so where all conditions have the same weights they are fetched once.
    """

    def __init__(self, job: Job, store: Store, run_id: str, tick: Tick) -> None:
        self._job, self._store, self._run_id, self._tick = job, store, run_id, tick
        self._key = ""
        self._model: nn.Module | None = None
        self._courses: dict[str, dict[str, Any]] = {}
        self.trained = 0

    def __call__(self, condition: Condition) -> nn.Module:
        key = self._job.weights(condition)
        if self._model is None or key != self._key:
            self._model, self._courses[key] = self._get(key, condition)
            self._key = key
        return self._model

    def facts(self, protocol: Protocol) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """Parameters, configuration and training of the weights that answered under the conditions of a protocol."""
        if self._model is None:
            return 0, {}, {}
        parameters = sum(p.numel() for p in self._model.parameters() if p.requires_grad)
        courses = {c.name: self._courses[self._job.weights(c)] for c in protocol.conditions}
        specialists = self._job.recipe is not None and self._job.recipe.regime == "matched"
        training = {"specialists": courses} if specialists else courses[protocol.conditions[0].name]
        return parameters, _config(self._model), training

    def _get(self, key: str, condition: Condition) -> tuple[nn.Module, dict[str, Any]]:
        job, recipe = self._job, self._job.recipe
        assert recipe is not None
        data, device = open_dataset(job.data, job.fine_tune), torch.device(job.device)
        model = build_model(recipe.model, recipe.settings, data.spec, job.seed).to(device)
        found = Path(recipe.checkpoint) if recipe.checkpoint else self._store.find_checkpoint(key)
        if found is not None:
            return model, load_weights(model, found)
        trained = train(
            model, data, recipe.exposure(condition), job.seed, recipe.training, device, lambda: self._tick(1)
        )
        self._tick(recipe.training.epochs - len(trained.train_loss))  # nothing to train takes no epochs
        course = {**asdict(recipe.training), **asdict(trained)}
        save_weights(model, course, self._store.checkpoint_path(self._run_id, key))
        self.trained += 1
        return model, course


def _config(model: nn.Module) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}


def _ignore(_: int) -> None:
    """A tick that nobody watches."""
