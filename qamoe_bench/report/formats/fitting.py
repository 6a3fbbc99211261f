"""Tables that fit a terminal, with nothing left out and nothing abbreviated.

A table that is too wide has its words broken over lines: heads and texts at blanks, names of rows behind `:` or `,`,
and behind `-` where that does not do. One that is still too wide is cut into several, each with some of the columns and
all of the rows.
"""

import re
import textwrap
from dataclasses import replace

import numpy as np

from qamoe_bench.report.table import Table

BLOCKS = "▁▂▃▄▅▆▇█"
STEPS = (("text", 30), ("text", 22), ("name", 28), ("name", 20), ("name", 16), ("text", 16), ("text", 12))
"""What is broken, and how many characters its lines may have then; as few steps as help."""
INDENT = "  "  # of a name's further lines
CURVE_NOTE = f"curve: over the levels; {BLOCKS[0]} is the lowest value of the table, {BLOCKS[-1]} the highest"


def fit(table: Table, width: int) -> tuple[Table, ...]:
    """The table in pieces of at most so many characters; cells may have several lines."""
    table = with_curves(table)
    for what, characters in STEPS:
        if _width(table) <= width:
            return (table,)
        table = (_with_texts if what == "text" else _with_names)(table, characters)
    return (table,) if _width(table) <= width else _cut(table, width)


def with_curves(table: Table) -> Table:
    """The table with a column that draws the curve of each row, where it has curves."""
    if not table.trends:
        return table
    low, high = np.nanmin(table.trends), np.nanmax(table.trends)
    rows = tuple((*row, sparkline(t, float(low), float(high))) for row, t in zip(table.rows, table.trends, strict=True))
    return replace(table, header=(*table.header, "curve"), rows=rows, notes=(*table.notes, CURVE_NOTE), trends=())


def sparkline(values: tuple[float, ...], low: float, high: float) -> str:
    """One character per value, higher for higher ones; a blank where it is undefined."""
    span = high - low or 1.0
    places = (np.asarray(values) - low) / span * (len(BLOCKS) - 1)
    return "".join(BLOCKS[round(float(p))] if np.isfinite(p) else " " for p in places)


def lines_of(cell: str) -> list[str]:
    """The lines of a cell."""
    return cell.split("\n")


def _width(table: Table) -> int:
    """Characters of a line with a blank before each column."""
    return sum(1 + max(len(line) for cell in column for line in lines_of(cell)) for column in _columns(table))


def _columns(table: Table) -> list[tuple[str, ...]]:
    return list(zip(table.header, *table.rows, strict=True))


def _with_names(table: Table, width: int) -> Table:
    return replace(table, rows=tuple((_name(row[0], width), *row[1:]) for row in table.rows))


def _with_texts(table: Table, width: int) -> Table:
    """Heads and texts broken at blanks; numbers have none inside, or few characters."""
    header = tuple(_at_blanks(head, width // 2) for head in table.header)
    rows = tuple((row[0], *(_at_blanks(cell, width) for cell in row[1:])) for row in table.rows)
    return replace(table, header=header, rows=rows)


def _at_blanks(text: str, width: int) -> str:
    words = text.replace("\n", " ")
    return "\n".join(textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)) or text


def _name(name: str, width: int) -> str:
    """A name on lines of at most so many characters if its parts allow it, the further ones indented."""
    parts = []
    for part in re.findall(r"[^:, ]*[:, ]?", name.replace(f"\n{INDENT}", "")):
        parts += re.findall(r"[^-]*-?", part) if len(part) > width - len(INDENT) else [part]
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width - (len(INDENT) if len(lines) > 1 else 0):
            lines.append("")
        lines[-1] += part
    return f"\n{INDENT}".join(line.rstrip() for line in lines)


def _cut(table: Table, width: int) -> tuple[Table, ...]:
    """Several tables, as many columns in each as fit beside the names; one at least."""
    widths = [1 + max(len(line) for cell in column for line in lines_of(cell)) for column in _columns(table)]
    groups: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        if groups[-1] and widths[0] + sum(widths[c] for c in (*groups[-1], column)) > width:
            groups.append([])
        groups[-1].append(column)
    last = len(groups) - 1
    return tuple(_part(table, group, index, is_last=index == last) for index, group in enumerate(groups))


def _part(table: Table, columns: list[int], index: int, *, is_last: bool) -> Table:
    kept = [0, *columns]
    return Table(
        title=f"{table.title}{' (continued)' if index else ''}",
        header=tuple(table.header[c] for c in kept),
        rows=tuple(tuple(row[c] for c in kept) for row in table.rows),
        notes=table.notes if is_last else (),
        reference=table.reference,
        best=frozenset((row, kept.index(column)) for row, column in table.best if column in kept),
    )
