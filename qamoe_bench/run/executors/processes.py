"""An executor of several processes in which the death of one costs one call.

`ProcessPoolExecutor` gives every call up when any of its processes dies. So each thread here has such a pool of a
single process to itself: who dies is known, the others do not notice, and the call is tried once more. Each process
reports progress through a pipe of its own, for one that is killed may leave a lock locked for ever.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from qamoe_bench.errors import RunFailed
from qamoe_bench.progress import Tick

TRIES = 2


class ProcessesExecutor(Executor):
    """As many calls at once as there are workers; a call whose process dies is tried once more.

    A call that kills its process twice raises `RunFailed` with the reason. Processes are spawned, ignore Ctrl-C, which
    is the parent's to answer, and end when the parent is no more.
    """

    def __init__(self, workers: int, tick: Tick) -> None:
        self._threads = ThreadPoolExecutor(workers)
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._tick = tick
        self._killed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the call, which must be picklable; it reports progress with `send_tick`."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the processes end when their calls are done."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for worker in self._workers:
            worker.close(wait)

    def kill(self) -> None:
        """End every process now; calls keep nothing half-written, so there is nothing to wait for."""
        with self._lock:
            self._killed = True
        for worker in self._workers:
            worker.kill()
        self.shutdown(cancel_futures=True)

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for _ in range(TRIES):
            worker, future = self._start(fn, args, kwargs)
            try:
                return future.result()
            except BrokenProcessPool:
                if self._killed:
                    raise
                self._mine.worker = None
                ending = worker.ending()
        raise RunFailed(f"its worker process died {TRIES} times ({ending})")

    def _start(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> "tuple[_Worker, Future[Any]]":
        with self._lock:
            if self._killed:
                raise BrokenProcessPool("the executor was ended")
            worker: _Worker | None = getattr(self._mine, "worker", None)
            if worker is None:
                worker = self._mine.worker = _Worker(self._count)
                self._workers.append(worker)
            return worker, worker.submit(fn, *args, **kwargs)

    def _count(self, units: int) -> None:
        with self._lock:
            self._tick(units)


class _Worker:
    """A process, and a thread that hears its ticks."""

    def __init__(self, tick: Tick) -> None:
        context = multiprocessing.get_context("spawn")
        self._ticks, self._end = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, context, initializer=_start_process, initargs=(self._end,))
        self._process: multiprocessing.process.BaseProcess | None = None
        self._listener = threading.Thread(target=_listen, args=(self._ticks, tick), daemon=True)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with _no_interrupts():  # the first call starts the process
            future = self._pool.submit(fn, *args, **kwargs)
        if self._process is None:
            (self._process,) = self._pool._processes.values()
            self._end.close()  # so that the listener hears of the end when the process ends
            self._listener.start()
        return future

    def ending(self) -> str:
        """How the process ended, in words; it has to be over."""
        self.close(wait=True)
        assert self._process is not None
        code = self._process.exitcode or 0
        if code != -signal.SIGKILL:
            return f"exit status {code}" if code >= 0 else f"signal {-code}"
        return "killed: by somebody, or by the system for want of memory"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self, wait: bool) -> None:
        self._pool.shutdown(wait)
        if wait and self._process is not None:
            self._listener.join()


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """What is started in here is deaf to Ctrl-C from its first moment, before it can say that it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(ticks: Connection, tick: Tick) -> None:
    with ticks:
        while True:
            try:
                units = ticks.recv()
            except (EOFError, OSError):
                return
            tick(units)


_ticks: Connection | None = None  # set once, by the start of a worker process


def send_tick(units: int) -> None:
    """Report progress, in a worker process."""
    assert _ticks is not None
    _ticks.send(units)


def _start_process(ticks: Connection) -> None:
    global _ticks
    _ticks = ticks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
