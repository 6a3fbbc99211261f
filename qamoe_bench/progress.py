"""Progress of a run with the estimated time left: a bar on a terminal, and a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Advance = Callable[[int], None]
"""Callback that is called with the number of work units (epochs and cells) that were finished since its last call."""

ProgressDisplay = Callable[[int], AbstractContextManager[Advance]]
"""Given the total number of work units, a context that shows progress and yields the callback."""

LINE_EVERY_S = 20.0  # off a terminal, where every line stays in a log


def ignore_progress(_: int) -> None:
    """A callback that shows nothing."""


def progress_display(console: Console, unit: str = "epochs and cells") -> ProgressDisplay:
    """A display on a console.

    Args:
        console: Where to show progress.
        unit: Name of the work units, in the plural.
    """

    def display(total: int) -> AbstractContextManager[Advance]:
        return _bar(console, total, unit) if console.is_terminal else _lines(console, total, unit)

    return display


@contextmanager
def _bar(console: Console, total: int, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit},"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Transient: the bar disappears at the end, and only the results stay on the terminal.
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("running", total=total)
        yield lambda units: progress.advance(task, units)


@contextmanager
def _lines(console: Console, total: int, unit: str) -> Iterator[Advance]:
    start = time.monotonic()
    last_line = start
    done = 0

    def advance(units: int) -> None:
        nonlocal done, last_line
        done += units
        now = time.monotonic()
        if now - last_line >= LINE_EVERY_S:
            last_line = now
            left_s = (now - start) * (total - done) / done  # at the mean speed so far
            console.print(f"{done} of {total} {unit}, about {left_s:.0f} s left", highlight=False)

    yield advance


_DOWNLOAD_COLUMNS = (
    TextColumn("downloading"),
    BarColumn(),
    DownloadColumn(),
    TransferSpeedColumn(),
    TextColumn("left"),
    TimeRemainingColumn(),
)


@contextmanager
def download_display(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A context that shows a download; its callback takes the bytes that are there and the total, 0 if unknown."""
    # Off a terminal the bar is disabled, and `update` prints lines.
    progress = Progress(*_DOWNLOAD_COLUMNS, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("downloading", total=None, visible=False)
    last_line = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last_line
        # Visible only now: a command that finds the file on disk downloads nothing and shows no bar.
        progress.update(task, completed=done, total=total or None, visible=True)
        if not console.is_terminal and time.monotonic() - last_line >= LINE_EVERY_S:
            last_line = time.monotonic()
            total_mb = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{done / 1e6:.0f}{total_mb} MB", highlight=False)

    with progress:
        yield update
