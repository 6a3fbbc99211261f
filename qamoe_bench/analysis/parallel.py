"""Parallel work on several sections in threads; most of it is in NumPy and Arrow, which release the GIL."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from qamoe_bench.provenance.environment import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 4
"""Maximum number of threads; each of them holds the data of one section in memory."""


def map_in_order(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results in the order of the items, computed lazily.

    At most one item more than there are threads is started before its result is consumed, which bounds memory.
    """
    threads = min(usable_cores(), MOST, len(items))
    if threads < 2:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > threads:  # one more than threads, so that no thread idles while a result is used
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
