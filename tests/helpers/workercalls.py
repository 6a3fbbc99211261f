"""Calls for tests of the executor of processes; workers import them by name."""

import os
import signal
import threading
import time
from pathlib import Path

from qamoe_bench.run.executors.processes import claim_process, send_progress

SECONDS = 60
"""Longer than any test waits."""


class Unpicklable(Exception):
    """An exception that cannot be sent to another process."""

    def __init__(self, message: str = "a lock") -> None:
        super().__init__(message)
        self.lock = threading.Lock()


def raise_error(error: Exception | type[Exception]) -> None:
    """Raise an exception, or one of a class that cannot be pickled itself."""
    raise error


def kill_once(once: Path) -> str:
    """Kill this process, unless the file exists, which the first call creates."""
    if once.exists():
        return "second try"
    once.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "unreachable"


def process_of(owner: str) -> int:
    """The id of a process for the code of an owner, which leaves a thread running."""
    claim_process(owner)
    if owner:
        threading.Thread(target=time.sleep, args=(10**6,)).start()
    return os.getpid()


def begin_and_wait(begun: Path, go: Path) -> int:
    """The id of this process, which is added to one file at the beginning, once another file exists."""
    with begun.open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not go.exists():
        time.sleep(0.001)
    return os.getpid()


def report_twice(units: int) -> int:
    """Report the same progress twice, and return it."""
    send_progress(units)
    send_progress(units)
    return units


def wait_for_interrupt() -> int:
    """The id of this process, after a second in which interrupts arrive."""
    time.sleep(1)
    return os.getpid()
