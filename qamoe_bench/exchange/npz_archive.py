"""Archives as `np.savez` writes them, of arrays that are written block by block.

Python's `zipfile` writes one member after the other, but corrupting a batch gives all modalities together. Sizes are
known beforehand, so every member gets its place at the start, and its checksum at the end. All members are stored
uncompressed, with the fields of ZIP64 (APPNOTE.TXT 4.3.7 to 4.5.3), because a member may exceed 4 GiB.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.exchange.slots import Hole, SlotWriter, hole_like

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_SIZES = struct.Struct("<2H2Q")
_SIZES_AND_OFFSET = struct.Struct("<2H3Q")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_VERSION = 45  # the first with ZIP64
_DATE = 0x21  # 1 January 1980, the earliest: equal content gives equal bytes
_FULL = 0xFFFFFFFF  # stands for a number in the fields of ZIP64
_CHECKSUM_AT = 14  # in a local header


@dataclass
class _Member:
    """A member: its name, where its header begins, its size with NumPy's header, and its checksum so far."""

    name: bytes
    offset: int
    size: int
    checksum: int


class NpzFile(SlotWriter):
    """Writes an archive.

    Args:
        file: Open for writing, at its start.
        arrays: Arrays, or holes that `append` fills, by name.
    """

    def __init__(self, file: BinaryIO, arrays: Mapping[str, NDArray[Any] | Hole]) -> None:
        super().__init__(file)
        self._members: dict[str, _Member] = {}
        for name, array in arrays.items():
            self._begin(name, array if isinstance(array, Hole) else hole_like(array))
        self._members_end = file.tell()
        self.append({name: array for name, array in arrays.items() if not isinstance(array, Hole)})

    def _begin(self, name: str, hole: Hole) -> None:
        """Write the headers of a member, and leave a place for its content."""
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(hole.dtype)
        np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": hole.shape})
        start = header.getvalue()
        member = _Member(f"{name}.npy".encode(), self._file.tell(), len(start) + hole.bytes, zlib.crc32(start))
        sizes = _SIZES.pack(1, 16, member.size, member.size)
        fields = (b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, 0, _FULL, _FULL, len(member.name), len(sizes))
        self._file.write(_LOCAL.pack(*fields) + member.name + sizes + start)
        self._members[name] = member
        self._leave(name, hole)

    def _added(self, name: str, content: NDArray[Any]) -> None:
        member = self._members[name]
        member.checksum = zlib.crc32(content.data, member.checksum)

    def finish(self) -> None:
        """Write checksums and the directory of the archive."""
        self._check_filled()
        for member in self._members.values():
            self._file.seek(member.offset + _CHECKSUM_AT)
            self._file.write(struct.pack("<I", member.checksum))
        self._file.seek(self._members_end)
        directory = b"".join(map(_entry, self._members.values()))
        count = len(self._members)
        after = self._members_end + len(directory)
        end_64 = _END_64.pack(
            b"PK\x06\x06", _END_64.size - 12, _VERSION, _VERSION, 0, 0, count, count, len(directory), self._members_end
        )
        locator = _LOCATOR_64.pack(b"PK\x06\x07", 0, after, 1)
        end = _END.pack(b"PK\x05\x06", 0, 0, count, count, _FULL, _FULL, 0)
        self._file.write(directory + end_64 + locator + end)


def _entry(member: _Member) -> bytes:
    """The entry of a member in the directory."""
    extra = _SIZES_AND_OFFSET.pack(1, 24, member.size, member.size, member.offset)
    fields = (b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DATE, member.checksum, _FULL, _FULL)
    return _CENTRAL.pack(*fields, len(member.name), len(extra), 0, 0, 0, 0, _FULL) + member.name + extra
