"""Chapters as plain text, for pipes and files: as on a terminal, but at once and without colours."""

import textwrap
from collections.abc import Sequence

from qamoe_bench.report.table import Chapter, Table

WIDTH = 120  # of running text; tables are as wide as they are


def plain_text(chapters: Sequence[Chapter]) -> str:
    """Every chapter, each after a blank line."""
    return "".join(f"{line.rstrip()}\n" for chapter in chapters for line in _chapter(chapter))


def _chapter(chapter: Chapter) -> list[str]:
    head = ["", *_filled(chapter.heading), *(part for line in chapter.lines for part in _filled(line))]
    return head + [line for table in chapter.tables for line in _table(table)]


def _table(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    lines = [_row(row, widths) for row in (table.header, *table.rows)]
    rule = f" {'─' * (sum(widths) + len(widths) - 1)}"
    notes = [part for note in table.notes for part in _filled(note)]
    return ["", *_filled(table.title), "", lines[0], rule, *lines[1:], "", *notes]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return " ".join(["", first.strip().ljust(len(first)), *others])


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
