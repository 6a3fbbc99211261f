"""Chapters as plain text without styles, for pipes and files."""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from qamoe_bench.report.formats.fitting import column_widths, fit, lines_of
from qamoe_bench.report.table import WIDEST, Chapter, Table


def plain_text(chapters: Sequence[Chapter]) -> str:
    """All chapters, each after a blank line, in lines of at most `WIDEST` characters."""
    lines = [line for chapter in chapters for line in _chapter(chapter)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _chapter(chapter: Chapter) -> list[str]:
    lines = ["", *_filled(chapter.heading)]
    if chapter.verdict:
        lines += ["", *_filled(chapter.verdict), ""]
    for line in chapter.lines:
        lines += _filled(line)
    for table in chapter.tables:
        for part in fit(table, WIDEST):
            lines += _table(part)
    return lines


def _table(table: Table) -> list[str]:
    widths = column_widths(table)
    lines = ["", *_filled(table.title), "", *_row(table.header, widths)]
    lines.append(f" {'─' * (sum(widths) + len(widths) - 1)}")  # a blank lies between columns
    for row in table.rows:
        lines += _row(row, widths)
    lines.append("")
    for note in table.notes:
        lines += _filled(note)
    return lines


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of a row: names are aligned left, all other cells right."""
    lines = []
    for first, *others in zip_longest(*map(lines_of, cells), fillvalue=""):
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append(" ".join(["", first.ljust(widths[0]), *numbers]))
    return lines


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, WIDEST, break_long_words=False, break_on_hyphens=False) or [
        ""
    ]  # `wrap` gives no line for an empty text
