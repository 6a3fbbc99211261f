"""Long output in the user's pager: complete, only where it is wanted, and only where there is a terminal."""

import io
import pydoc
import sys

import pytest

from qamoe_bench.cli.paging import paged
from qamoe_bench.errors import BenchError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a pager was given."""
    texts: list[str] = []
    monkeypatch.setattr(pydoc, "pager", texts.append)
    for name in ("PAGER", "MANPAGER", "LESS"):
        monkeypatch.delenv(name, raising=False)
    return texts


def test_a_terminal_gets_the_pager(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with paged(True):
        assert sys.stdout.isatty()  # so that colours stay
        sys.stdout.write("line\n")
    assert shown == ["line\n"]
    with paged(False):
        sys.stdout.write("direct\n")
    assert (shown, terminal.getvalue()) == (["line\n"], "direct\n")


def test_a_pipe_gets_the_text(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    with paged(True):
        sys.stdout.write("line\n")
    assert (shown, pipe.getvalue()) == ([], "line\n")


@pytest.mark.parametrize("variable", ["PAGER", "MANPAGER"])
def test_a_pager_that_does_not_exist_is_refused_before_the_work(
    variable: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv(variable, "no-such-program -R")
    words = rf"--pager: {variable} is 'no-such-program', expected a program.*; unset it"
    with pytest.raises(BenchError, match=words), paged(True):
        pytest.fail("the work began")
    monkeypatch.delenv(variable)
    with paged(True):
        sys.stdout.write("line\n")
    assert shown == ["line\n"]
