"""Settings of the process are restored and named; ends of the process become exceptions."""

import decimal
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from qamoe_bench.errors import RunFailed
from qamoe_bench.isolation.containment import contained
from qamoe_bench.isolation.settings import settings_restored


class Doubling(TorchFunctionMode):
    """Changes the result of every function of torch."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


CHANGES: dict[str, Callable[[], object]] = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "torch's grad mode": lambda: torch._C._set_grad_enabled(False),
    "torch's deterministic flag": lambda: torch.use_deterministic_algorithms(True),
    "torch's handling of denormal numbers": lambda: torch.set_flush_denormal(True),
    "torch's mkldnn flag": lambda: torch._C._set_mkldnn_enabled(False),
    "torch's precision of products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "torch's kernels of attention": lambda: torch.backends.cuda.enable_math_sdp(False),
    "environment variables": lambda: os.environ.update(OMP_DYNAMIC="TRUE"),
    "the working folder": lambda: os.chdir("/"),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "warnings filters": lambda: warnings.simplefilter("ignore"),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "sys.stdout or sys.stderr": lambda: setattr(sys, "stdout", None),
    "the recursion limit": lambda: sys.setrecursionlimit(5000),
    "signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}),
    "sys.argv": lambda: sys.argv.clear(),
    "hooks of Python": lambda: setattr(sys, "excepthook", None),
    "hooks of imports": lambda: sys.meta_path.clear(),
    "tracing": lambda: sys.setprofile(lambda *_: None),
    "the interval of threads": lambda: sys.setswitchinterval(1.0),
    "the folder of temporary files": lambda: setattr(tempfile, "tempdir", "/nowhere"),
    "the time limit of sockets": lambda: socket.setdefaulttimeout(1.0),
    "how NumPy prints": lambda: np.set_printoptions(precision=1),
    "the decimal context": lambda: setattr(decimal.getcontext(), "prec", 1),
    "the garbage collector": lambda: gc.set_threshold(0),
    "its cores": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "torch's modes": lambda: Doubling().__enter__(),  # type: ignore[no-untyped-call]
    "the umask": lambda: os.umask(0o777),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_restored_and_named(name: str) -> None:
    if name == "its cores" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("a process with one core cannot give up another")
    named: list[str] = []
    with settings_restored(named.extend):
        CHANGES[name]()
    assert name in named
    named.clear()
    with settings_restored(named.extend):
        CHANGES[name]()
    assert named == [name]  # the first time, torch imports more of itself for some of them


def test_random_states_are_restored_without_a_word_and_new_folders_of_modules_come_last() -> None:
    named: list[str] = []
    torch_state, numpy_state = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    with settings_restored(named.extend):
        torch.rand(3)
        np.random.rand(3)  # noqa: NPY002
    assert named == []
    assert torch.get_rng_state().equal(torch_state)
    assert repr(np.random.get_state()) == numpy_state  # noqa: NPY002
    with pytest.raises(ValueError, match="a mistake"), settings_restored(named.extend):
        raise_after(lambda: sys.path.insert(0, "/nowhere"))
    assert sys.path.pop() == "/nowhere"


def raise_after(change: Callable[[], object]) -> None:
    change()
    raise ValueError("a mistake")


class Odd(BaseException):
    """An exception that no handler expects."""


class NoText(BaseException):
    """An exception whose text cannot be made."""

    def __str__(self) -> str:
        raise ValueError("no text")


def raise_odd() -> None:
    raise Odd("why not")


def sleep_on() -> None:
    while True:
        try:
            time.sleep(100)
        except Exception:
            continue


ENDS: dict[str, tuple[Callable[[], object], str]] = {
    "sys.exit": (lambda: sys.exit(0), r"sys.exit\(0\)"),
    "exit with a text": (lambda: sys.exit("done"), r"sys.exit\('done'\)"),
    "os._exit": (lambda: os._exit(0), "os._exit"),
    "os.abort": (lambda: os.abort(), "os.abort"),
    "a signal": (lambda: os.kill(os.getpid(), signal.SIGKILL), "os.kill"),
    "a signal to the group": (lambda: os.killpg(os.getpgrp(), signal.SIGKILL), "os.killpg"),
    "raise_signal": (lambda: signal.raise_signal(signal.SIGTERM), "signal.raise_signal"),
    "another program": (lambda: os.execv("/bin/true", ["true"]), "os.execv"),
    "an interrupt": (lambda: (_ for _ in ()).throw(KeyboardInterrupt), "raised KeyboardInterrupt"),
    "an odd exception": (raise_odd, "raised Odd: why not"),
    "a hang": (sleep_on, "took more than 0.2 s"),
}


@pytest.mark.parametrize("name", ENDS)
def test_whatever_would_end_or_hang_the_process_is_a_failure(name: str) -> None:
    function, words = ENDS[name]
    with pytest.raises(RunFailed, match=f"^the model .*{words}"), contained("the model", 0.2):
        function()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_ordinary_exceptions_and_the_users_interrupt_pass() -> None:
    with pytest.raises(IndexError, match="a mistake"), contained("the model"):
        raise IndexError("a mistake")
    with pytest.raises(KeyboardInterrupt), contained("the model"):
        subprocess.run(["kill", "-INT", str(os.getpid())], check=True)  # as a terminal does, from outside
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_timers_and_threads_that_code_leaves_behind_end_nothing_later() -> None:
    wait = threading.Event()
    with contained("the model"):
        thread = threading.Thread(target=wait.wait)
        thread.start()
        signal.setitimer(signal.ITIMER_REAL, 1000)
        signal.setitimer(signal.ITIMER_PROF, 1000)
    assert thread.daemon  # the process does not wait for it
    assert signal.getitimer(signal.ITIMER_REAL) == signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    wait.set()


def test_an_exception_whose_text_has_lines_or_fails_is_one_line() -> None:
    with pytest.raises(RunFailed, match="^the model raised Odd: a$"), contained("the model"):
        raise Odd("a\nb")
    with pytest.raises(RunFailed, match="^the model raised NoText$"), contained("the model"):
        raise NoText


def test_a_forked_child_does_not_go_on_as_the_suite() -> None:
    read, write = os.pipe()
    with contained("the model"):
        child = os.fork()
        if not child:
            os.write(write, b" model")
    os.write(write, b" suite")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert sorted(os.read(read, 100).split()) == [b"model", b"suite"]
