"""Records of cells that could not be finished: `runs/<run-id>/failures/<cell>.json`, one file per cell.

A record is information for people: no result depends on it, and it is removed when the run is repeated.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import SCHEMA, Cell, key_in
from qamoe_bench.store.folder import ResultsFolder, file_names, json_bytes


@dataclass(frozen=True)
class Failure:
    """A cell that could not be finished.

    Attributes:
        cell: The cell.
        reason: The cause, in one line.
        machine: Name of the machine that tried it; empty if the worker process died without reporting it.
        traceback: The Python traceback; empty if it adds nothing to the reason.
    """

    cell: Cell
    reason: str
    machine: str = ""
    traceback: str = ""


def write_failures(store: ResultsFolder, run_id: str, failures: list[Failure]) -> None:
    """Record the failures of a run.

    Raises:
        BenchError: If a record cannot be written.
    """
    folder = failures_folder(store, run_id)
    for failure in failures:
        folder.mkdir(exist_ok=True)  # only runs with failures have this folder
        content = {"schema": SCHEMA, "key": failure.cell.key, **asdict(failure)}
        path = folder / Path(failure.cell.file_name).with_suffix(".json")
        write_atomic(path, json_bytes(content))


def forget_failures(store: ResultsFolder, run_id: str) -> None:
    """Remove the records of a run before it is repeated."""
    folder = failures_folder(store, run_id)
    for name in file_names(folder, key_in):
        with suppress(OSError):  # another process may repeat the same run, and the file may be another user's
            (folder / name).unlink()


def failed_keys(store: ResultsFolder, run_id: str) -> set[str]:
    """Keys of the cells of a run that have a failure record, taken from the names of the files."""
    return {key_in(name) for name in file_names(failures_folder(store, run_id), key_in)}


def failures_folder(store: ResultsFolder, run_id: str) -> Path:
    """The folder that holds the failure records of a run."""
    return store.runs / run_id / "failures"
