"""Safe reading of untrusted HDF5 files.

A small HDF5 file can refer to other files (external links, external storage, virtual data sets), request a filter that
the library loads from disk, declare arrays of any size, or compress a gigabyte of zeros into a kilobyte. All of this is
refused: an array is read only if it is stored in the file itself, has numbers or text, and is not much larger than the
file. Text of variable length is read a few rows at a time, since many rows may refer to the same long text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
"""The first bytes of every HDF5 file."""

# Numbers that the HDF5 library assigns to its own filters; any other would be loaded as a plugin.
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}

# How many times larger than the file an array may be; gzip compresses features with many zeros to a tenth.
_MAX_EXPANSION = 100

# Names of members that an error message lists.
_MAX_LISTED = 5

# Bytes that one read of text of variable length may need, if every row refers to a text as long as the file.
_TEXT_BUDGET = 2**26

# What a file starts with that is no HDF5 file, and what it is then.
_OTHER_STARTS = {b"<": "a web page", b"version https://git-lfs": "a pointer of Git LFS", b"PK\x03\x04": "a zip archive"}


@contextmanager
def opened(path: Path) -> Iterator["Group"]:
    """Open a file as a context manager that gives its root group.

    Raises:
        BenchError: The file cannot be read, is not safe to read, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise BenchError(f"{path}: HDF5 files need h5py; pip install 'qamoe-bench[data]'") from error
    with _one_line_errors(path):
        file = h5py.File(path, "r")
    # Errors are attributed to files by `Group`: here they could be those of another file that is open as well.
    with file:
        yield Group(path, file, path.stat().st_size)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Turn errors of the library about a damaged file into a `BenchError` of one printable line."""
    try:
        yield
    except BenchError:
        raise
    # h5py raises all of these, depending on the part of the file that is damaged.
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError) as error:
        reason = ascii(" ".join(str(error).split()))[1:-1][:120] or type(error).__name__
        got = _other_kind(path) or f"a damaged one or something else ({reason})"
        raise BenchError(f"{path}: expected a complete HDF5 file, got {got}; fetch it again") from error


def _other_kind(path: Path) -> str:
    """What a file is that cannot be HDF5 by its first bytes; empty if they do not tell."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
    except OSError:
        return ""
    return next((kind for prefix, kind in _OTHER_STARTS.items() if start.startswith(prefix)), "")


class Group:
    """A group of an open file.

    Args:
        path: The file, for error messages.
        group: The group of h5py.
        size: Size of the file in bytes.
    """

    def __init__(self, path: Path, group: "h5py.Group", size: int) -> None:
        self._path = path
        self._group = group
        self._size = size

    def __iter__(self) -> Iterator[str]:
        with _one_line_errors(self._path):
            names = list(self._group)
        return iter(names)

    def __contains__(self, name: str) -> bool:
        with _one_line_errors(self._path):
            return name in self._group

    def child(self, name: str) -> "Group | None":
        """The group with this name; None if the member is no group.

        Raises:
            BenchError: There is no such member in the file itself.
        """
        import h5py

        member = self._member(name)
        return Group(self._path, member, self._size) if isinstance(member, h5py.Group) else None

    def group(self, name: str) -> "Group":
        """The group with this name.

        Raises:
            BenchError: There is none in the file itself.
        """
        group = self.child(name)
        if group is None:
            raise self.wrong(name, "a group", "an array")
        return group

    def array(self, name: str) -> NDArray[Any]:
        """The array of numbers with this name.

        Raises:
            BenchError: There is none in the file itself, or it is not safe to read.
        """
        array = self._stored(name)
        if array.dtype.kind not in "fiu" or array.shape is None:
            raise self.wrong(name, "numbers", f"dtype {array.dtype!s:.40}")
        with _one_line_errors(self._path):
            return np.asarray(array[()])

    def is_text(self, name: str) -> bool:
        """Whether the array with this name holds text of any kind, and no numbers.

        Raises:
            BenchError: There is no such array in the file itself, or it is not safe to read.
        """
        return self._stored(name).dtype.kind in "SUO"

    def texts(self, name: str) -> list[str]:
        """The first column of the array of text with this name, [n] or [n, D].

        Raises:
            BenchError: There is none in the file itself, or it is not safe to read.
        """
        import h5py

        array = self._stored(name)
        is_fixed = array.dtype.kind in "SU" and not array.dtype.hasobject
        is_variable = array.dtype.kind == "O" and h5py.check_string_dtype(array.dtype) is not None
        is_column = array.shape is not None and array.ndim in (1, 2) and all(array.shape[1:])
        if not (is_fixed or is_variable) or not is_column:
            raise self.wrong(name, "text", f"dtype {array.dtype!s:.40} in shape {array.shape!s:.60}")
        rows = len(array) if is_fixed else _TEXT_BUDGET // self._size
        with _one_line_errors(self._path):
            return self._read_texts(name, array, max(1, rows))

    def _read_texts(self, name: str, array: "h5py.Dataset", rows: int) -> list[str]:
        """The first column as text, read some rows at a time."""
        texts: list[str] = []
        letters = 0
        for start in range(0, len(array), rows):
            part = array[start : start + rows]
            cells = (part if part.ndim == 1 else part[:, 0]).tolist()
            letters += sum(map(len, cells))
            if letters > _MAX_EXPANSION * self._size:
                raise self.wrong(name, "texts in proportion to the file", "the same long text many times")
            texts += [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell) for cell in cells]
        return texts

    def _stored(self, name: str) -> "h5py.Dataset":
        """The array with this name, if it is stored in the file and in proportion to it."""
        import h5py

        member = self._member(name)
        with _one_line_errors(self._path):
            if not isinstance(member, h5py.Dataset):
                raise self.wrong(name, "an array", type(member).__name__)
            self._check_storage(name, member)
            self._check_size(name, member)
            return member

    def _member(self, name: str) -> Any:
        """The member with this name, unless it is a link to somewhere else."""
        import h5py

        with _one_line_errors(self._path):
            link = self._group.get(name, getlink=True)  # does not follow it
            if link is None:
                names = [repr(other[:40]) for other in islice(self._group, _MAX_LISTED)]
                raise self.wrong(name, "a member of this name", f"only {', '.join(names) or 'an empty group'}")
            if not isinstance(link, h5py.HardLink):
                raise self.wrong(name, "a member in the file itself", f"a link to elsewhere ({type(link).__name__})")
            return self._group[name]

    def _check_storage(self, name: str, array: "h5py.Dataset") -> None:
        """Refuse an array that is stored elsewhere or needs a plugin to be read."""
        if array.is_virtual or array.external:
            raise self.wrong(name, "an array in the file itself", "one whose values are in other files")
        properties = array.id.get_create_plist()
        filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
        if filters - _FILTERS.keys():
            raise self.wrong(name, f"no filters but {', '.join(_FILTERS.values())}", f"number {min(filters)}")

    def _check_size(self, name: str, array: "h5py.Dataset") -> None:
        """Refuse an array that is much larger than the file; reading any value allocates its whole chunk."""
        most = _MAX_EXPANSION * self._size  # bytes
        if array.shape is None:  # an empty data space
            return
        if array.size * array.dtype.itemsize > most:
            raise self.wrong(name, "an array in proportion to the file", f"shape {array.shape!s:.60}")
        if array.chunks and np.prod(array.chunks, dtype=float) * array.dtype.itemsize > most:
            raise self.wrong(name, "chunks in proportion to the file", f"chunks {array.chunks!s:.60}")

    def wrong(self, name: str, expected: str, got: str) -> BenchError:
        """The one-line error for a member of this group."""
        where = f"{self._group.name}/{name}".replace("//", "/")
        return BenchError(
            f"{self._path}: {ascii(where)[1:-1]:.80}: expected {expected}, got {got}; fetch the file again"
        )
