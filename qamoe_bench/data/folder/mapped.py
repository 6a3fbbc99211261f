"""Arrays in files that are read page by page when they are accessed, so that they may be larger than memory.

The operating system keeps pages that were read, and counts them as memory of the process. They are therefore released
whenever there are many; a page that is needed once more is read again, mostly from the system's page cache.
"""

import mmap
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

RELEASE = 2**28
"""Bytes of mapped files in memory at which pages are released."""

# Private pages, since torch requires memory that could be written to. Without a reservation of swap space, mapping a
# file that is larger than memory succeeds.
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


class MappedArrays(Mapping[str, Tensor]):
    """Tensors by name, each backed by a file; changes to them are never written, and may be lost at any look-up."""

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._tensors: dict[str, Tensor] = {}
        # Mapped files that are not ours, such as libraries, or that are still resident after a release.
        self._baseline = _resident_file_bytes()

    def add(self, name: str, path: Path, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
        """Map an array.

        Args:
            name: Name of the tensor.
            path: The file.
            offset: Offset of the values in the file, in bytes.
            dtype: Type of the values.
            shape: Shape of the array.
        """
        with path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | _NO_RESERVE, prot=_READ_WRITE)
        count = torch.Size(shape).numel()
        self._tensors[name] = torch.frombuffer(pages, dtype=dtype, count=count, offset=offset).view(shape)
        self._maps.append(pages)

    def __getitem__(self, name: str) -> Tensor:
        if _resident_file_bytes() - self._baseline > RELEASE:
            for pages in self._maps:
                pages.madvise(mmap.MADV_DONTNEED)
            self._baseline = _resident_file_bytes()
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors  # the default would look the tensor up, and release pages

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _resident_file_bytes() -> int:
    """Bytes of mapped files that are in memory; 0 on systems that do not report it."""
    try:
        # Fields of statm: size, resident, shared, ...; shared pages are those of files.
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0
