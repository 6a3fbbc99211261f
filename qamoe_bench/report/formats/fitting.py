"""Fit tables to the width of a terminal without omitting or abbreviating anything.

A table that is too wide gets line breaks: heads and texts break at blanks, names of rows after `:` or `,` and, if that
is not enough, after `-`. A table that is still too wide is split into several, each with a part of the columns and all
of the rows.
"""

import math
import re
import textwrap
from dataclasses import replace
from typing import Literal

from qamoe_bench.report.table import Table

BLOCKS = "▁▂▃▄▅▆▇█"
BREAKS: tuple[tuple[Literal["heads", "texts", "names"], int], ...] = (
    ("heads", 10),
    ("texts", 30),
    ("texts", 22),
    ("names", 28),
    ("names", 20),
    ("names", 16),
    ("texts", 16),
    ("texts", 12),
)
"""What is broken in turn, until the table fits, and how many characters a line of it may then have."""
INDENT = "  "  # of the continuation lines of a name
CURVE_NOTE = f"curve: over the levels, from {BLOCKS[0]} (lowest value of the table) to {BLOCKS[-1]} (highest)"


def fit(table: Table, width: int) -> tuple[Table, ...]:
    """The table in parts of at most `width` characters; cells may contain line breaks."""
    table = with_curves(table)
    for part, characters in BREAKS:
        if _width(table) <= width:
            return (table,)
        table = _with_breaks(table, part, characters)
    return (table,) if _width(table) <= width else _split(table, width)


def with_curves(table: Table) -> Table:
    """The table with a column of sparklines, if it has curves."""
    if not table.trends:
        return table
    # One scale for all rows, so that heights can be compared between them.
    values = [value for trend in table.trends for value in trend if not math.isnan(value)]
    low = min(values, default=math.nan)
    high = max(values, default=math.nan)
    rows = []
    for row, trend in zip(table.rows, table.trends, strict=True):
        rows.append((*row, sparkline(trend, low, high)))
    notes = (*table.notes, CURVE_NOTE)
    return replace(table, header=(*table.header, "curve"), rows=tuple(rows), notes=notes, trends=())


def sparkline(values: tuple[float, ...], low: float, high: float) -> str:
    """One character per value, higher for higher values; a blank if it is undefined."""
    span = high - low or 1.0  # a constant curve is drawn at the bottom
    heights = [(value - low) / span * (len(BLOCKS) - 1) for value in values]
    return "".join(BLOCKS[round(height)] if math.isfinite(height) else " " for height in heights)


def lines_of(cell: str) -> list[str]:
    """The lines of a cell."""
    return cell.split("\n")


def column_widths(table: Table) -> list[int]:
    """Characters of the longest line of each column."""
    widths = []
    for column in zip(table.header, *table.rows, strict=True):
        lines = lines_of("\n".join(column))
        widths.append(max(map(len, lines)))
    return widths


def _width(table: Table) -> int:
    """Characters of a line with a blank before each column."""
    return sum(1 + width for width in column_widths(table))


def _with_breaks(table: Table, part: Literal["heads", "texts", "names"], width: int) -> Table:
    if part == "names":
        return replace(table, rows=tuple((_broken_name(row[0], width), *row[1:]) for row in table.rows))
    if part == "heads":
        return replace(table, header=tuple(_broken_text(head, width) for head in table.header))
    # Heads get half of the width: columns of numbers are narrow. Numbers have no blanks, so they stay whole.
    header = tuple(_broken_text(head, width // 2) for head in table.header)
    rows = []
    for name, *cells in table.rows:
        rows.append((name, *(_broken_text(cell, width) for cell in cells)))
    return replace(table, header=header, rows=tuple(rows))


def _broken_text(text: str, width: int) -> str:
    unbroken = text.replace("\n", " ")  # an earlier step may have broken it at another width
    if " " not in unbroken:  # most cells are numbers, and wrapping is slow
        return text
    # An interval breaks before …, since a line that ends with it looks as if it was shortened.
    unbroken = unbroken.replace("… ", "…\N{NO-BREAK SPACE}")
    lines = textwrap.wrap(unbroken, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ") or text


def _broken_name(name: str, width: int) -> str:
    """A name on lines of at most `width` characters if its parts allow it, continuation lines indented."""
    parts = []
    for part in re.findall(r"[^:, ]*[:, ]?", name.replace(f"\n{INDENT}", "")):
        # Hyphens belong to words of a name, so they are a last resort.
        parts += re.findall(r"[^-]*-?", part) if len(part) > width - len(INDENT) else [part]
    lines = [""]
    for part in parts:
        room = width if len(lines) == 1 else width - len(INDENT)
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return f"\n{INDENT}".join(line.rstrip() for line in lines)


def _split(table: Table, width: int) -> tuple[Table, ...]:
    """Several tables, each with as many columns as fit next to the names, at least one."""
    first, *widths = (1 + characters for characters in column_widths(table))
    groups: list[list[int]] = [[]]
    used = first
    for column, characters in enumerate(widths, start=1):
        if groups[-1] and used + characters > width:
            groups.append([])
            used = first
        groups[-1].append(column)
        used += characters
    last = len(groups) - 1
    return tuple(_part(table, group, index, is_last=index == last) for index, group in enumerate(groups))


def _part(table: Table, columns: list[int], index: int, *, is_last: bool) -> Table:
    kept = [0, *columns]
    rows = []
    for row in table.rows:
        rows.append(tuple(row[c] for c in kept))
    return Table(
        title=f"{table.title} (continued)" if index else table.title,
        header=tuple(table.header[c] for c in kept),
        rows=tuple(rows),
        notes=table.notes if is_last else (),
        reference=table.reference,
        best=frozenset((row, kept.index(column)) for row, column in table.best if column in kept),
    )
