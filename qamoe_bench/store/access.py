"""Files that cannot be read or written: one line with the reason, the owner and the remedy.

Results folders are shared between people and travel through version control, so a file may belong to another user, or
be the pointer that git-lfs checks out in place of a large file.
"""

import errno
import os
import shlex
from pathlib import Path

from qamoe_bench.errors import BenchError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""First bytes of the small text file that stands for a file which git-lfs has not downloaded."""
DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
"""Errors that free space would mend; Windows has no EDQUOT."""


def cannot_read(what: str, path: Path, error: Exception, remedy: str) -> BenchError:
    """The error for a stored file that cannot be read.

    Args:
        what: Kind of the file, for the message.
        path: The file.
        error: Why it cannot be read.
        remedy: What to do if the file is damaged, and neither protected nor a pointer of git-lfs.
    """
    if isinstance(error, PermissionError):
        return no_permission(what, path)
    if is_lfs_pointer(path):
        return BenchError(
            f"{what} {path}: expected the file itself, got the pointer of git-lfs to it; run 'git lfs pull' in its "
            "checkout"
        )
    return BenchError(f"{what} {path}: {remedy.format(reason=error)}")


def cannot_list(folder: Path, error: OSError) -> BenchError:
    """The error for a results folder, or a part of it, whose files cannot be listed."""
    reason = error.strerror or str(error)
    return cannot_read("results folder", folder, error, f"cannot be read ({reason}); name a folder that can be opened")


def no_permission(what: str, path: Path) -> BenchError:
    """The error for a file or folder that this user may not read."""
    # The outermost folder that may not be entered is the one to open; what lies in it cannot be seen.
    closed = (place for place in reversed(path.parents) if not os.access(place, os.X_OK))
    place = next(closed, path)
    owner = owner_of(place)
    belongs = f" and belongs to {owner}" if owner else ""
    return BenchError(
        f"{what} {place}: may not be read by you{belongs}; its owner can allow it with: "
        f"chmod -R a+rX {shlex.quote(str(place))}"
    )


def cannot_write(path: Path, error: OSError) -> BenchError:
    """The error for a path that cannot be written, with the reason that the system gives."""
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        return BenchError(f"cannot write {path} ({reason}); free space, or name a place that can be written to")
    # A read-only file system and a missing permission: the owner tells which of them it is.
    owner = owner_of(path) if error.errno in (errno.EACCES, errno.EPERM) else ""
    belongs = f"; it belongs to {owner}" if owner else ""
    return BenchError(f"cannot write {path} ({reason}{belongs}); name a place that can be written to")


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is the pointer of git-lfs to a file that is not there."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def owner_of(path: Path) -> str:
    """Name of the owner of a path, or of the nearest folder above it that exists; empty if it cannot be told."""
    for place in (path, *path.absolute().parents):
        try:
            return place.owner()
        except KeyError:  # a user of another machine, who has a number but no name here
            return f"user {place.stat().st_uid}"
        except NotImplementedError:  # Windows
            return ""
        except OSError:  # does not exist, or lies in a folder that may not be searched
            continue
    return ""
