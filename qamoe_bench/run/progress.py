"""Progress of a run with the estimated time left: a bar on a terminal, and a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

Advance = Callable[[int], None]
"""Callback that is called with the number of work units (epochs and cells) that were finished since its last call."""

Status = Callable[[], str]
"""Says in one line what is going on, whenever the display is drawn."""

LINE_EVERY_S = 20.0  # off a terminal, where every line stays in a log
MINUTES_FROM_S = 120.0  # estimates are in minutes from here on


class ProgressDisplay(Protocol):
    """Shows the progress of a number of work units while its context is open."""

    def __call__(self, total: int, status: Status | None = None, /) -> AbstractContextManager[Advance]:
        """A context that yields the callback; the status is shown instead of the number of units."""


def ignore_progress(_: int) -> None:
    """A callback that shows nothing."""


def no_display(total: int, status: Status | None = None, /) -> AbstractContextManager[Advance]:
    """A display that shows nothing."""
    return nullcontext(ignore_progress)


def progress_display(console: Console, unit: str = "epochs and cells") -> ProgressDisplay:
    """A display on a console.

    Args:
        console: Where to show progress.
        unit: Name of the work units, in the plural.
    """

    def display(total: int, status: Status | None = None, /) -> AbstractContextManager[Advance]:
        if console.is_terminal:
            return _bar(console, total, unit, status)
        return _lines(console, total, unit, status)

    return display


class _BarWithStatus(Progress):
    """A bar with the status in a line below it."""

    status: Status | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bar, and what is going on at this moment."""
        yield from super().get_renderables()
        if self.status is not None:
            # One line on any terminal, or the display would jump.
            yield Text(self.status(), style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def _bar(console: Console, total: int, unit: str, status: Status | None) -> Iterator[Advance]:
    counts = MofNCompleteColumn() if status is None else TaskProgressColumn()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        counts,
        TextColumn(f"{unit}," if status is None else ""),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Transient: the bar disappears at the end, and only the results stay on the terminal.
    with _BarWithStatus(*columns, console=console, transient=True) as progress:
        progress.status = status
        task = progress.add_task("running", total=total)
        yield lambda units: progress.advance(task, units)


@contextmanager
def _lines(console: Console, total: int, unit: str, status: Status | None) -> Iterator[Advance]:
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
            state = f"{done} of {total} {unit}" if status is None else f"{100 * done / total:.0f} %, {status()}"
            console.print(f"{state}; {_time_left(left_s)}", highlight=False, markup=False, soft_wrap=True)

    yield advance


def _time_left(seconds: float) -> str:
    if seconds >= MINUTES_FROM_S:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds:.0f} s left"


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
