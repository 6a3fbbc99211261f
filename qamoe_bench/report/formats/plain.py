"""Chapters as plain text, for pipes and files: as on a terminal, but at once and without colours."""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from qamoe_bench.report.formats.fitting import fit, lines_of
from qamoe_bench.report.table import WIDEST, Chapter, Table


def plain_text(chapters: Sequence[Chapter]) -> str:
    """Every chapter, each after a blank line."""
    return "".join(f"{line.rstrip()}\n" for chapter in chapters for line in _chapter(chapter))


def _chapter(chapter: Chapter) -> list[str]:
    head = ["", *_filled(chapter.heading), *(part for line in chapter.lines for part in _filled(line))]
    return head + [line for table in chapter.tables for part in fit(table, WIDEST) for line in _table(part)]


def _table(table: Table) -> list[str]:
    columns = zip(table.header, *table.rows, strict=True)
    widths = [max(len(line) for cell in column for line in lines_of(cell)) for column in columns]
    head, *rows = (_row(row, widths) for row in (table.header, *table.rows))
    rule = f" {'─' * (sum(widths) + len(widths) - 1)}"
    notes = [part for note in table.notes for part in _filled(note)]
    return ["", *_filled(table.title), "", *head, rule, *(line for row in rows for line in row), "", *notes]


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of a row: names begin at the left, all else ends at the right."""
    lines = []
    for first, *others in zip_longest(*map(lines_of, cells), fillvalue=""):
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append(" ".join(["", first.ljust(widths[0]), *numbers]))
    return lines


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, WIDEST, break_long_words=False, break_on_hyphens=False) or [""]
