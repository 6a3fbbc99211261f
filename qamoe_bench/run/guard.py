"""What surrounds a cell while code of its model runs, so that the model reaches nothing beyond its own cell.

Stored samples are handed out as copies (`qamoe_bench.data.unshared`) except where these would be too large; there a
change is noticed afterwards, and the data are read again.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib import import_module

from torch import Tensor

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.isolation.containment import contained
from qamoe_bench.isolation.functions import functions_restored
from qamoe_bench.isolation.settings import settings_restored
from qamoe_bench.run.executors.processes import announce_limit
from qamoe_bench.run.plan import Job

OWN_MODEL_TIMEOUT_S = 6 * 3600.0
"""How long a cell of a user's own model may take by default, its training included."""
PLANNING_TIMEOUT_S = 600.0
"""How long importing and building a user's own model may take."""
GRACE_S = 30.0
"""The longest time that the parent of a process waits beyond a limit, which Python code in it notices by itself."""


@contextmanager
def guarded(job: Job, changed: list[str]) -> Iterator[None]:
    """A context for the computations of one cell.

    Args:
        job: The job that the cell belongs to.
        changed: Names of settings of the process that the user's own model changed are added; they are restored.

    Raises:
        RunFailed: If the model tried to end the process, took longer than the job allows, or kept results from being
            written by what it changed.
    """
    if job.recipe is None:
        yield
        return
    if job.has_own_model:
        # The first optimiser of a process imports it, which sets an environment variable and a filter of warnings. That
        # is not the model's doing.
        import_module("torch._dynamo")
    with ExitStack() as stack:
        stack.enter_context(_failed_writes_are_its_own(changed))  # decided after all others have restored what changed
        note = _ignored if job.recipe.model.is_built_in else changed.extend
        if job.has_own_model or job.cell_timeout:
            stack.enter_context(_contained(job.cell_timeout))
        if job.has_own_model:
            stack.enter_context(functions_restored(note))
        stack.enter_context(settings_restored(note))
        yield


@contextmanager
def _failed_writes_are_its_own(changed: list[str]) -> Iterator[None]:
    """An error that stops everything, such as a full disk, is the model's if it changed something before."""
    before = len(changed)
    try:
        yield
    except BenchError as error:
        names = dict.fromkeys(changed[before:])
        if not names:
            raise
        raise RunFailed(f"{error}; the model had changed {', '.join(names)}") from error


def _ignored(_: list[str]) -> None:
    """Built-in models are part of this code; what changes are libraries that it imports when they are needed."""


@contextmanager
def _contained(seconds: float) -> Iterator[None]:
    # Standard output holds results only, so what a model prints goes where messages go.
    with contained("the model", seconds), redirect_stdout(sys.stderr):
        announce_limit(seconds + min(GRACE_S, 1 + seconds / 2) if seconds else 0.0)
        try:
            yield
        finally:
            announce_limit(0.0)


@contextmanager
def data_unchanged(data: Dataset) -> Iterator[None]:
    """A context for a training or an evaluation during which no tensor of the data set may be changed in place.

    Raises:
        RunFailed: If one was changed; the data are read again when they are needed next.
    """
    before = _versions(data)
    try:
        yield
    finally:
        names = [name for name, version in _versions(data).items() if version != before[name]]
        if names:
            open_dataset.cache_clear()
    if names:
        raise RunFailed(
            f"the model changed {names[0]} of the data set in place: expected samples that stay as they are; let it "
            "work on x.clone()"
        )


def _versions(data: Dataset) -> dict[str, int]:
    """How often each tensor was changed, as torch counts it for a tensor and all its views."""
    tensors: dict[str, Tensor] = {}
    for name, split in data.splits.items():
        tensors[f"the labels of {name!r}"] = split.target
        for m in split.modalities:
            tensors[f"{m} of {name!r}"] = split.features[m]
            tensors[f"the lengths of {m} of {name!r}"] = split.lengths[m]
    for m in data.spec.modalities:
        tensors[f"the mean of {m}"] = data.reference.mean[m]
        tensors[f"the deviation of {m}"] = data.reference.std[m]
        tensors[f"the pool of {m}"] = data.reference.pool[m]
    return {name: x._version for name, x in tensors.items()}
