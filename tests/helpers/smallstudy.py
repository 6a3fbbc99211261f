"""A study of 24 cells that runs in seconds, and the comparison of stores, for tests and the soak run."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from qamoe_bench.run.plan import Plan
from qamoe_bench.run.planner import plan
from qamoe_bench.run.progress import Advance, ProgressDisplay, Status
from qamoe_bench.run.request import Request
from qamoe_bench.store.store import Store

SHORT = "train.epochs=2,train.selection_window=1,train.validation_samples=12"


MODELS = tuple(f"{name}:{SHORT}" for name in ("late-fusion", "text-only", "mm-boosting", "mean"))


def request(data: Path, *models: str, **changes: Any) -> Request:
    """By default four models, three seeds and two protocols: 24 cells of 12 jobs."""
    options = {"protocols": ("clean", "random-missing"), "seeds": (1, 2, 3), **changes}
    return Request(models=models or MODELS, data=str(data), device="cpu", **options)


def command(data: Path, store: Store, *more: str) -> list[str]:
    """The words of the command that computes the same study."""
    words = ["run", "--protocol", "clean", "--protocol", "random-missing", "--seeds", "1,2,3", "--device", "cpu"]
    for model in MODELS:
        words += ["--model", model]
    return [*words, "--data", str(data), "--results", str(store.root), *more]


def small_plan(data: Path, *models: str, **changes: Any) -> Plan:
    """The plan of that request."""
    return plan(request(data, *models, **changes))


def predictions(store: Store) -> dict[str, pd.DataFrame]:
    """The predictions of every cell, by name of its file."""
    return {c.cell.file_name: c.predictions for c in store.cells()}


def assert_same(a: Store, b: Store) -> None:
    """Assert that two stores hold the same cells, each in one file, with the same bits."""
    assert assert_same_cells(a, b) == assert_same_cells(b, a) == 0


def assert_same_cells(store: Store, expected: Store) -> int:
    """Assert that a store holds the cells of another with the same bits and nothing else; gives how many it has twice.

    Nothing is locked, so that two runs at once may store a cell each; a store refuses two contents of one key.
    """
    first = predictions(store)
    second = predictions(expected)
    assert first.keys() == second.keys()
    for name in first:
        pd.testing.assert_frame_equal(first[name], second[name], check_exact=True)
    files = Counter(path.name for path in store.runs.glob("*/predictions/*"))
    assert files.keys() == first.keys(), files.keys() ^ first.keys()
    assert not [path for path in store.root.rglob("*") if path.name.endswith(".tmp")]
    return files.total() - len(files)


def calling(advance: Advance) -> ProgressDisplay:
    """A progress display that only calls a function."""

    @contextmanager
    def display(total: int, status: Status | None = None, /) -> Iterator[Advance]:
        yield advance

    return display
