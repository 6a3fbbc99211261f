"""Tables of strings and chapters of tables: the common input of all text formats."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

WIDEST = 80  # columns of a standard terminal


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: Caption of the table.
        header: Column heads; the first column names the rows.
        rows: As many strings as the header has.
        notes: Sentences printed below the table.
        reference: Names of rows that are reference points (the oracle) rather than competing models.
        best: Positions (row, column) whose value is significantly better than all others of its column.
        trends: Per row the numbers of its curve, for formats that draw sparklines; empty if there are none.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    best: frozenset[tuple[int, int]] = frozenset()
    trends: tuple[tuple[float, ...], ...] = ()

    def width(self) -> int:
        """Characters of a line with one blank per column."""
        return sum(max(map(len, column)) + 1 for column in zip(self.header, *self.rows, strict=True))


@dataclass(frozen=True)
class Chapter:
    """The tables of one protocol on one data set, below a heading, a verdict and explanatory lines."""

    heading: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]
    verdict: str = ""


def shown(value: float, digits: str) -> str:
    """A number in a format such as `.3f`; – if it is undefined."""
    return f"{value:{digits}}" if math.isfinite(value) else "–"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural if needed."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def without_empty(table: Table) -> Table:
    """The table without columns that have no value in any row."""
    kept = []
    for index, (_, *cells) in enumerate(zip(table.header, *table.rows, strict=True)):
        # The first column names the rows and always stays.
        if index == 0 or set(cells) - {"–", ""}:
            kept.append(index)
    return _with_columns(table, kept)


def _with_columns(table: Table, columns: Sequence[int]) -> Table:
    """The table with these columns, in this order."""
    return replace(
        table,
        header=_selected(table.header, columns),
        rows=tuple(_selected(row, columns) for row in table.rows),
        best=frozenset((row, columns.index(column)) for row, column in table.best if column in columns),
    )


def _selected(cells: tuple[str, ...], columns: Iterable[int]) -> tuple[str, ...]:
    return tuple(cells[i] for i in columns)


def sorted_by(names: Sequence[str], table: Table) -> Table:
    """The table with its rows, or its columns if `fitted` transposed it, in the order of these names.

    A table whose rows and columns are anything else is unchanged.
    """
    heads = table.header[1:]
    if heads and set(heads) <= set(names):
        columns = [0, *sorted(range(1, len(table.header)), key=lambda c: names.index(table.header[c]))]
        return _with_columns(table, columns)
    if {row[0] for row in table.rows} - set(names):
        return table
    order = sorted(range(len(table.rows)), key=lambda i: names.index(table.rows[i][0]))  # stable for repeated names
    return replace(
        table,
        rows=tuple(table.rows[i] for i in order),
        best=frozenset((order.index(row), column) for row, column in table.best),
        trends=tuple(table.trends[i] for i in order) if table.trends else (),
    )


def fitted(table: Table) -> Table:
    """The table, transposed if it fits `WIDEST` only then: few rows with many or long column heads."""
    names = [row[0] for row in table.rows]
    transposed = replace(
        table,
        header=("", *names),
        rows=tuple(zip(table.header, *table.rows, strict=True))[1:],  # without the column of names
        reference=(),  # formats mark reference *rows*; the models are columns now
        best=frozenset((column - 1, row + 1) for row, column in table.best),
        trends=(),
    )
    return transposed if table.width() > WIDEST >= transposed.width() else table
