"""Progress of a run on a terminal, with an estimate of the time left; a line now and then where there is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich import progress as bars
from rich.console import Console

Tick = Callable[[int], None]
"""Called with the number of work units (epochs and cells) that were finished."""

Progress = Callable[[int], AbstractContextManager[Tick]]
"""Given the number of work units ahead, a context that shows progress and yields a `Tick`."""

LINE_EVERY_S = 20.0


def ignore(_: int) -> None:
    """A tick that nobody watches."""


def showing(console: Console) -> Progress:
    """A context maker for `qamoe_bench.runner.run`."""
    return lambda units: _bar(console, units) if console.is_terminal else _lines(console, units)


@contextmanager
def _bar(console: Console, units: int) -> Iterator[Tick]:
    columns = (
        bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(),
        bars.TextColumn("epochs and cells,"), bars.TimeElapsedColumn(), bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )  # fmt: skip
    with bars.Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("running", total=units)
        yield lambda done: progress.advance(task, done)


@contextmanager
def _lines(console: Console, units: int) -> Iterator[Tick]:
    start = last = time.monotonic()
    done = 0

    def tick(more: int) -> None:
        nonlocal done, last
        done, now = done + more, time.monotonic()
        if now - last >= LINE_EVERY_S:
            last, left = now, (now - start) * (units - done) / done
            console.print(f"{done} of {units} epochs and cells, about {left:.0f} s left", highlight=False)

    yield tick
