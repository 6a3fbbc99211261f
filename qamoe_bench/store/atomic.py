"""Atomic, durable writes, and removal of the temporary files that killed processes leave.

A file is written under a temporary name in the same folder, flushed to disk and renamed.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from qamoe_bench.store.access import cannot_write
from qamoe_bench.store.temporary import ENDING, is_abandoned, temporary_name

LOST = (errno.ENOENT, getattr(errno, "ESTALE", errno.ENOENT))
"""Errors of a network folder after which a second attempt is worth it."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, and flush it to disk.

    Raises:
        BenchError: If the file cannot be written. No temporary file is left, and an older file keeps its content.
    """
    try:
        try:
            _write_and_rename(path, content)
        except OSError as error:
            # On a network folder the reply to a rename may be lost, and the client's second attempt fails; or another
            # client has replaced the folder that this one remembers.
            if error.errno not in LOST:
                raise
            _write_and_rename(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files below a folder whose writers on this machine no longer run."""
    for temporary in folder.rglob(f".*{ENDING}"):
        if is_abandoned(temporary.name):
            with suppress(OSError):  # of another user, in a folder that people share
                temporary.unlink(missing_ok=True)


def _write_and_rename(path: Path, content: bytes) -> None:
    # Without the name of the file, which may be as long as the file system allows already.
    temporary = path.with_name(temporary_name())
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # already renamed unless something failed
