"""The wall time of a call, which most benchmarks compare."""

import time
from collections.abc import Callable


def seconds_of(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
