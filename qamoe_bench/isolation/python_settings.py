"""Settings of Python, NumPy and the process that any code can change, and that other code depends on."""

import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

SIGNALS = tuple(sorted(signal.valid_signals()))
LIMITS = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_STACK")


@dataclass(frozen=True)
class GlobalSetting:
    """Something that is global in a process.

    Attributes:
        name: What it is, for messages; empty for random states, which every use changes.
        read: Its value, which compares equal to itself and shares nothing with what may change later.
        write: Sets it to a value that was read.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def python_settings() -> list[GlobalSetting]:
    """The settings that this thread can restore."""
    settings = [
        GlobalSetting("", random.getstate, random.setstate),
        GlobalSetting("", _numpy_state, np.random.set_state),
        GlobalSetting("the working folder", os.getcwd, os.chdir),
        GlobalSetting("environment variables", lambda: dict(os.environ), _write_environment),
        GlobalSetting("sys.path", lambda: list(sys.path), _write_search_path),
        GlobalSetting("warnings filters", lambda: list(warnings.filters), _write_filters),
        GlobalSetting("logging", _logging, _write_logging),
        GlobalSetting("sys.argv", lambda: list(sys.argv), lambda value: setattr(sys, "argv", value)),
        GlobalSetting("sys.stdout or sys.stderr", lambda: (sys.stdin, sys.stdout, sys.stderr), _write_streams),
        GlobalSetting("hooks of Python", _hooks, _write_hooks),
        GlobalSetting("hooks of imports", lambda: (list(sys.meta_path), list(sys.path_hooks)), _write_import_hooks),
        GlobalSetting("tracing", lambda: (sys.gettrace(), sys.getprofile()), _write_tracing),
        GlobalSetting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        GlobalSetting("the interval of threads", sys.getswitchinterval, sys.setswitchinterval),
        GlobalSetting("the folder of temporary files", lambda: tempfile.tempdir, _write_temporary),
        GlobalSetting("the time limit of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
        GlobalSetting(
            "the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)
        ),
        GlobalSetting("NumPy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
        GlobalSetting("how NumPy prints", np.get_printoptions, lambda value: np.set_printoptions(**value)),
        GlobalSetting("the decimal context", _decimal, _write_decimal),
        GlobalSetting("the garbage collector", lambda: (gc.isenabled(), gc.get_threshold()), _write_collector),
        GlobalSetting("the umask", _umask, os.umask),
    ]
    if sys.platform != "win32":
        settings.append(GlobalSetting("resource limits", _limits, _write_limits))
        settings.append(GlobalSetting("blocked signals", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()), _block))
    if hasattr(os, "sched_getaffinity"):
        cores = GlobalSetting(
            "its cores", lambda: os.sched_getaffinity(0), lambda value: os.sched_setaffinity(0, value)
        )
        settings.append(cores)
    if threading.current_thread() is threading.main_thread():  # no other thread can set a handler
        settings.append(
            GlobalSetting("signal handlers", lambda: [signal.getsignal(s) for s in SIGNALS], _write_handlers)
        )
    return settings


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return (name, tuple(keys), *rest)  # arrays have no single truth value


def _write_environment(value: dict[str, str]) -> None:
    for name in os.environ.keys() - value.keys():
        del os.environ[name]
    os.environ.update(value)
    if hasattr(time, "tzset"):
        time.tzset()  # the time zone is read from the environment


def _write_search_path(value: list[str]) -> None:
    # New folders stay, because a model may import from them later, but behind everything, so that they hide nothing.
    sys.path[:] = [*value, *(folder for folder in sys.path if folder not in value)]


def _write_filters(value: list[Any]) -> None:
    with warnings.catch_warnings():  # leaving it makes Python forget which warnings it decided about
        pass
    warnings.filters[:] = value  # type: ignore[index]


def _logging() -> tuple[Any, ...]:
    root = logging.root
    return root.level, root.manager.disable, root.disabled, tuple(root.handlers), tuple(root.filters)


def _write_logging(value: tuple[Any, ...]) -> None:
    root = logging.root
    root.setLevel(value[0])
    logging.disable(value[1])
    root.disabled = value[2]
    root.handlers[:] = value[3]
    root.filters[:] = value[4]


def _write_streams(value: tuple[Any, Any, Any]) -> None:
    sys.stdin, sys.stdout, sys.stderr = value


def _hooks() -> tuple[Any, ...]:
    return sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook


def _write_hooks(value: tuple[Any, ...]) -> None:
    sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook = value


def _write_import_hooks(value: tuple[list[Any], list[Any]]) -> None:
    sys.meta_path[:], sys.path_hooks[:] = value


def _write_tracing(value: tuple[Any, Any]) -> None:
    sys.settrace(value[0])
    sys.setprofile(value[1])


def _write_temporary(value: str | None) -> None:
    tempfile.tempdir = value


def _decimal() -> tuple[int, str]:
    context = decimal.getcontext()
    return context.prec, context.rounding


def _write_decimal(value: tuple[int, str]) -> None:
    context = decimal.getcontext()
    context.prec, context.rounding = value


def _write_collector(value: tuple[bool, tuple[int, int, int]]) -> None:
    gc.set_threshold(*value[1])
    if value[0]:
        gc.enable()
    else:
        gc.disable()


def _umask() -> int:
    value = os.umask(0)  # there is no other way to read it
    os.umask(value)
    return value


def _limits() -> dict[int, tuple[int, int]]:
    import resource

    numbers = [getattr(resource, name) for name in LIMITS if hasattr(resource, name)]
    return {number: resource.getrlimit(number) for number in numbers}


def _write_limits(value: dict[int, tuple[int, int]]) -> None:
    import resource

    for number, (soft, _) in value.items():
        _, hard = resource.getrlimit(number)
        with suppress(ValueError, OSError):  # a hard limit that was lowered stays
            resource.setrlimit(number, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _block(value: set[int]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, value)


def _write_handlers(value: list[Any]) -> None:
    for number, handler in zip(SIGNALS, value, strict=True):
        # None: it was not installed from Python. Some, such as SIGKILL, have none that could be set.
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)
