"""The executor of processes: how calls fail, how processes end, and what they report."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from forkedworkers import workers_of
from workercalls import (
    SECONDS,
    Unpicklable,
    begin_and_wait,
    kill_once,
    process_of,
    raise_error,
    report_twice,
    wait_for_interrupt,
)

from qamoe_bench.errors import RunFailed
from qamoe_bench.run.executors.processes import ProcessesExecutor


def test_errors_of_calls_are_raised_by_their_futures_and_the_worker_serves_on() -> None:
    with ProcessesExecutor(1, print) as executor:
        first = executor.submit(os.getpid).result()
        with pytest.raises(ValueError, match="a mistake") as raised:
            executor.submit(raise_error, ValueError("a mistake")).result()
        assert "raise_error" in raised.value.__notes__[0]  # the traceback of the worker
        with pytest.raises(AttributeError, match="Can't (pickle|get) local object"):
            executor.submit(lambda: None).result()
        with pytest.raises(TypeError, match="cannot pickle"):
            executor.submit(threading.Lock).result()
        with pytest.raises(RunFailed, match="Unpicklable: a lock"):
            executor.submit(raise_error, Unpicklable).result()
        assert executor.submit(os.getpid).result() == first


@pytest.mark.parametrize(
    ("fn", "status", "reason"),
    [
        (os._exit, 3, "exit status 3"),
        (sys.exit, 4, "exit status 4"),
        (signal.raise_signal, signal.SIGKILL, "killed, by a user or by the system"),
        (signal.raise_signal, signal.SIGTERM, "signal 15"),
    ],
)
def test_a_call_that_ends_its_process_twice_fails_with_the_reason(fn: object, status: int, reason: str) -> None:
    with ProcessesExecutor(1, print) as executor:
        with pytest.raises(RunFailed, match=f"its worker process died 2 times .{reason}"):
            executor.submit(fn, status).result()  # type: ignore[arg-type]
        assert executor.submit(abs, -1).result() == 1


def test_a_process_that_ran_code_of_a_user_computes_nothing_of_others() -> None:
    with ProcessesExecutor(1, print) as executor:
        owners = ("", "a", "a", "b", "", "")
        processes = [executor.submit(process_of, owner).result() for owner in owners]
    # The first owner's code may follow that of this package. The thread of `a` never ends, and its process does.
    assert processes[0] == processes[1] == processes[2]
    assert processes[4] == processes[5]
    assert len({*processes}) == 3


def test_the_death_of_a_worker_costs_its_call_one_more_try_and_others_nothing(tmp_path: Path) -> None:
    with ProcessesExecutor(2, print) as executor:
        calls = [executor.submit(kill_once, tmp_path / "once"), *(executor.submit(os.getpid) for _ in range(20))]
        results = [call.result() for call in calls]
    assert results[0] == "second try"
    assert len(set(results[1:])) <= 3


def test_an_idle_worker_that_was_killed_is_replaced() -> None:
    with ProcessesExecutor(1, print) as executor:
        first = executor.submit(os.getpid).result()
        os.kill(first, signal.SIGKILL)
        assert executor.submit(os.getpid).result() != first


def test_a_worker_that_is_stopped_keeps_its_call_and_the_others_go_on(tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    with ProcessesExecutor(2, print) as executor:
        stopped = executor.submit(begin_and_wait, begun, go)
        while not (begun.exists() and begun.read_text().endswith("\n")):
            time.sleep(0.001)
        worker = int(begun.read_text())
        os.kill(worker, signal.SIGSTOP)
        go.touch()
        others = {executor.submit(os.getpid).result() for _ in range(50)}
        assert len(others) == 1
        assert worker not in others
        assert not stopped.done()
        os.kill(worker, signal.SIGCONT)
        assert stopped.result() == worker
    assert begun.read_text() == f"{worker}\n"  # nobody else has computed the call


def test_progress_of_every_worker_is_reported_before_its_result() -> None:
    reported: list[int] = []
    with ProcessesExecutor(2, reported.append) as executor:
        for call in [executor.submit(report_twice, units) for units in (1, 10)]:
            call.result()
        assert sorted(reported) == [1, 1, 10, 10]


def test_an_error_of_the_progress_display_does_not_mix_up_results() -> None:
    def fail(units: int) -> None:
        if units == 1:
            raise OSError("the terminal is closed")

    with ProcessesExecutor(1, fail) as executor:
        with pytest.raises(OSError, match="the terminal is closed"):
            executor.submit(report_twice, 1).result()
        assert executor.submit(report_twice, 2).result() == 2


def test_kill_ends_running_and_waiting_calls_at_once() -> None:
    start = time.monotonic()
    with ProcessesExecutor(2, print) as executor:
        calls = [executor.submit(time.sleep, SECONDS) for _ in range(4)]
        time.sleep(0.5)
        executor.kill()
    assert all(call.done() for call in calls)
    assert time.monotonic() - start < SECONDS / 2


def test_workers_ignore_interrupts_from_their_first_moment() -> None:
    interrupted: set[int] = set()
    with ProcessesExecutor(1, print) as executor:
        call = executor.submit(wait_for_interrupt)
        # The process exists before Python runs in it, so the signals begin at once.
        deadline = time.monotonic() + SECONDS
        while not call.done() and time.monotonic() < deadline:
            for child in workers_of(os.getpid()):
                os.kill(child, signal.SIGINT)
                interrupted.add(child)
            time.sleep(0.001)
        assert interrupted == {call.result()}  # the first process, and not the one of a second try
