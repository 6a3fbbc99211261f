"""Processes of workers, which are forked from a server that their run has started."""

from contextlib import suppress
from pathlib import Path


def workers_of(pid: int) -> list[int]:
    """Process ids of the workers of a run."""
    workers = []
    for server in _children_of(pid):
        with suppress(OSError):  # it has just ended
            if b"forkserver" in Path(f"/proc/{server}/cmdline").read_bytes():
                workers += _children_of(server)
    return workers


def _children_of(pid: int) -> list[int]:
    words: list[str] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            words += (thread / "children").read_text("utf-8").split()
    return [int(word) for word in words]
