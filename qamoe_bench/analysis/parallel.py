"""Work on several sections at once, in threads: most of it is in libraries that let other threads run."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from qamoe_bench.provenance.environment import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 4
"""Threads; each holds what one section needs in memory."""


def map_in_order(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results in the order of the items, none before it is asked for but those that threads work on meanwhile."""
    threads = min(usable_cores(), MOST, len(items))
    if threads < 2:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > threads:  # one more than threads, so that none waits while a result is used
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
