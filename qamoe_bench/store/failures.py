"""What could not be finished, and why: `runs/<run-id>/failures/<cell>.json`, one file per cell.

A record is a note for people. It is removed when the cell is tried again, and no result depends on it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from qamoe_bench.errors import BenchError
from qamoe_bench.store.cell import SCHEMA, Cell
from qamoe_bench.store.store import Store, write_atomic


@dataclass(frozen=True)
class Failure:
    """A cell that could not be finished.

    Attributes:
        cell: Which.
        reason: Why, in one line.
        machine: Name of the machine that it was tried on; empty where the worker died with that knowledge.
        traceback: Where in the code it happened; empty where that says nothing.
    """

    cell: Cell
    reason: str
    machine: str = ""
    traceback: str = ""


def write_failures(store: Store, run_id: str, failures: list[Failure]) -> None:
    """Keep the failures of a run."""
    folder = failures_folder(store, run_id)
    for failure in failures:
        folder.mkdir(exist_ok=True)
        content = {"schema": SCHEMA, "key": failure.cell.key, **asdict(failure)}
        path = folder / Path(failure.cell.file_name).with_suffix(".json")
        write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def forget_failures(store: Store, run_id: str) -> None:
    """Remove the failures of a run, which is tried again."""
    for path in failures_folder(store, run_id).glob("*.json"):
        path.unlink(missing_ok=True)


def failed_keys(store: Store, run_id: str) -> set[str]:
    """Keys of the cells of a run that failed."""
    return {_read_key(path) for path in failures_folder(store, run_id).glob("*.json")}


def failures_folder(store: Store, run_id: str) -> Path:
    """Where a run keeps them."""
    return store.runs / run_id / "failures"


def _read_key(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"failure {path}: cannot be read ({error}); remove it") from error
