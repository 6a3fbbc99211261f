"""Progress of a run on a terminal, with an estimate of the time left; a line now and then where there is none."""

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

Tick = Callable[[int], None]
"""Called with the number of work units (epochs and cells) that were finished."""

Watch = Callable[[int], AbstractContextManager[Tick]]
"""Given the number of work units ahead, a context that shows progress and yields a `Tick`."""

LINE_EVERY_S = 20.0


def ignore(_: int) -> None:
    """A tick that nobody watches."""


def showing(console: Console, what: str = "epochs and cells") -> Watch:
    """A context maker for so many units of work, such as `qamoe_bench.run.runner.run` wants."""
    return lambda units: _bar(console, units, what) if console.is_terminal else _lines(console, units, what)


@contextmanager
def _bar(console: Console, units: int, what: str) -> Iterator[Tick]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(f"{what},"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("running", total=units)
        yield lambda done: progress.advance(task, done)


@contextmanager
def _lines(console: Console, units: int, what: str) -> Iterator[Tick]:
    start = last = time.monotonic()
    done = 0

    def tick(more: int) -> None:
        nonlocal done, last
        done, now = done + more, time.monotonic()
        if now - last >= LINE_EVERY_S:
            last, left = now, (now - start) * (units - done) / done
            console.print(f"{done} of {units} {what}, about {left:.0f} s left", highlight=False)

    yield tick


@contextmanager
def bytes_coming(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A context that shows how much of a download has come; its tick is told of the bytes that are there and of all."""
    columns = (
        TextColumn("downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("downloading", total=None, visible=False)
    last = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal last
        progress.update(task, completed=done, total=total or None, visible=True)
        if not console.is_terminal and time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            of = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{done / 1e6:.0f}{of} MB", highlight=False)

    with progress:
        yield tick
