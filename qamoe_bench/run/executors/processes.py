"""An executor of several processes in which the death of a worker costs one call.

`concurrent.futures.ProcessPoolExecutor` gives up every call when any of its processes dies. Here each thread of a pool
owns one process and a pipe to it, so the death of a process is noticed by its thread alone, its exit status is known,
and the call is tried again. Workers share no lock, because a killed process could leave it locked for ever.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from qamoe_bench.errors import RunFailed
from qamoe_bench.isolation.containment import end_process
from qamoe_bench.run.progress import Advance

TRIES = 2

# On Linux, processes are forked from a server that has imported what every worker needs, and nothing else has happened
# in it: a worker starts in milliseconds instead of seconds, and shares the memory of its libraries. Forking is not safe
# with the libraries of macOS.
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
PRELOADED = ["qamoe_bench.run.worker", "torch._dynamo"]  # the first optimiser of a process imports the latter


class ProcessesExecutor(Executor):
    """Computes as many calls at a time as it has workers; a call whose process dies is tried once more.

    A call that ends its process twice raises `RunFailed` with the reason. Processes ignore Ctrl-C, which the
    parent handles, and end when the parent ends. A process that has run code of a user gets no calls that run other
    code, see `claim_process`.
    """

    def __init__(self, workers: int, advance: Advance) -> None:
        """Start no process yet; each is started with its first call.

        Args:
            workers: The largest number of processes.
            advance: Receives the progress that calls report with `send_progress`, one call at a time.
        """
        self._threads = ThreadPoolExecutor(workers)
        self._local = threading.local()  # `worker` of the current thread
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._advance = advance
        self._killed = False
        # Runs at the latest when the interpreter exits, which would otherwise wait for idle processes for ever.
        self._close_workers = weakref.finalize(self, _close_all, self._workers)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the call, which must be picklable, as must its result."""
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and end the processes when their calls are done."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self._close_workers()

    def kill(self) -> None:
        """End every process at once; this is safe because calls write files atomically."""
        with self._lock:
            self._killed = True  # no thread starts a worker from here on
        for worker in self._workers:
            worker.kill()
        self.shutdown(cancel_futures=True)

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        content = pickle.dumps((fn, args, kwargs))
        ending = ""
        tries = 0
        while tries < TRIES:
            worker = self._current_worker()
            try:
                return worker.call(content, self._report)
            except _WorkerClaimed:  # the call has not begun, so this is no try
                self._local.worker = None
                worker.close()
            except _WorkerDied:
                tries += 1
                if self._killed:
                    raise
                self._local.worker = None
                # Starting a process reaps all others that ended, so without the lock the exit status could be lost.
                with self._lock:
                    ending = worker.ending()
            except _WorkerSilent:  # another try would take as long
                self._local.worker = None
                raise
        raise RunFailed(f"its worker process died {TRIES} times ({ending})")

    def _current_worker(self) -> "_Worker":
        """The worker of this thread, started if there is none that can be used."""
        with self._lock:
            if self._killed:
                raise BrokenExecutor("the executor was killed")
            worker: _Worker | None = getattr(self._local, "worker", None)
            if worker is None or worker.is_killed:
                worker = _Worker()
                self._local.worker = worker
                self._workers.append(worker)
            return worker

    def _report(self, units: int) -> None:
        with self._lock:
            self._advance(units)


class _WorkerSilent(RunFailed):
    """The process computed for longer than it had announced, and was killed."""


class _WorkerClaimed(Exception):
    """The process has run code of another user's model, and is ending."""


class _WorkerDied(BrokenExecutor):
    """The process ended before it returned the result of its call."""


@dataclass(frozen=True)
class _Progress:
    units: int


@dataclass(frozen=True)
class _Limit:
    """How long the parent waits for the next message, in seconds; 0 for ever."""

    seconds: float


@dataclass(frozen=True)
class _Claimed:
    """The call wants another process, see `claim_process`."""


@dataclass(frozen=True)
class _Returned:
    value: Any


@dataclass(frozen=True)
class _Raised:
    error: Exception


class _Worker:
    """A process and the parent's end of the pipe to it; used by one thread, except for `kill`.

    The parent sends pickled calls. For each, the process sends any number of `_Progress` and `_Limit`, and then
    `_Returned`, `_Raised` or `_Claimed`.
    """

    def __init__(self) -> None:
        context: Any = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            context.set_forkserver_preload(PRELOADED)
        self._connection, process_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(process_end, dict(os.environ)))
        with _interrupts_blocked(), _children_allowed(), _own_folder_ignored():
            self._process.start()
        self.is_killed = False  # messages that it sent before may still wait in the pipe
        process_end.close()  # the process holds the only copy now, so its death closes the pipe

    def call(self, content: bytes, report: Advance) -> Any:
        """Compute a pickled call in the process.

        Raises:
            _WorkerClaimed: when the call has to run in another process.
            _WorkerDied: when the process ended before the result was complete.
            RunFailed: when the process sent nothing for longer than the call had announced.
            Exception: whatever the call raised.
        """
        try:
            self._connection.send_bytes(content)
        except OSError as broken_pipe:
            raise _WorkerDied from broken_pipe
        limit = 0.0
        while True:
            match self._receive(limit):
                case _Limit(seconds):
                    limit = seconds
                case _Progress(units):
                    self._pass_on(units, report)
                case _Returned(value):
                    return value
                case _Raised(error):
                    raise error
                case _Claimed():
                    raise _WorkerClaimed

    def _pass_on(self, units: int, report: Advance) -> None:
        try:
            report(units)
        except BaseException:
            self.kill()  # its further messages would be mistaken for those of the next call
            raise

    def _receive(self, limit: float) -> Any:
        try:
            if limit and not self._connection.poll(limit):
                self.kill()
                raise _WorkerSilent(f"no sign of life for {limit:g} s; see --cell-timeout")
            content = self._connection.recv_bytes()
        except (EOFError, OSError) as error:  # an OSError if the process died within a message
            raise _WorkerDied from error
        return pickle.loads(content)

    def ending(self) -> str:
        """A phrase that says how the process ended."""
        self._process.join()
        code = self._process.exitcode or 0
        if code >= 0:
            return f"exit status {code}"
        if code == -signal.SIGKILL:
            return "killed, by a user or by the system because it ran out of memory"
        return f"signal {-code}"

    def kill(self) -> None:
        """End the process at once."""
        self.is_killed = True
        self._process.kill()

    def close(self) -> None:
        """Let the process end, which must be idle or dead."""
        self._connection.close()

    def join(self) -> None:
        """Wait until the process has ended."""
        self._process.join()


def _close_all(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.close()
    for worker in workers:  # all of them end at the same time
        worker.join()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread and, by inheritance, in processes that it starts.

    A process can ignore Ctrl-C by itself only after Python has started in it, which takes tens of milliseconds.
    """
    # The tracker is started with the first process and unblocks SIGINT before that process exists (CPython 3.11).
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _own_folder_ignored() -> Iterator[None]:
    """Let the server import nothing from the working folder, where a data set may lie beside a `torch.py`."""
    variable = "PYTHONSAFEPATH"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextmanager
def _children_allowed() -> Iterator[None]:
    """Let a daemon, which a worker of Dask is, start a process; the process ends with it, see `_end_with_parent`."""
    config: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    is_daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if is_daemon is not None:
            config["daemon"] = is_daemon


# The rest runs in worker processes.

_connection: Connection | None = None  # to the parent; set once, when the worker starts


def send_progress(units: int) -> None:
    """Report progress from within a call."""
    assert _connection is not None
    _connection.send_bytes(pickle.dumps(_Progress(units)))


def announce_limit(seconds: float) -> None:
    """Let the parent kill this process if it sends nothing for so long, 0 for never; nothing in other processes."""
    if _connection is not None:
        _connection.send_bytes(pickle.dumps(_Limit(seconds)))


class _ClaimedByAnother(BaseException):
    """Raised through a call that this process must not compute; no `Exception`, so that no handler takes it."""


_owner = ""  # whose code this process has run, besides the code of this package


def claim_process(owner: str) -> None:
    """Have the rest of a call computed in a process that has run no user's code but that of the owner.

    Code of a model can replace any function in its process, of this package or of torch, and start threads that go on
    after its cell. No such process computes anything of others. In processes that belong to no `ProcessesExecutor`,
    nothing happens.

    Args:
        owner: Identifies the code of a user that the call runs; empty if it runs none.
    """
    global _owner
    if _connection is None:
        return
    if _owner and _owner != owner:
        raise _ClaimedByAnother
    _owner = owner


def _serve(connection: Connection, environment: dict[str, str]) -> None:
    """Compute calls, with the parent's environment, until the parent closes the pipe."""
    global _connection
    _connection = connection
    # The server has that of its own start.
    os.environ.clear()
    os.environ.update(environment)
    with suppress(OSError):
        # Standard output holds results only, so what C code or programs that a model starts print goes to messages.
        os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent handles it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            content = connection.recv_bytes()
        except EOFError:
            # Not by returning, which would wait for threads that a model has left running.
            end_process(0)
        connection.send_bytes(_compute(content))


def _compute(content: bytes) -> bytes:
    """The pickled message with the result of a pickled call."""
    try:
        fn, args, kwargs = pickle.loads(content)
        return pickle.dumps(_Returned(fn(*args, **kwargs)))
    except _ClaimedByAnother:
        return pickle.dumps(_Claimed())
    except Exception as error:
        # Pickling drops the traceback, and keeps notes.
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            return pickle.dumps(_Raised(error))
        except Exception:  # the exception itself holds something that cannot be pickled
            return pickle.dumps(_Raised(RunFailed(f"{type(error).__name__}: {error}")))


def _end_with_parent() -> None:
    """End this process when the parent has ended, in whatever way, even in the middle of a call."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    end_process(1)
