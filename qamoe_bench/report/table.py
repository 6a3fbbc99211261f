"""A table of strings and a chapter of tables: what every format renders."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

WIDEST = 80  # columns of a terminal


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: What it shows.
        header: Column heads; the first column names the rows.
        rows: As many strings as the header has.
        notes: Sentences to print below.
        reference: Names of rows that are oracle_rows or controls rather than contestants.
        best: Places (row, column) whose value is surely better than every other of its column.
        trends: Per row the numbers of its curve, for formats that draw it; empty where there is none.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    best: frozenset[tuple[int, int]] = frozenset()
    trends: tuple[tuple[float, ...], ...] = ()

    def width(self) -> int:
        """Characters of a line with a blank between columns."""
        return sum(max(map(len, column)) + 1 for column in zip(self.header, *self.rows, strict=True))


@dataclass(frozen=True)
class Chapter:
    """A protocol on a data set: heading, what it means, and its tables."""

    heading: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]


def shown(value: float, digits: str) -> str:
    """A number in a format such as `.3f`; – where it is undefined."""
    return f"{value:{digits}}" if np.isfinite(value) else "–"


def without_empty(table: Table) -> Table:
    """The table without the columns that say nothing in any row."""
    columns = [list(column) for column in zip(table.header, *table.rows, strict=True)]
    kept = [i for i, column in enumerate(columns) if i == 0 or set(column[1:]) - {"–", ""}]
    return replace(
        table,
        header=_some(table.header, kept),
        rows=tuple(_some(row, kept) for row in table.rows),
        best=frozenset((row, kept.index(column)) for row, column in table.best if column in kept),
    )


def _some(cells: tuple[str, ...], kept: Iterable[int]) -> tuple[str, ...]:
    return tuple(cells[i] for i in kept)


def fitted(table: Table) -> Table:
    """The table, turned where only so it fits: where few rows have columns whose names are long."""
    turned = replace(
        table,
        header=("", *(row[0] for row in table.rows)),
        rows=tuple(zip(table.header, *table.rows, strict=True))[1:],
        reference=(),
        best=frozenset((column - 1, row + 1) for row, column in table.best),
        trends=(),
    )
    return turned if table.width() > WIDEST >= turned.width() else table
