"""Chapters on a terminal."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from qamoe_bench.report.table import Chapter, Table

PLAIN_WIDTH = 120  # where there is no terminal to fit


def stdout() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every table in a pipe or file."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def print_chapters(chapters: Sequence[Chapter], console: Console) -> None:
    """Print every chapter."""
    for chapter in chapters:
        console.print(Group(*_chapter(chapter)))


def print_table(table: Table, console: Console) -> None:
    """Print one table."""
    console.print(_table(table))


def print_rows(rows: Sequence[Mapping[str, object]]) -> None:
    """Print a list of things with the same properties, which make the columns, to standard output."""
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, (name, value) in enumerate(rows[0].items()):
        table.add_column(name, no_wrap=not index, justify="right" if isinstance(value, int) else "left")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    stdout().print(table, highlight=False)


def _chapter(chapter: Chapter) -> list[RenderableType]:
    heading = Padding(Text(chapter.heading, style="bold"), (1, 0, 0, 0))
    return [heading, *(Text(line, style="dim") for line in chapter.lines), *map(_table, chapter.tables)]


def _table(table: Table) -> RenderableType:
    rich = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for index, head in enumerate(table.header):
        rich.add_column(Text(head), justify="right" if index else "left", no_wrap=index > 0)
    for i, row in enumerate(table.rows):
        cells = (Text(text, style="bold" if (i, j) in table.best else "") for j, text in enumerate(row))
        rich.add_row(*cells, style="italic" if row[0] in table.reference else "")
    title = Padding(Text(table.title), (1, 0, 0, 0))
    return Group(title, rich, *(Text(note, style="dim") for note in table.notes))
