"""Files of one key: whether they hold the same results, and one cell of those that do.

A key stands for one set of predictions, so the same cell in two runs or on two machines counts once. What was measured
about a computation (its times, memory and device, and how often an encoding was reused) may differ. Everything that the
key determines has to be equal, bit for bit: the columns, the conditions, the configuration, the history of the
training, and the use of experts. Two contents under one key are an error, because nothing says which of them is right.
"""

from collections.abc import Iterable
from dataclasses import MISSING, fields
from filecmp import cmp
from typing import Any

import numpy as np

from qamoe_bench.errors import BenchError
from qamoe_bench.store.cell import CellFacts, digest_of
from qamoe_bench.store.stored_cell import REPETITIVE_COLUMNS, StoredCell

MEASURED = (
    "seconds_per_sample", "encodings_asked", "encodings_computed", "device", "seconds_per_condition", "peak_memory_mib",
    "finished",
)  # fmt: skip
"""Facts that another machine, or the same at another time, measures differently."""
SHOWN_CONFLICTS = 3
"""Pairs of files that an error names."""


class Distinct:
    """Cells by key, each once, and the pairs of cells that have one key and differ."""

    def __init__(self) -> None:
        self._cells: dict[str, StoredCell] = {}
        self.conflicts: list[tuple[StoredCell, StoredCell, str]] = []

    @property
    def cells(self) -> list[StoredCell]:
        """The cells in the order in which their keys were first added."""
        return list(self._cells.values())

    def add(self, stored: StoredCell) -> bool:
        """Add a cell; whether its key is new."""
        first = self._cells.setdefault(stored.cell.key, stored)
        if first is stored:
            return True
        if reason := difference(first, stored):
            self.conflicts.append((first, stored, reason))
        return False


def distinct(cells: Iterable[StoredCell]) -> list[StoredCell]:
    """The cells of different keys, in order.

    Raises:
        BenchError: If two cells of one key hold different results.
    """
    unique = Distinct()
    for stored in cells:
        unique.add(stored)
    if unique.conflicts:
        raise conflict_error(unique.conflicts)
    return unique.cells


def conflict_error(conflicts: list[tuple[StoredCell, StoredCell, str]], outcome: str = "") -> BenchError:
    """The error for cells of one key with different results.

    Args:
        conflicts: The pairs of cells, and in what they differ.
        outcome: What was done instead, for the message.
    """
    named = []
    for first, second, reason in conflicts[:SHOWN_CONFLICTS]:
        named.append(f"{first.path} and {second.path} ({reason})")
    if len(conflicts) > SHOWN_CONFLICTS:
        named.append(f"{len(conflicts) - SHOWN_CONFLICTS} more")
    cells = "1 cell with two contents" if len(conflicts) == 1 else f"{len(conflicts)} cells with two contents each"
    return BenchError(
        f"{cells}: expected equal results under equal keys, got {'; '.join(named)}; {outcome}remove the wrong file of "
        "each pair"
    )


def difference(first: StoredCell, second: StoredCell) -> str:
    """In what two cells of one key differ, in words; empty if they hold the same results.

    Raises:
        BenchError: If a file cannot be read.
    """
    if first.path.name and second.path.name and cmp(first.path, second.path, shallow=False):
        return ""  # equal files, which is much faster to see than equal columns
    if first.names != second.names:
        return f"only one has column {min(first.names ^ second.names)}"
    facts = _differing_fact(first.facts, second.facts)
    return facts or _differing_column(first, second)


def _differing_column(first: StoredCell, second: StoredCell) -> str:
    texts = first.names & {*REPETITIVE_COLUMNS}
    for name in sorted(texts):
        if first.values(name) != second.values(name):
            return f"column {name} differs"
    numbers = sorted(first.names - texts)
    before = first.columns(numbers)
    now = second.columns(numbers)
    for name in numbers:
        a = before[name]
        b = now[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"column {name} differs"
        if a.tobytes() != b.tobytes():  # unlike ==, also right for NaN
            largest = float(np.nanmax(np.abs(a.astype(np.float64) - b)))
            return f"column {name} differs by up to {largest:.2g}"
    return ""


def _differing_fact(first: CellFacts, second: CellFacts) -> str:
    for field in fields(CellFacts):
        if field.name in MEASURED:
            continue
        a = getattr(first, field.name)
        b = getattr(second, field.name)
        default = None if field.default_factory is MISSING else field.default_factory()
        # A fact that has its default was not recorded, as by earlier versions.
        if default not in (a, b) and digest_of(_without_seconds(a)) != digest_of(_without_seconds(b)):
            return f"recorded {field.name} differs"
    return ""


def _without_seconds(fact: Any) -> Any:
    """A fact without the durations in it; those of trainings lie in mappings of mappings."""
    if isinstance(fact, dict):
        return {name: _without_seconds(part) for name, part in fact.items() if name != "seconds"}
    return [_without_seconds(part) for part in fact] if isinstance(fact, list | tuple) else fact
