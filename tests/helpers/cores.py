"""Commands of tests on one core, so that they train without workers of their own.

Each worker imports PyTorch again, which takes longer than most trainings of these tests.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def one_core(arguments: Sequence[object]) -> Iterator[None]:
    """This process on one core, another one for each worker of the test run; unless the command says how many jobs."""
    if not hasattr(os, "sched_setaffinity") or "--jobs" in arguments:
        yield
        return
    before = os.sched_getaffinity(0)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
