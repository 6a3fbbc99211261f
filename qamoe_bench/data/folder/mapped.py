"""Arrays that lie in files and are read when they are looked at, so that they may be larger than memory.

The system keeps pages that were read for as long as it likes, and counts them as memory of the process. So they are
given back whenever there are many; what is needed again is read again, mostly from the system's own cache.
"""

import mmap
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

RELEASE = 2**28
"""Bytes of files in memory at which pages are given back."""

# Private pages, since torch wants memory that could be written to; no memory is set aside for what never is.
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
NORESERVE = 0x4000 if sys.platform == "linux" else 0


class MappedArrays(Mapping[str, Tensor]):
    """Tensors by name, each on a file; changes to them reach no file and do not last."""

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._tensors: dict[str, Tensor] = {}
        self._floor = _resident_files()

    def add(self, name: str, path: Path, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
        """Map the array that begins at an offset of a file."""
        with path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | NORESERVE, prot=READ_WRITE)
        count = torch.Size(shape).numel()
        self._tensors[name] = torch.frombuffer(pages, dtype=dtype, count=count, offset=offset).view(shape)
        self._maps.append(pages)

    def __getitem__(self, name: str) -> Tensor:
        resident = _resident_files()
        if resident - self._floor > RELEASE:
            for pages in self._maps:
                pages.madvise(mmap.MADV_DONTNEED)
            self._floor = _resident_files()
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _resident_files() -> int:
    """Bytes of mapped files that are in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[2]) * mmap.PAGESIZE
    except OSError:
        return 0
