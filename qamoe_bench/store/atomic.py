"""Atomic, durable writes, and removal of the temporary files that killed processes leave.

A file is written under a temporary name in the same folder, flushed to disk and renamed. The temporary name contains
the host and the process id of its writer, so another process can check whether that writer is still running.
"""

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path

from qamoe_bench.store.access import cannot_write


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, and flush it to disk.

    Raises:
        BenchError: If the file cannot be written. No temporary file is left, and an older file keeps its content.
    """
    try:
        try:
            _write_and_rename(path, content)
        except FileNotFoundError:
            # On a network folder the reply to a rename may be lost, and the client's second attempt fails. A machine
            # with the same host name, which cannot see this process, may also have removed the temporary file.
            _write_and_rename(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files below a folder whose writers on this machine no longer run."""
    for temporary in folder.rglob(".*.tmp"):
        # The added dots guarantee five parts for any name. A host name with dots never matches: its files are kept.
        *_, host, pid, _, _ = ("." * 4 + temporary.name).rsplit(".", 4)
        if host == socket.gethostname() and pid.isdigit() and not is_alive(int(pid)):
            with suppress(OSError):  # of another user, in a folder that people share
                temporary.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs on this machine."""
    try:
        os.kill(pid, 0)  # signal 0 is not delivered; only existence and permission are checked
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process exists and belongs to another user
    return True


def _write_and_rename(path: Path, content: bytes) -> None:
    # Without the name of the file, which may be as long as the file system allows already.
    temporary = path.with_name(f".{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # already renamed unless something failed
