"""Executors: calling one function for many argument tuples, here or in worker processes.

Both compute on one thread per process: two processes with one thread each finish two jobs sooner than two threads
finish one after the other, and the sums of floating-point numbers do not depend on how many cores a machine has.
"""

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch

from qamoe_bench.errors import RunFailed

Tick = Callable[[int], None]
"""Called with the number of work units that were finished."""

Executor = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]], int, Tick], list[Any]]
"""Calls function(*arguments, tick) for each arguments. A call that raises `RunFailed` does not stop the others."""


def in_process(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], _: int, tick: Tick) -> list[Any]:
    """One call after the other, in this process."""
    results, failures = [], []
    with _one_thread():
        for arguments in calls:
            try:
                results.append(function(*arguments, tick))
            except RunFailed as failure:
                failures.append(failure)
    _raise_together(failures)
    return results


def in_processes(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int, tick: Tick) -> list[Any]:
    """As many calls at once as there are workers. Any other exception than `RunFailed` ends all of them at once."""
    context = multiprocessing.get_context("spawn")
    ticks: SimpleQueue[int | None] = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(ticks, tick), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(ticks,))
    try:
        results = _collect([pool.submit(_call_in_worker, function, arguments) for arguments in calls])
    except BaseException:
        _kill(pool)
        raise
    finally:
        ticks.put(None)
        listener.join()
    pool.shutdown()
    return results


def _collect(futures: Sequence[Future[Any]]) -> list[Any]:
    results, failures = [], []
    for future in as_completed(futures):
        try:
            results.append(future.result())
        except RunFailed as failure:
            failures.append(failure)
        except BrokenProcessPool as error:
            raise RunFailed(
                "a worker process died (killed, or out of memory): what it had finished is stored; the same command "
                "goes on from there, with --jobs 1 in the least memory"
            ) from error
    _raise_together(failures)
    return results


def _kill(pool: ProcessPoolExecutor) -> None:
    # Jobs keep nothing half-written, so there is nothing to wait for.
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _raise_together(failures: Sequence[RunFailed]) -> None:
    if failures:
        raise RunFailed("; ".join(str(f) for f in failures))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _listen(ticks: "SimpleQueue[int | None]", tick: Tick) -> None:
    while (units := ticks.get()) is not None:
        tick(units)


_worker_ticks: "SimpleQueue[int | None] | None" = None  # set once, by the start of a worker process


def _start_worker(ticks: "SimpleQueue[int | None]") -> None:
    global _worker_ticks
    _worker_ticks = ticks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    torch.set_num_threads(1)


def _call_in_worker(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    assert _worker_ticks is not None
    return function(*arguments, _worker_ticks.put)
