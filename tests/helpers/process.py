"""Runs the command in a process of its own, forked from a server that has imported the libraries.

A new interpreter would spend most of a test's time importing torch. What a start from nothing does differently (the
search path, what is imported when) has its own tests, which start one.
"""

import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from cores import one_core

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "torch._dynamo",  # which the first optimiser of a process imports, for two seconds
        "pandas",
        "pyarrow.parquet",
        "scipy.special",
        "pydantic",
        "qamoe_bench.cli.main",
        "qamoe_bench.run.runner",
        "qamoe_bench.run.study",
        "qamoe_bench.cost.tables",
        "qamoe_bench.cost.cost",
        "qamoe_bench.analysis.analyse",
        "qamoe_bench.report.tables",
        "qamoe_bench.report.formats.choice",
    ]
)


def start_server() -> None:
    """Start the server.

    A process has only one, which the workers of runs use as well: it is started before a run names fewer modules, and
    ignores Ctrl-C from its first moment, as one that a run starts.
    """
    resource_tracker.ensure_running()  # which is started first, and unblocks Ctrl-C
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with _silent():
        ensure_running()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _silent() -> Iterator[None]:
    """Give processes that start meanwhile nowhere to print: models of tests do, in workers, beside pytest's lines."""
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)
        os.close(nowhere)


def bench(*arguments: str, cwd: Path | None = None, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in another process; with `file_limit`, writing a file larger than so many bytes fails."""
    return _done(arguments, cwd, file_limit, lambda _: None)


def interrupted(*arguments: str, presses: int, when: Callable[[], bool]) -> subprocess.CompletedProcess[str]:
    """Run the command in another process, and press Ctrl-C so many times once something holds."""

    def press(process: BaseProcess) -> None:
        assert process.pid is not None
        while process.is_alive() and not when():
            time.sleep(0.002)
        for _ in range(presses):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
            time.sleep(0.05)

    return _done(arguments, None, None, press)


def _done(
    arguments: tuple[str, ...], cwd: Path | None, file_limit: int | None, disturb: Callable[[BaseProcess], None]
) -> subprocess.CompletedProcess[str]:
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = SERVER.Process(
            target=_run, args=(arguments, cwd or Path.cwd(), file_limit, out, err, dict(os.environ))
        )
        process.start()
        disturb(process)
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def _run(
    arguments: tuple[str, ...], cwd: Path, file_limit: int | None, out: Path, err: Path, environment: dict[str, str]
) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which the server blocks
    # Standard input and output of this process are those of the server: they are put in the place of its descriptors.
    for descriptor, path in ((0, Path(os.devnull)), (1, out), (2, err)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["qamoe-bench", *arguments]
    sys.path.insert(0, str(cwd))  # as `python -m` does
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    with one_core(arguments):
        runpy.run_module("qamoe_bench", run_name="__main__", alter_sys=True)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The single error line of a command that refused its arguments."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("qamoe-bench ")]
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(lines) == 1, done.stderr
    return lines[0]
