"""Runs the command inside the test process, which is much faster than a new process."""

import sys
from dataclasses import dataclass

import pytest
from cores import one_core

from qamoe_bench.cli import main as cli


@dataclass(frozen=True)
class Done:
    """The outcome of a command: exit status, standard output and standard error."""

    code: int
    out: str
    err: str

    def refusal(self) -> str:
        """The single error line of a command that refused its arguments."""
        assert self.code == 2, self
        assert self.out == ""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        assert all(line.startswith(("error: ", "reading ", "qamoe-bench ")) for line in self.err.splitlines()), self.err
        return lines[0]


def bench(arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Done:
    """Run the command with these arguments."""
    patch.setattr(sys, "argv", ["qamoe-bench", *map(str, arguments)])
    patch.setattr(sys, "path", [*sys.path])
    capsys.readouterr()
    try:
        with one_core(arguments):
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    printed = capsys.readouterr()
    return Done(code, printed.out, printed.err)
