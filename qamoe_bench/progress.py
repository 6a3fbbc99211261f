"""Progress of a run on a terminal, with an estimate of the time left; a line now and then where there is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from qamoe_bench.executor import Tick

LINE_EVERY_S = 20.0


def showing(console: Console) -> Callable[[int], AbstractContextManager[Tick]]:
    """A context maker for `qamoe_bench.runner.run`."""
    return lambda units: _bar(console, units) if console.is_terminal else _lines(console, units)


@contextmanager
def _bar(console: Console, units: int) -> Iterator[Tick]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs and cells,"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
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
