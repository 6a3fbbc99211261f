"""Arrays in a file that are filled block by block, each at its own place, so that none of them is ever in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hole:
    """An array whose content comes later.

    Attributes:
        dtype: Type of the values, little-endian.
        shape: Its shape; blocks are added along the first axis.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of the content in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def hole_like(array: NDArray[Any]) -> Hole:
    """A place for the content of an array."""
    return Hole(array.dtype.newbyteorder("<"), array.shape)


class SlotWriter:
    """Writes blocks of arrays to the places that a subclass has left for them.

    Args:
        file: Open for writing, at its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._next: dict[str, int] = {}  # where the next block of an array goes
        self._end: dict[str, int] = {}
        self._dtype: dict[str, np.dtype[Any]] = {}

    def append(self, blocks: Mapping[str, NDArray[Any]]) -> None:
        """Write the next rows of some arrays."""
        for name, block in blocks.items():
            content = np.ascontiguousarray(block, self._dtype[name])
            if self._next[name] + content.nbytes > self._end[name]:
                raise ValueError(f"{name}: more rows than its shape has")
            self._file.seek(self._next[name])
            self._file.write(content.data.cast("B") if content.size else b"")
            self._next[name] += content.nbytes
            self._added(name, content)

    def _added(self, name: str, content: NDArray[Any]) -> None:
        """For subclasses that keep a checksum."""

    def _leave(self, name: str, hole: Hole) -> None:
        """Leave a place for an array at the current position, and continue after it."""
        start = self._file.tell()
        self._next[name] = start
        self._end[name] = start + hole.bytes
        self._dtype[name] = hole.dtype
        self._file.seek(self._end[name])

    def _check_filled(self) -> None:
        for name, end in self._end.items():
            if self._next[name] != end:
                raise ValueError(f"{name}: fewer rows than its shape has")
