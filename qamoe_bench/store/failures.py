"""Records of cells that could not be finished: `runs/<run-id>/failures/<cell>.json`, one file per cell.

A record is information for people: no result depends on it, and it is removed when the run is repeated.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from qamoe_bench.errors import BenchError
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import SCHEMA, Cell
from qamoe_bench.store.store import Store


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


def write_failures(store: Store, run_id: str, failures: list[Failure]) -> None:
    """Record the failures of a run.

    Raises:
        BenchError: If a record cannot be written.
    """
    folder = failures_folder(store, run_id)
    for failure in failures:
        folder.mkdir(exist_ok=True)  # only runs with failures have this folder
        content = {"schema": SCHEMA, "key": failure.cell.key, **asdict(failure)}
        path = folder / Path(failure.cell.file_name).with_suffix(".json")
        write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def forget_failures(store: Store, run_id: str) -> None:
    """Remove the records of a run before it is repeated."""
    for path in failures_folder(store, run_id).glob("*.json"):
        path.unlink(missing_ok=True)  # another process may repeat the same run


def failed_keys(store: Store, run_id: str) -> set[str]:
    """Keys of the cells of a run that have a failure record.

    Raises:
        BenchError: If a record cannot be read.
    """
    return {_read_key(path) for path in failures_folder(store, run_id).glob("*.json")}


def failures_folder(store: Store, run_id: str) -> Path:
    """The folder that holds the failure records of a run."""
    return store.runs / run_id / "failures"


def _read_key(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"failure {path}: cannot be read ({error}); remove it") from error
