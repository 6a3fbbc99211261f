"""Pickles in MMSA's layout, whose arrays are written block by block.

The stream is made here and not by `pickle`, which would hold all arrays of a file in memory. It names NumPy's modules
as NumPy 1 did, which every version reads, whereas pickles of NumPy 2 cannot be opened by NumPy 1.
"""

import pickle
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.exchange.slots import Hole, SlotWriter, hole_like

_PROTOCOL = 4  # the first with objects of more than 4 GiB
_EMBEDDED_PROTOCOL = 2  # numbers its memo explicitly, so that several pickles can follow each other in one stream

Value = NDArray[Any] | Hole | list[str]


def slot_name(split: str, key: str) -> str:
    """The name under which blocks of an array are appended."""
    return f"{split}/{key}"


class MmsaFile(SlotWriter):
    """Writes a dict of splits, each a dict of arrays and lists.

    Args:
        file: Open for writing, at its start.
        splits: By split and key: arrays, lists of text, or holes that `append` fills.
    """

    def __init__(self, file: BinaryIO, splits: Mapping[str, Mapping[str, Value]]) -> None:
        super().__init__(file)
        arrays: dict[str, NDArray[Any]] = {}
        file.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_DICT + pickle.MARK)
        for split, content in splits.items():
            file.write(_embedded(split) + pickle.EMPTY_DICT + pickle.MARK)
            for key, value in content.items():
                file.write(_embedded(key))
                if isinstance(value, list):
                    file.write(_embedded(value))
                    continue
                self._array(slot_name(split, key), value if isinstance(value, Hole) else hole_like(value))
                if not isinstance(value, Hole):
                    arrays[slot_name(split, key)] = value
            file.write(pickle.SETITEMS)
        file.write(pickle.SETITEMS + pickle.STOP)
        self.append(arrays)

    def _array(self, name: str, hole: Hole) -> None:
        """Write the instructions that make an array, and leave a place for its content."""
        make = pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n"
        kind = pickle.GLOBAL + b"numpy\nndarray\n"
        empty = pickle.MARK + kind + _embedded((0,)) + pickle.SHORT_BINBYTES + b"\x01b" + pickle.TUPLE
        # The state of an array: version, shape, dtype, whether in column-major order, content.
        state = _embedded(1) + _embedded(hole.shape) + _embedded(np.dtype(hole.dtype)) + pickle.NEWFALSE
        length = struct.pack("<Q", hole.bytes)
        self._file.write(make + empty + pickle.REDUCE + pickle.MARK + state + pickle.BINBYTES8 + length)
        self._leave(name, hole)
        self._file.write(pickle.TUPLE + pickle.BUILD)

    def finish(self) -> None:
        """Check that every array was filled."""
        self._check_filled()


def _embedded(value: object) -> bytes:
    """The instructions that make a small value, without those of the start and the end of a pickle."""
    return pickle.dumps(value, _EMBEDDED_PROTOCOL)[2:-1]
