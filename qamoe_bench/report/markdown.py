"""Chapters as GitHub-flavoured Markdown."""

from collections.abc import Sequence

from qamoe_bench.report.table import Chapter, Table


def markdown(chapters: Sequence[Chapter]) -> str:
    """One document."""
    return "\n\n".join(block for chapter in chapters for block in _chapter(chapter)) + "\n"


def _chapter(chapter: Chapter) -> list[str]:
    return [f"## {_escape(chapter.heading)}", *map(_escape, chapter.lines), *map(_table, chapter.tables)]


def _table(table: Table) -> str:
    rule = ["---", *["---:"] * (len(table.header) - 1)]
    rows = [f"*{row[0]}*" if row[0] in table.reference else row[0] for row in table.rows]
    lines = [
        f"**{_escape(table.title)}**",
        "",
        _line(table.header),
        _line(rule),
        *(_line((_escape(name), *row[1:])) for name, row in zip(rows, table.rows, strict=True)),
    ]
    return "\n".join([*lines, *(f"\n{_escape(note)}" for note in table.notes)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
