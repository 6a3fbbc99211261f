"""New folders, written completely or not at all: under a temporary name, which is changed when all files are there."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qamoe_bench.errors import BenchError
from qamoe_bench.store.temporary import ENDING, is_abandoned, temporary_name


def check_place(folder: Path) -> None:
    """Check that nothing would be overwritten.

    Raises:
        BenchError: The path exists and is no empty folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise BenchError(f"{folder}: expected a new or empty folder, got an existing one; choose another or remove it")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that replaces `folder` if no error occurs, and is removed otherwise.

    Raises:
        BenchError: The folder exists and is not empty, or cannot be written.
    """
    check_place(folder)
    # In the same parent, so that it can be renamed.
    temporary = folder.absolute().parent / temporary_name(folder.name)
    try:
        _sweep(folder)
        temporary.mkdir(parents=True)
        yield temporary
        # Contents before the name, so that not even a power failure leaves a partial folder under it.
        _sync(temporary)
        temporary.replace(folder.absolute())
        _sync(folder.absolute().parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchError(
            f"cannot write {folder} ({reason}); free space, or choose a folder that can be written"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove temporary folders for the same path whose writers were killed."""
    for temporary in folder.absolute().parent.glob(f".{glob.escape(folder.name)}.*{ENDING}"):
        if is_abandoned(temporary.name):
            shutil.rmtree(temporary, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make the entries of a folder durable."""
    with suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
