"""Runs the command in a new process."""

import resource
import subprocess
import sys
from pathlib import Path


def bench(*arguments: str, cwd: Path | None = None, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process; with `file_limit`, writing a file larger than so many bytes fails."""

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    command = [sys.executable, "-m", "qamoe_bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, preexec_fn=limit)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The single error line of a command that refused its arguments."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("qamoe-bench ")]
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(lines) == 1, done.stderr
    return lines[0]
