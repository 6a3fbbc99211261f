"""Code of a model that ends the process, or never returns, becomes an exception.

Python code can end a process by `sys.exit`, `os._exit`, a signal to itself, or a fork whose child goes on as if it were
the parent. All of these are caught here. What only C code can do, such as a segmentation fault, ends the process; the
executor of processes notices that.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from qamoe_bench.errors import RunFailed
from qamoe_bench.isolation.places import first_line

end_process = os._exit
"""The function itself, which is replaced while code of a model runs."""


class _EndsProcess(BaseException):
    """In place of the end of the process; no `Exception`, so that a model's own handlers let it pass."""


class _TimeIsOver(BaseException):
    """Raised by the alarm, for the same reason no `Exception`."""


@contextmanager
def contained(what: str, seconds: float = 0.0) -> Iterator[None]:
    """A context that turns whatever would end or hang this process into `RunFailed`.

    Args:
        what: Whose code runs, as the subject of the message.
        seconds: How long it may take, 0 for ever. In a thread other than the main one there is no limit.

    Raises:
        RunFailed: In place of anything but an ordinary exception, or when the time is over.
        KeyboardInterrupt: When the user, and not the code, interrupted the process.
    """
    process = os.getpid()
    with ExitStack() as stack:
        stack.enter_context(_exits_refused(process))
        stack.enter_context(_threads_left_behind())
        stack.enter_context(_hard_limits_kept(process))
        interrupted = stack.enter_context(_interrupts_noted())
        stack.enter_context(_alarm(seconds))
        try:
            yield
        except _TimeIsOver as error:
            raise RunFailed(f"{what} took more than {seconds:g} s; see --cell-timeout") from error
        except _EndsProcess as error:
            raise RunFailed(f"{what} tried to end the process with {error}") from error
        except SystemExit as error:
            raise RunFailed(f"{what} tried to end the process with sys.exit({error.code!r})") from error
        except KeyboardInterrupt as error:
            if interrupted:
                raise
            raise RunFailed(f"{what} raised KeyboardInterrupt") from error
        except Exception:
            raise
        except BaseException as error:
            raise RunFailed(f"{what} raised {first_line(error)}") from error
        finally:
            end_if_forked(process)


def end_if_forked(process: int) -> None:
    """End a child that code of a model has forked, which must not go on as the suite.

    Args:
        process: Id of the process that the caller started in.
    """
    if os.getpid() != process:
        end_process(1)


def _ways_to_end(process: int) -> list[tuple[Any, str, Callable[..., bool]]]:
    """The functions that can end this process: module, name, and whether a call with these arguments does."""

    def always(*_: Any, **__: Any) -> bool:
        return True

    def to_this_process(pid: int, number: int) -> bool:
        return bool(number) and pid in (process, 0, -1, -os.getpgrp())

    def to_this_group(group: int, number: int) -> bool:
        return bool(number) and group in (0, os.getpgrp())

    return [
        (os, "_exit", always),
        (os, "abort", always),
        (os, "kill", to_this_process),
        (os, "killpg", to_this_group),
        (signal, "raise_signal", always),
        (os, "execv", always),  # all other functions of this kind call these two
        (os, "execve", always),
    ]


@contextmanager
def _exits_refused(process: int) -> Iterator[None]:
    """Replace the functions by which Python code ends its own process; child processes still end by them."""

    def refusing(module: Any, name: str, aims_here: Callable[..., bool]) -> Callable[..., Any]:
        original = getattr(module, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if os.getpid() == process and aims_here(*arguments, **keywords):
                raise _EndsProcess(f"{module.__name__}.{name}")
            return original(*arguments, **keywords)

        return call

    refused = _ways_to_end(process)
    present = [(module, name, aims_here) for module, name, aims_here in refused if hasattr(module, name)]
    originals = [(module, name, getattr(module, name)) for module, name, _ in present]
    for module, name, aims_here in present:
        setattr(module, name, refusing(module, name, aims_here))
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


@contextmanager
def _threads_left_behind() -> Iterator[None]:
    """Let no thread that starts meanwhile keep the process from ending, for which Python waits by default."""
    original = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        thread.daemon = True
        original(thread)

    threading.Thread.start = start  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]


@contextmanager
def _hard_limits_kept(process: int) -> Iterator[None]:
    """Let Python code lower only the soft limits of this process: a hard one could not be raised again afterwards."""
    if sys.platform == "win32":
        yield
        return
    import resource

    set_limit = resource.setrlimit
    set_limit_of = resource.prlimit if sys.platform == "linux" else None

    def soft_only(number: int, limits: tuple[int, int], /) -> None:
        if os.getpid() == process:
            limits = (limits[0], resource.getrlimit(number)[1])
        set_limit(number, limits)

    def soft_only_of(pid: int, number: int, limits: tuple[int, int] | None = None, /) -> tuple[int, int]:
        assert set_limit_of is not None
        before = set_limit_of(pid, number)
        if limits is None:
            return before
        if pid in (0, process):
            limits = (limits[0], before[1])
        return set_limit_of(pid, number, limits)

    resource.setrlimit = soft_only
    if set_limit_of is not None:
        resource.prlimit = soft_only_of
    try:
        yield
    finally:
        resource.setrlimit = set_limit
        if set_limit_of is not None:
            resource.prlimit = set_limit_of


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Yields a list that is not empty after the user pressed Ctrl-C."""
    received: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield received  # no interrupt reaches this thread, or they are ignored
        return

    def note(number: int, frame: Any) -> None:
        received.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """A context that ends in `_TimeIsOver` after so many seconds, 0 for never, and leaves no timer behind."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def over(number: int, frame: Any) -> None:
        raise _TimeIsOver

    before = signal.signal(signal.SIGALRM, over)
    # Once more every second, since code may catch the exception and go on.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0 if seconds else 0.0)
    try:
        yield
    finally:
        # Those that code of the model has set would end the process later.
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0.0)
        signal.signal(signal.SIGALRM, before)
