"""Doing a job: get its weights, then make and store one cell after the other; what is stored already is left alone.

A job that is interrupted loses its current training at most. It computes on one thread, and a process does one job at
a time, for torch's thread count and global generators belong to the whole process; so a job gives the same bits in
whatever process, on however many cores.
"""

import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.evaluation.columns import as_arrow
from qamoe_bench.evaluation.sweep import sweep_model, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.progress import Tick
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.provenance.environment import peak_memory_mib
from qamoe_bench.run.pending import unfinished
from qamoe_bench.run.plan import Job
from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.failures import Failure
from qamoe_bench.store.store import Store
from qamoe_bench.training.building import build_model
from qamoe_bench.training.checkpoint import load_weights, save_weights
from qamoe_bench.training.loop import train


@dataclass(frozen=True)
class Outcome:
    """What was done: trainings made, cells made, cells that could not be made."""

    trained: int = 0
    evaluated: int = 0
    failures: tuple[Failure, ...] = ()


def run_job(job: Job, store: Store, run_id: str, tick: Tick) -> Outcome:
    """Do what is left of a job. A cell that fails does not stop the others.

    Raises:
        BenchError: for what stops other jobs too, as a full disk does.
    """
    with _turn, _one_thread():
        weights = _Weights(job, store, run_id, tick)
        evaluated, failures = 0, []
        for cell, protocol in unfinished(job, store):
            try:
                _make_cell(cell, protocol, weights)
                evaluated += 1
            except BenchError:
                raise
            except Exception as error:
                failures.append(failure_of(cell, error, socket.gethostname()))
                _test_set.cache_clear()  # a large one may have been what memory was wanting for
            tick(1)
        return Outcome(weights.trained, evaluated, tuple(failures))


def failure_of(cell: Cell, error: Exception, machine: str = "") -> Failure:
    """The record of a cell that an exception ended; `RunFailed` says all there is to say."""
    if isinstance(error, RunFailed):
        return Failure(cell, str(error), machine)
    words = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    reason = f"out of memory ({words})" if _out_of_memory(error) else words
    return Failure(cell, reason, machine, "".join(traceback.format_exception(error)))


def _out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


_turn = threading.Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make_cell(cell: Cell, protocol: Protocol, weights: "_Weights") -> None:
    job, start, before = weights.job, time.perf_counter(), weights.seconds
    test = _test_set(job.data, job.fine_tune, job.seed, job.device)
    precision = job.evaluation(cell).precision
    sweep = sweep_model(weights, test, protocol, precision=precision) if job.recipe else sweep_oracle(test, protocol)
    seconds = time.perf_counter() - start - (weights.seconds - before)
    facts = CellFacts(
        tuple({"name": c.name, "levels": dict(c.levels)} for c in protocol.conditions),
        *weights.facts(protocol),
        sweep.experts,
        sweep.seconds_per_sample,
        sweep.encodings_asked,
        sweep.encodings_computed,
        device=job.device,
        seconds_per_condition=seconds / len(protocol.conditions) / protocol.draws,
        peak_memory_mib=peak_memory_mib(),
    )
    weights.store.write_cell(weights.run_id, cell, facts, as_arrow(sweep.columns))


@lru_cache(maxsize=1)  # jobs come seed by seed, and the draws of a seed serve every model
def _test_set(data: str, fine_tune: str, seed: int, device: str) -> TestSet:
    return TestSet(open_dataset(data, fine_tune), seed, torch.device(device))


class _Weights:
    """The trained model of a job for each condition: the user's, from the store, or trained now and stored.

    The last one is kept, so where all conditions have the same weights they are fetched once. What failed once is not
    tried again for the next cell.
    """

    def __init__(self, job: Job, store: Store, run_id: str, tick: Tick) -> None:
        self.job, self.store, self.run_id, self._tick = job, store, run_id, tick
        self._key = ""
        self._model: nn.Module | None = None
        self._courses: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, str] = {}
        self.trained = 0
        self.seconds = 0.0  # spent here

    def __call__(self, condition: Condition) -> nn.Module:
        key = self.job.weights(condition)
        if key in self._failed:
            raise RunFailed(self._failed[key])
        if self._model is None or key != self._key:
            start = time.perf_counter()
            self._model, self._courses[key] = self._get(key, condition)
            self._key = key
            self.seconds += time.perf_counter() - start
        return self._model

    def facts(self, protocol: Protocol) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """Parameters, configuration and training of the weights that answered under the conditions of a protocol."""
        if self._model is None:
            return 0, {}, {}
        parameters = sum(p.numel() for p in self._model.parameters() if p.requires_grad)
        courses = {c.name: self._courses[self.job.weights(c)] for c in protocol.conditions}
        specialists = self.job.recipe is not None and self.job.recipe.regime == "matched"
        training = {"specialists": courses} if specialists else courses[protocol.conditions[0].name]
        return parameters, _config(self._model), training

    def _get(self, key: str, condition: Condition) -> tuple[nn.Module, dict[str, Any]]:
        job, recipe = self.job, self.job.recipe
        assert recipe is not None
        data, device = open_dataset(job.data, job.fine_tune), torch.device(job.device)
        model = build_model(recipe.model.builder(), recipe.settings, data.spec, job.seed, recipe.model.name).to(device)
        found = Path(recipe.checkpoint) if recipe.checkpoint else self.store.find_checkpoint(key)
        if found is not None:
            return model, load_weights(model, found)
        try:
            trained = train(
                model, data, recipe.exposure(condition), job.seed, recipe.training, device, lambda: self._tick(1)
            )
        except Exception as error:
            self._failed[key] = failure_of(job.cells[0][0], error).reason
            raise
        self._tick(recipe.training.epochs - len(trained.train_loss))  # nothing to train takes no epochs
        course = {**asdict(recipe.training), **asdict(trained)}
        save_weights(model, course, self.store.checkpoint_path(self.run_id, key))
        self.trained += 1
        return model, course


def _config(model: nn.Module) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
