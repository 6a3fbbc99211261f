"""Safe reading of untrusted HDF5 files.

A small HDF5 file can refer to other files (external links, external storage, virtual data sets), request a filter that
the library loads from disk, declare arrays of any size, or compress a gigabyte of zeros into a kilobyte. All of this is
refused: an array is read only if it is stored in the file itself, has numbers or text of fixed width, and is not much
larger than the file.
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
    with _one_line_errors(path), h5py.File(path, "r") as file:
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
        raise BenchError(
            f"{path}: expected a complete HDF5 file, got a damaged one or something else ({reason}); fetch it again"
        ) from error


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
        return iter(self._group)

    def group(self, name: str) -> "Group":
        """The group with this name.

        Raises:
            BenchError: There is none in the file itself.
        """
        import h5py

        member = self._member(name)
        if not isinstance(member, h5py.Group):
            raise self._wrong(name, "a group", type(member).__name__)
        return Group(self._path, member, self._size)

    def array(self, name: str, kinds: str) -> NDArray[Any]:
        """The array with this name.

        Args:
            name: Name in this group.
            kinds: Allowed kinds of its type, as the letters of `numpy.dtype.kind`.

        Raises:
            BenchError: There is none in the file itself, or it is not safe to read.
        """
        import h5py

        member = self._member(name)
        if not isinstance(member, h5py.Dataset):
            raise self._wrong(name, "an array", type(member).__name__)
        self._check_storage(name, member)
        self._check_type(name, member, kinds)
        self._check_size(name, member)
        return np.asarray(member[()])

    def _member(self, name: str) -> Any:
        """The member with this name, unless it is a link to somewhere else."""
        import h5py

        if name not in self._group:
            names = [repr(other[:40]) for other in islice(self._group, _MAX_LISTED)]
            raise self._wrong(name, "a member of this name", f"only {', '.join(names) or 'an empty group'}")
        link = self._group.get(name, getlink=True)  # does not follow it
        if not isinstance(link, h5py.HardLink):
            raise self._wrong(name, "a member in the file itself", f"a link to elsewhere ({type(link).__name__})")
        return self._group[name]

    def _check_storage(self, name: str, array: "h5py.Dataset") -> None:
        """Refuse an array that is stored elsewhere or needs a plugin to be read."""
        if array.is_virtual or array.external:
            raise self._wrong(name, "an array in the file itself", "one whose values are in other files")
        properties = array.id.get_create_plist()
        filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
        if filters - _FILTERS.keys():
            raise self._wrong(name, f"no filters but {', '.join(_FILTERS.values())}", f"number {min(filters)}")

    def _check_type(self, name: str, array: "h5py.Dataset", kinds: str) -> None:
        """Refuse an array of other kinds of values."""
        if array.dtype.kind not in kinds or array.dtype.hasobject or array.shape is None:
            expected = "numbers" if "f" in kinds else "text of fixed width"
            raise self._wrong(name, expected, f"dtype {array.dtype!s:.40}")

    def _check_size(self, name: str, array: "h5py.Dataset") -> None:
        """Refuse an array that is much larger than the file; reading any value allocates its whole chunk."""
        most = _MAX_EXPANSION * self._size  # bytes
        if array.size * array.dtype.itemsize > most:
            raise self._wrong(name, "an array in proportion to the file", f"shape {array.shape!s:.60}")
        if array.chunks and np.prod(array.chunks, dtype=float) * array.dtype.itemsize > most:
            raise self._wrong(name, "chunks in proportion to the file", f"chunks {array.chunks!s:.60}")

    def _wrong(self, name: str, expected: str, got: str) -> BenchError:
        where = f"{self._group.name}/{name}".replace("//", "/")
        return BenchError(
            f"{self._path}: {ascii(where)[1:-1]:.80}: expected {expected}, got {got}; fetch the file again"
        )
