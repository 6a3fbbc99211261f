"""Chapters and lists on a terminal, with styles."""

from collections.abc import Mapping, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from qamoe_bench.report.escaping import escaped
from qamoe_bench.report.formats.fitting import column_widths, fit
from qamoe_bench.report.table import WIDEST, Chapter, Table

LIST_WIDTH = 120  # columns of lists in pipes and files, so that programs find one entry per line
MIN_FITTED_WIDTH = 40  # columns; narrower terminals wrap lines themselves
GAP = 2  # blanks between the columns of a list


def stdout(width: int = WIDEST) -> Console:
    """A console on standard output, as wide as the terminal; in pipes and files, `width` columns without styles.

    Colours are off if NO_COLOR is set.
    """
    console = Console(emoji=False)  # a model may be called a.py:X:k=1, and :X: is no emoji there
    return console if console.is_terminal else Console(width=width, emoji=False)


def _at_least(console: Console, width: int) -> Console:
    """The console, or a wider one whose lines the terminal wraps: rich would cut off what does not fit."""
    return console if console.width >= width else Console(width=width, file=console.file)


def print_chapters(chapters: Sequence[Chapter], console: Console) -> None:
    """Print every chapter."""
    for chapter in chapters:
        heading = Padding(Text(chapter.heading, style="bold"), (1, 0, 0, 0))
        verdict = [Padding(Text(chapter.verdict, style="bold"), (1, 0))] if chapter.verdict else []
        console.print(Group(heading, *verdict, *(Text(line, style="dim") for line in chapter.lines)))
        for table in chapter.tables:
            print_table(table, console)


def print_table(table: Table, console: Console) -> None:
    """Print one table, split into parts if it does not fit."""
    # rich puts a blank before each column, as `fit` expects, and one more at the right edge.
    for part in fit(table, max(console.width, MIN_FITTED_WIDTH) - 1):
        _at_least(console, sum(column_widths(part)) + len(part.header) + 1).print(_table(part))


def print_rows(rows: Sequence[Mapping[str, object]]) -> None:
    """Print records with the same keys, which become the columns, to standard output.

    Names stay whole, so that they can be copied. Where not even a word fits beside them, each record has a paragraph.
    """
    console = stdout(LIST_WIDTH)
    if console.width < _narrowest(rows):
        for row in rows:
            lines = [escaped(f"{name}: {value}") for name, value in row.items()]
            console.print("\n  ".join(lines), highlight=False, markup=False, soft_wrap=True)
        return
    table = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for index, (name, value) in enumerate(rows[0].items()):
        justify: Literal["left", "right"] = "right" if isinstance(value, int) else "left"
        table.add_column(name, no_wrap=not index, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escaped(str(value))) for value in row.values()))
    console.print(table, highlight=False)


def _narrowest(rows: Sequence[Mapping[str, object]]) -> int:
    """Columns that a list needs with whole names, and with other texts broken at blanks only."""
    first, *others = rows[0]
    width = max(len(str(row[first])) for row in rows)
    for name in others:
        words = [name, *(word for row in rows for word in str(row[name]).split())]
        width += GAP + max(map(len, words))
    return width


def _table(table: Table) -> RenderableType:
    # Cells are `Text` and not `str`, because rich reads [brackets] in strings as markup.
    rich = RichTable(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for index, head in enumerate(table.header):
        rich.add_column(Text(head), justify="right" if index else "left", no_wrap=index > 0)
    for i, row in enumerate(table.rows):
        cells = (Text(text, style="bold" if (i, j) in table.best else "") for j, text in enumerate(row))
        rich.add_row(*cells, style="italic" if row[0] in table.reference else "")
    title = Padding(Text(table.title), (1, 0, 0, 0))
    return Group(title, rich, *(Text(note, style="dim") for note in table.notes))
