"""Running a job on another machine: the worker first checks that it would compute the same as the one that planned it.

The checks compare the contents of result keys, so a worker with other code, libraries or data cannot store anything
under a key that has a different meaning. Versions are compared first and as plain text, because a job that was pickled
by another version may not even be unpickled.
"""

import pickle
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.provenance.engine import engine_digest
from qamoe_bench.provenance.environment import versions
from qamoe_bench.run.executors.processes import ProcessesExecutor, send_progress
from qamoe_bench.run.plan import Job, engine_content, job_digest
from qamoe_bench.run.progress import Advance, ignore_progress
from qamoe_bench.run.worker import Outcome, run_job
from qamoe_bench.store.store import Store
from qamoe_bench.store.temporary import temporary_name

Call = tuple[Callable[..., Outcome], Mapping[str, str], bytes]


@contextmanager
def store_marker(store: Store, run_id: str) -> Iterator[Path]:
    """A temporary file in the folder of a run, by which workers recognise that they see the same folder."""
    # The store removes `.tmp` files of processes that no longer run, so a killed run leaves no marker for long.
    path = store.runs.absolute() / run_id / temporary_name("marker")
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def pack_call(job: Job, store: Store, run_id: str, marker: Path) -> Call:
    """The call that runs a job on another machine: the function and its arguments."""
    # The job is pickled here and not by Dask, so that the worker can compare versions before it unpickles.
    return run_remotely, versions(), pickle.dumps((job, Store(store.root.absolute()), run_id, marker))


def run_remotely(expected: Mapping[str, str], content: bytes) -> Outcome:
    """Run a job that was packed on another machine.

    Args:
        expected: Versions of the libraries there.
        content: The pickled job, store, run and marker.

    Raises:
        BenchError: where this machine has other versions, code or data, or does not see or cannot write the store.
    """
    try:
        _check_versions(expected)
        job, store, run_id, marker = pickle.loads(content)
        _check_store(store, run_id, marker)
        if not job.has_own_model:
            return _run_checked(job, store, run_id, ignore_progress)
        # In a process of its own: Dask gives up a worker that dies, and the calls of others with it.
        outcome: Outcome = _child().submit(_run_checked, job, store, run_id, send_progress).result()
        return outcome
    except BenchError as error:
        raise BenchError(f"worker on {socket.gethostname()}: {error}") from error


def _run_checked(job: Job, store: Store, run_id: str, advance: Advance) -> Outcome:
    _check_content(job)
    return run_job(job, store, run_id, advance)


@lru_cache(maxsize=1)
def _child() -> ProcessesExecutor:
    """One process beside this one, for all jobs of users' own models; it ends with this one."""
    return ProcessesExecutor(1, ignore_progress)


def _check_versions(expected: Mapping[str, str]) -> None:
    installed = versions()
    differences = [
        f"{name} {version}, got {installed.get(name, 'none')}"
        for name, version in expected.items()
        if installed.get(name) != version
    ]
    if differences:
        raise BenchError(f"expected {', '.join(differences)}; install the same versions everywhere")


@lru_cache(maxsize=8)  # once per run: a worker gets many jobs of the same run
def _check_store(store: Store, run_id: str, marker: Path) -> None:
    # Without this check, results could be written to a folder of the same name on a local disk, and be lost.
    if not marker.exists():
        raise BenchError(
            f"expected to see the store at {store.root}, the same folder as where the run was started, and does not; "
            "name a folder with --results that all machines share under one path"
        )
    store.prepare(run_id)


def _check_content(job: Job) -> None:
    if job.device == "cuda" and not torch.cuda.is_available():
        raise BenchError("expected a CUDA device and found none; start workers with GPUs, or run with --device cpu")
    cell, _ = job.cells[0]  # all cells of a job have the same data
    data = open_dataset(job.data, job.fine_tune, job.reading)
    if data.digest != cell.data_digest:
        raise BenchError(f"data {job.data!r} differ from those of the run; copy the same file to every machine")
    if job_digest(job, engine_content(job.device, data)) != job.digest:
        raise BenchError(
            f"the code of qamoe-bench or of model {cell.model!r} differs from the run's (engine here "
            f"{engine_digest()[:12]}); install the same everywhere and restart the workers"
        )
