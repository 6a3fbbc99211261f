"""Long output page by page, in the pager of the user."""

import io
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from qamoe_bench.errors import BenchError

LESS_OPTIONS = "FRX"  # as git has them: leave if it fits one screen, pass colours on, keep the text afterwards


class _Captured(io.StringIO):
    """Text for a terminal, which is shown later."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextmanager
def paged(wanted: bool) -> Iterator[None]:
    """Show what is printed inside in a pager, if that is wanted and standard output is a terminal.

    Raises:
        BenchError: If the program that PAGER or MANPAGER names does not exist.
    """
    if not wanted or not sys.stdout.isatty():
        yield
        return
    _check_pager()
    os.environ.setdefault("LESS", LESS_OPTIONS)
    captured = _Captured()
    with redirect_stdout(captured):
        yield
    import pydoc

    pydoc.pager(captured.getvalue())


def _check_pager() -> None:
    """The shell would print an error, and the output would be lost."""
    for variable in ("MANPAGER", "PAGER"):  # in the order in which `pydoc` reads them
        words = shlex.split(os.environ.get(variable, ""))
        if words and shutil.which(words[0]) is None:
            raise BenchError(f"--pager: {variable} is {words[0]!r}, expected a program on this machine; unset it")
        if words:
            return
