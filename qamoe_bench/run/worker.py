"""Running a job: obtain its weights, then evaluate and store each cell that is not stored yet.

An interrupted job loses at most its current training. A job computes on one thread, and a process runs one job at a
time, because torch's thread count and global generators are shared by the whole process. Results are therefore the same
bits in any process, with any number of cores.
"""

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.train_size import train_size_facts
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.evaluation.columns import as_arrow
from qamoe_bench.evaluation.limits import sweep_limit
from qamoe_bench.evaluation.sweep import Sweep, sweep_model, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.isolation.containment import end_if_forked
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.provenance.environment import peak_memory_mib, utc_now
from qamoe_bench.run.arithmetic import one_thread, reproducible
from qamoe_bench.run.curve_recorder import CurveInProgress, CurveRecorder, Watched
from qamoe_bench.run.executors.processes import claim_process
from qamoe_bench.run.first_batch import try_first_batch
from qamoe_bench.run.guard import data_unchanged, guarded
from qamoe_bench.run.pending import lacks_curve, pending_cells
from qamoe_bench.run.plan import Job
from qamoe_bench.run.progress import Advance
from qamoe_bench.store.cell import ORACLE, Cell, CellFacts
from qamoe_bench.store.failures import Failure
from qamoe_bench.store.selection import SelectionCurve, write_curve
from qamoe_bench.store.store import Store
from qamoe_bench.training.building import build_model
from qamoe_bench.training.checkpoint import DamagedCheckpoint, load_weights, save_weights
from qamoe_bench.training.coverage import training_facts
from qamoe_bench.training.loop import train


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        trained: Number of trainings.
        evaluated: Number of cells.
        curves: Number of curves of test metrics.
        failures: The cells that failed.
        changed: Settings of the process that the model changed, and that were restored.
        notes: Stored files that were not used, one sentence each.
    """

    trained: int = 0
    evaluated: int = 0
    curves: int = 0
    failures: tuple[Failure, ...] = ()
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def run_job(job: Job, store: Store, run_id: str, advance: Advance) -> Outcome:
    """Compute the pending cells of a job. A cell that fails does not stop the others.

    Args:
        job: The job.
        store: Where weights and cells are looked up and stored.
        run_id: Run that new files belong to.
        advance: Is called with 1 after each epoch and each cell.

    Raises:
        BenchError: for errors that stop other jobs as well, such as a full disk.
    """
    claim_process(job.owner)
    # The lock first, because what the other contexts set is global.
    with _job_lock, one_thread(), reproducible(torch.device(job.device)):
        pending = pending_cells(job, store)
        weights = _JobWeights(job, store, run_id, advance, pending)
        evaluated = 0
        curves = 0
        failures = []
        changed: list[str] = []
        for cell, protocol in pending:
            try:
                with guarded(job, changed):
                    if store.find_cell(cell) is None:  # else it lacks its curve only
                        _evaluate_cell(cell, protocol, weights)
                        evaluated += 1
                    if lacks_curve(job, cell, store):
                        write_curve(store, run_id, cell, weights.curve(cell, protocol))
                        curves += 1
                if job.has_own_model:
                    _check_stored(cell, store)
            except BenchError:  # the next cell would fail in the same way
                raise
            except Exception as error:
                failures.append(failure_of(cell, error, socket.gethostname()))
                # After an out-of-memory error, free the largest object that the next cell can do without.
                _test_set.cache_clear()
            advance(1)
        return Outcome(
            weights.trained, evaluated, curves, tuple(failures), tuple(dict.fromkeys(changed)), tuple(weights.damaged)
        )


def _check_stored(cell: Cell, store: Store) -> None:
    """Check that a cell is there: with a function such as `os.replace` replaced, nothing is written and nothing fails.

    Raises:
        RunFailed: If it is not.
    """
    if store.find_cell(cell) is None:
        raise RunFailed(
            "the model kept its predictions from being stored: expected functions of Python and the package as they "
            "are, got others; leave them"
        )


def failure_of(cell: Cell, error: Exception, machine: str = "") -> Failure:
    """The record of a cell that failed with an exception; of a `RunFailed` without a cause, the message only."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, RunFailed) and error.__cause__ is not None:
        return Failure(cell, str(error), machine, trace)
    if isinstance(error, RunFailed):
        return Failure(cell, str(error), machine)
    # The first line only: the reason is shown in a list, and the traceback has the rest.
    summary = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    reason = f"out of memory ({summary})" if _is_out_of_memory(error) else summary
    return Failure(cell, reason, machine, trace)


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


_job_lock = threading.Lock()  # workers of Dask may run several threads in one process


def _evaluate_cell(cell: Cell, protocol: Protocol, weights: "_JobWeights") -> None:
    """Sweep the model of a cell through its protocol, and store the predictions."""
    job = weights.job
    start = time.perf_counter()
    seconds_before = weights.seconds
    test = _test_set(job.data, job.fine_tune, job.reading, job.seed, job.device)
    with data_unchanged(test.data):
        sweep = _sweep(job, cell, protocol, weights, test)
    end_if_forked(weights.process)
    # The sweep trains or loads weights on demand; that time is not part of the evaluation.
    seconds = time.perf_counter() - start - (weights.seconds - seconds_before)
    parameters, config, training = weights.facts(protocol)
    facts = CellFacts(
        tuple({"name": condition.name, "levels": dict(condition.levels)} for condition in protocol.conditions),
        parameters,
        config,
        training,
        sweep.experts,
        sweep.seconds_per_sample,
        sweep.encodings_asked,
        sweep.encodings_computed,
        sweep.permutations,
        device=job.device,
        seconds_per_condition=seconds / len(protocol.conditions) / protocol.draws,
        peak_memory_mib=peak_memory_mib(),
        finished=utc_now(),
        trained_on=_trained_on(job, protocol),
        task=test.data.task.facts,
        train_size=train_size_facts(test.data),
    )
    weights.store.write_cell(weights.run_id, cell, facts, as_arrow(sweep.columns))


def _trained_on(job: Job, protocol: Protocol) -> dict[str, Any]:
    """See `training_facts`; empty where nobody knows, and for the oracle."""
    if job.recipe is None or job.recipe.checkpoint:
        return {}
    return training_facts(job.recipe.exposure, protocol, job.recipe.training.levels_per)


def _sweep(job: Job, cell: Cell, protocol: Protocol, weights: "_JobWeights", test: TestSet) -> Sweep:
    if job.recipe is None:
        return sweep_oracle(test, protocol) if cell.model == ORACLE else sweep_limit(cell.model, test, protocol)
    chosen = job.evaluation(cell)
    return sweep_model(weights, test, protocol, precision=chosen.precision, permutations=chosen.permutations)


@lru_cache(maxsize=1)  # jobs come seed by seed, and all models share the draws of a seed
def _test_set(data: str, fine_tune: str, reading: ReadingOptions, seed: int, device: str) -> TestSet:
    return TestSet(open_dataset(data, fine_tune, reading), seed, torch.device(device))


class _JobWeights:
    """The trained model of a job for each condition: from the user's file, from the store, or trained and stored.

    The last model is kept, so weights that all conditions share are loaded once. A training that failed is not repeated
    for the next cell.
    """

    def __init__(
        self, job: Job, store: Store, run_id: str, advance: Advance, pending: Iterable[tuple[Cell, Protocol]]
    ) -> None:
        self.job = job
        self.store = store
        self.run_id = run_id
        self.trained = 0
        self.seconds = 0.0  # time spent on training and loading
        self.process = os.getpid()
        self.damaged: list[str] = []  # files of weights in the store that were not used, a sentence each
        self._advance = advance
        self._key = ""  # of `_model`
        self._model: nn.Module | None = None
        self._records: dict[str, dict[str, Any]] = {}  # of the training, by key of the weights
        self._failed: dict[str, str] = {}  # reason, by key of the weights
        # By key of a cell; one training may add to those of several cells.
        self._curves = {
            cell.key: CurveInProgress(cell, protocol, job.evaluation(cell).precision)
            for cell, protocol in pending
            if lacks_curve(job, cell, store)
        }

    def __call__(self, condition: Condition) -> nn.Module:
        key = self.job.weights_key(condition)
        if key in self._failed:  # an earlier cell needed the same weights
            raise RunFailed(self._failed[key])
        if self._model is None or key != self._key:
            # Only one model is kept, because specialists of many conditions may not fit into memory together.
            start = time.perf_counter()
            self._model, self._records[key] = self._obtain(key, condition)
            self._key = key
            self.seconds += time.perf_counter() - start
        return self._model

    def facts(self, protocol: Protocol) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """Number of parameters, configuration and training record of the weights that a protocol was swept with."""
        if self._model is None:  # the oracle
            return 0, {}, {}
        parameters = sum(p.numel() for p in self._model.parameters() if p.requires_grad)
        records = {condition.name: self._records[self.job.weights_key(condition)] for condition in protocol.conditions}
        has_specialists = self.job.recipe is not None and self.job.recipe.regime == "matched"
        training = {"specialists": records} if has_specialists else records[protocol.conditions[0].name]
        return parameters, _config(self._model), training

    def curve(self, cell: Cell, protocol: Protocol) -> SelectionCurve:
        """The test metrics of a cell after every epoch, from trainings that are made here if they were not yet."""
        for condition in protocol.conditions:
            self(condition)
        return self._curves[cell.key].finished()

    def _watched(self, key: str) -> list[Watched]:
        """The parts of curves that the training of these weights adds to, and that no training has added yet."""
        parts = []
        for curve in self._curves.values():
            missing = [c for c in curve.protocol.conditions if c.name not in curve.selected]
            of_key = [c for c in missing if self.job.weights_key(c) == key]
            if of_key:
                parts.append(Watched(curve, of_key))
        return parts

    def _obtain(self, key: str, condition: Condition) -> tuple[nn.Module, dict[str, Any]]:
        """A model with trained weights, and the record of its training."""
        job = self.job
        recipe = job.recipe
        assert recipe is not None
        data = open_dataset(job.data, job.fine_tune, job.reading)
        device = torch.device(job.device)

        def build() -> nn.Module:
            fresh = build_model(recipe.model, recipe.settings, data.spec, data.examples, job.seed)
            if job.has_own_model:
                fresh.register_forward_hook(lambda *_: end_if_forked(self.process))
            return fresh

        if recipe.checkpoint:
            model = build().to(device)
            return model, load_weights(model, Path(recipe.checkpoint), named=False)
        watched = self._watched(key)
        stored = self._load_stored(key, lambda: build().to(device))
        if stored is not None and not watched:
            return stored
        model = build().to(device)
        exposure = recipe.exposure_for(condition)
        try:
            try_first_batch(build, data, exposure, job.seed, recipe.training, device)
            recorder = self._recorder(build, watched) if watched else None

            def on_epoch() -> None:
                end_if_forked(self.process)
                if recorder is not None:
                    recorder.record(model)
                self._advance(1)

            with data_unchanged(data):
                trained = train(model, data, exposure, job.seed, recipe.training, device, on_epoch)
        except Exception as error:
            # Kept as text: an exception would keep the tensors of its frames in memory.
            self._failed[key] = failure_of(job.cells[0][0], error).reason
            raise
        # A model without parameters takes no epochs, but the display counted them.
        self._advance(recipe.training.epochs - len(trained.train_loss))
        if recorder is not None:
            recorder.finish(trained.best_epoch)
            trained = replace(trained, seconds=trained.seconds - recorder.seconds)
        record = {**asdict(recipe.training), **asdict(trained)}
        if stored is None:  # else only the curve was missing
            save_weights(model, record, self.store.checkpoint_path(self.run_id, key))
        self.trained += 1
        return model, record

    def _load_stored(self, key: str, build: Callable[[], nn.Module]) -> tuple[nn.Module, dict[str, Any]] | None:
        """The weights that another run stored, or this one before it was interrupted; None if no file is intact."""
        for path in self.store.checkpoints(key):
            model = build()  # for each, since a part of damaged weights may have been loaded
            try:
                return model, load_weights(model, path)
            except DamagedCheckpoint:
                self.damaged.append(f"checkpoint {path} is not as it was written; trained again")
        return None

    def _recorder(self, build: Callable[[], nn.Module], watched: Sequence[Watched]) -> CurveRecorder:
        job = self.job
        test = _test_set(job.data, job.fine_tune, job.reading, job.seed, job.device)
        return CurveRecorder(lambda: build().to(torch.device(job.device)), test, watched)


def _config(model: nn.Module) -> dict[str, Any]:
    """The configuration of a model as plain values; empty for a model that has none."""
    config = getattr(model, "config", None)
    # `is_dataclass` is also true for the class itself, which has no values.
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
