"""A job on a machine that may differ from the one that planned it: first see that it does not, then do it.

What is compared is what the keys of results are made of, so a worker with other code, libraries or data cannot store
anything under a key that means something else. Versions come first and as plain text, since a job that was packed by
another version may not even be unpacked.
"""

import os
import pickle
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.progress import ignore
from qamoe_bench.provenance.environment import engine_digest, versions
from qamoe_bench.run.plan import Job, engine_of, weights_digest
from qamoe_bench.run.worker import Outcome, run_job
from qamoe_bench.store.store import Store

Call = tuple[Callable[..., Outcome], Mapping[str, str], bytes]


@contextmanager
def meeting_point(store: Store, run_id: str) -> Iterator[Path]:
    """A file in a run's folder by which workers know that they see the same folder."""
    name = f".meeting.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}.tmp"
    path = store.runs.absolute() / run_id / name
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def packed(job: Job, store: Store, run_id: str, meeting: Path) -> Call:
    """The call that does a job elsewhere: function and arguments."""
    return run_elsewhere, versions(), pickle.dumps((job, Store(store.root.absolute()), run_id, meeting))


def run_elsewhere(expected: Mapping[str, str], content: bytes) -> Outcome:
    """Do a job that was packed on another machine.

    Raises:
        BenchError: where this machine has other versions, code or data, or does not see or cannot write the store.
    """
    try:
        _check_versions(expected)
        job, store, run_id, meeting = pickle.loads(content)
        _check_store(store, run_id, meeting)
        _check_content(job)
        return run_job(job, store, run_id, ignore)
    except BenchError as error:
        raise BenchError(f"worker on {socket.gethostname()}: {error}") from error


def _check_versions(expected: Mapping[str, str]) -> None:
    here = versions()
    if differ := [name for name in expected if here.get(name) != expected[name]]:
        words = ", ".join(f"{name} {expected[name]}, got {here.get(name, 'none')}" for name in differ)
        raise BenchError(f"expected {words}; install the same versions everywhere")


@lru_cache(maxsize=8)
def _check_store(store: Store, run_id: str, meeting: Path) -> None:
    if not meeting.exists():
        raise BenchError(
            f"expected to see the store at {store.root}, the same folder as where the run was started, and does not; "
            "name a folder with --results that all machines share under one path"
        )
    store.prepare(run_id)


def _check_content(job: Job) -> None:
    if job.device == "cuda" and not torch.cuda.is_available():
        raise BenchError("expected a CUDA device and found none; start workers with GPUs, or run with --device cpu")
    cell, _ = job.cells[0]
    if (data := open_dataset(job.data, job.fine_tune)).digest != cell.data_digest:
        raise BenchError(f"data {job.data!r} differ from those of the run; copy the same file to every machine")
    if weights_digest(job.recipe, engine_of(job.device, data)) != job.digest:
        raise BenchError(
            f"the code of qamoe-bench or of model {cell.model!r} differs from the run's (engine here "
            f"{engine_digest()[:12]}); install the same everywhere and restart the workers"
        )
