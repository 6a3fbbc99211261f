"""Reading HDF5 files without trust.

A file of a few bytes can point to other files (external links, external storage, virtual data sets), ask for a filter
that the library would load from disk, declare arrays of any size, or compress a gigabyte of zeros into a kilobyte.
Nothing of that is followed: an array is read if it lies in the file itself, has numbers or text of fixed width, and is
in proportion to the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
MOST_INFLATION = 100
"""How many times larger than the file an array may be; gzip makes ten of one from features with many zeros."""


@contextmanager
def opened(path: Path) -> Iterator["Group"]:
    """The root of a file, while it is open.

    Raises:
        BenchError: It cannot be read or trusted, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise BenchError(f"{path}: HDF5 files need h5py; pip install 'qamoe-bench[data]'") from error
    with _refusing(path), h5py.File(path, "r") as file:
        yield Group(path, file, path.stat().st_size)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except BenchError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError) as error:
        reason = ascii(" ".join(str(error).split()))[1:-1][:120] or type(error).__name__
        raise BenchError(
            f"{path}: expected a complete HDF5 file, got a damaged one or something else ({reason}); fetch it again"
        ) from error


class Group:
    """A group of a file."""

    def __init__(self, path: Path, group: "h5py.Group", size: int) -> None:
        self._path, self._group, self._size = path, group, size

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def group(self, name: str) -> "Group":
        """The group of this name."""
        import h5py

        found = self._member(name)
        if not isinstance(found, h5py.Group):
            raise self._wrong(name, "a group", type(found).__name__)
        return Group(self._path, found, self._size)

    def array(self, name: str, kinds: str) -> NDArray[Any]:
        """The whole array of this name, whose dtype is of one of these kinds (NumPy's letters)."""
        import h5py

        found = self._member(name)
        if not isinstance(found, h5py.Dataset):
            raise self._wrong(name, "an array", type(found).__name__)
        self._check(name, found, kinds)
        return np.asarray(found[()])

    def _member(self, name: str) -> Any:
        import h5py

        if name not in self._group:
            near = ", ".join(repr(n[:40]) for n, _ in zip(self._group, range(5), strict=False)) or "nothing"
            raise self._wrong(name, "it to be there", f"only {near}")
        link = self._group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise self._wrong(name, "something in the file itself", f"a link to elsewhere ({type(link).__name__})")
        return self._group[name]

    def _check(self, name: str, found: "h5py.Dataset", kinds: str) -> None:
        if found.is_virtual or found.external:
            raise self._wrong(name, "an array in the file itself", "one whose values lie in other files")
        if found.dtype.kind not in kinds or found.dtype.hasobject or found.shape is None:
            raise self._wrong(name, "numbers" if "f" in kinds else "text of fixed width", f"dtype {found.dtype!s:.40}")
        properties = found.id.get_create_plist()
        filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
        if filters - FILTERS.keys():
            raise self._wrong(name, f"no filters but {', '.join(FILTERS.values())}", f"number {min(filters)}")
        if found.size * found.dtype.itemsize > MOST_INFLATION * self._size:
            raise self._wrong(name, "an array in proportion to the file", f"shape {found.shape!s:.60}")
        if found.chunks and np.prod(found.chunks, dtype=float) * found.dtype.itemsize > MOST_INFLATION * self._size:
            raise self._wrong(name, "chunks in proportion to the file", f"chunks {found.chunks!s:.60}")

    def _wrong(self, name: str, expected: str, got: str) -> BenchError:
        where = f"{self._group.name}/{name}".replace("//", "/")
        return BenchError(
            f"{self._path}: {ascii(where)[1:-1]:.80}: expected {expected}, got {got}; fetch the file again"
        )
