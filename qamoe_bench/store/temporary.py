"""Names of temporary files and folders, which tell whether their writer still runs.

A name ends in the machine, the process id and a random part. Machines that share a folder may have one host name, as
containers on the network of their host do, and equal process ids: what tells them apart is which processes they see.
"""

import hashlib
import os
import socket
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

ENDING = ".tmp"


def temporary_name(prefix: str = "") -> str:
    """A new hidden name: a prefix without a dot at its end, if any, then machine, process, a random part and `.tmp`."""
    start = f".{prefix}" if prefix else ""
    return f"{start}.{_machine()}.{os.getpid()}.{uuid.uuid4().hex}{ENDING}"


def is_abandoned(name: str) -> bool:
    """Whether a process of this machine chose this name and does not run any more.

    What other machines wrote is not abandoned as far as can be told here, nor is anything with another kind of name.
    """
    # The added dots guarantee five parts for any name.
    *_, machine, pid, _, _ = ("." * 4 + name).rsplit(".", 4)
    return name.endswith(ENDING) and machine == _machine() and pid.isdigit() and not is_alive(int(pid))


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs on this machine."""
    try:
        os.kill(pid, 0)  # signal 0 is not delivered; only existence and permission are checked
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # the process exists and belongs to another user; or no id is that large
    return True


def _machine() -> str:
    """Identifies the processes that this one can see: the host, and a digest of its installation and container."""
    return f"{socket.gethostname().replace('.', '-')}-{_visible_processes()}"


@cache
def _visible_processes() -> str:
    known = []
    with suppress(OSError):  # of systemd; containers may have a copy of it
        known.append(Path("/etc/machine-id").read_text(encoding="ascii", errors="replace"))
    with suppress(OSError):  # on Linux, where the same id means other processes in another container
        known.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - no path of a file
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]
