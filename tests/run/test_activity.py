"""What the progress display says: which jobs run, how many are done, and how long the rest takes."""

import io
import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from qamoe_bench.run.activity import Activity
from qamoe_bench.run.plan import Job
from qamoe_bench.run.progress import progress_display


class FakeJob:
    """As much of a job as its name needs: the oracle's under a seed."""

    cells = ((SimpleNamespace(model="oracle"), None),)

    def __init__(self, seed: int) -> None:
        self.seed = seed


def job(seed: int) -> Job:
    return cast(Job, FakeJob(seed))


def test_jobs_that_run_are_named_and_finished_ones_counted() -> None:
    activity = Activity(6)
    assert activity.status() == "0 of 6 models done"
    futures: list[Future[Any]] = [Future() for _ in range(5)]
    for seed, future in enumerate(futures):
        activity.watch(future, job(seed))
    assert activity.status() == "0 of 6 models done"  # waiting ones are not named
    for future in futures:
        future.set_running_or_notify_cancel()
    assert activity.status() == (
        "0 of 6 models done; now oracle with seed 0, oracle with seed 1, oracle with seed 2 and 2 more"
    )
    for future in futures[:4]:
        future.set_result(None)
    assert activity.status() == "4 of 6 models done; now oracle with seed 4"


def test_a_job_that_is_computed_while_it_is_submitted_is_named() -> None:
    activity = Activity(2)
    with activity.submitting(job(7)):
        assert activity.status() == "0 of 2 models done; now oracle with seed 7"
    assert activity.status() == "0 of 2 models done"
    with pytest.raises(KeyboardInterrupt), activity.submitting(job(7)):
        raise KeyboardInterrupt
    assert activity.status() == "0 of 2 models done"


def test_off_a_terminal_a_line_now_and_then_says_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 5.0, 30.0, 31.0, 100.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    text = io.StringIO()
    console = Console(file=text, width=40)
    with progress_display(console)(20, lambda: "1 of 3 models done; now x with seed 1111") as advance:
        for _ in range(4):
            advance(2)
    assert text.getvalue().splitlines() == [
        "20 %, 1 of 3 models done; now x with seed 1111; about 120 s left".replace("120 s", "2 min"),
        "40 %, 1 of 3 models done; now x with seed 1111; about 2 min left",
    ]


def test_on_a_terminal_the_bar_has_the_status_below_it_and_disappears() -> None:
    text = io.StringIO()
    console = Console(file=text, width=60, force_terminal=True)
    with progress_display(console)(4, lambda: "0 of 2 models done; now qa-moe with seed 1111 " + "x" * 60) as advance:
        advance(1)
    shown = text.getvalue()
    assert "25%" in shown
    assert "now qa-moe with seed 1111" in shown
    assert "…" in shown  # one line, whatever runs
    assert shown.endswith("\x1b[2K")  # cleared
    with progress_display(console, "blocks")(4) as advance:
        advance(3)
    assert "blocks," in text.getvalue()
