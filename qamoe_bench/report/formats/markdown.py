"""Chapters as GitHub-flavoured Markdown."""

from collections.abc import Sequence

from qamoe_bench.report.table import Chapter, Table


def markdown(chapters: Sequence[Chapter]) -> str:
    """One document of all chapters."""
    blocks = [block for chapter in chapters for block in _chapter(chapter)]
    return "\n\n".join(blocks) + "\n"


def _chapter(chapter: Chapter) -> list[str]:
    verdict = [f"**{_escape(chapter.verdict)}**"] if chapter.verdict else []
    heading = f"## {_escape(chapter.heading)}"
    return [heading, *verdict, *map(_escape, chapter.lines), *map(_table, chapter.tables)]


def _table(table: Table) -> str:
    rule = ["---", *["---:"] * (len(table.header) - 1)]  # names left, numbers right
    lines = [
        f"**{_escape(table.title)}**",
        "",
        _line([_escape(head) for head in table.header]),
        _line(rule),
    ]
    for i, row in enumerate(table.rows):
        lines.append(_line([_cell(table, i, j) for j in range(len(row))]))
    for note in table.notes:
        lines.append(f"\n{_escape(note)}")  # the empty line ends the table, or makes a new paragraph
    return "\n".join(lines)


def _cell(table: Table, row: int, column: int) -> str:
    text = _escape(table.rows[row][column])
    if (row, column) in table.best:
        return f"**{text}**"
    return f"*{text}*" if column == 0 and table.rows[row][0] in table.reference else text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Text without the characters that would end a cell, or begin a link or an HTML tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
