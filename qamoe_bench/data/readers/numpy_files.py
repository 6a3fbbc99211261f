"""Safe reading of untrusted NumPy files (`.npy`, and `.npz` archives of them).

NumPy's own parser evaluates the header as Python, reserves memory for any shape that a header declares, and unpickles
objects with everything they execute. Here a header is matched with a pattern, an array must have exactly the size of
its file, and objects go through the project's own unpickler.
"""

import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.pickles.safe_pickle import load_bytes
from qamoe_bench.errors import BenchError

ZIP_MAGIC = b"PK\x03\x04"
"""The first bytes of every archive that has members."""

_MAGIC = b"\x93NUMPY"
# Header of version 1 or 2; Python 2 wrote long integers with an L.
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[a-zA-Z][0-9]*)', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\),? *\}\s*"
)
_NUMBERS = re.compile(r"[<>|=]?(f[248]|[iu][1248])")
_TEXTS = re.compile(r"[<>|=]?[SU][0-9]{1,4}")

# How many times larger than its archive a member may be; deflate reaches a thousand only for repetitive content.
_MAX_EXPANSION = 100
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class _Stored:
    """A stored array: code of its dtype, shape, order, and the bytes after the header."""

    code: str
    shape: tuple[int, ...]
    is_fortran: bool
    content: bytes


def numbers_in(path: Path) -> NDArray[Any]:
    """The array of numbers in a `.npy` file.

    Raises:
        BenchError: The file cannot be read, or holds anything else.
    """
    return _array_in(path, _NUMBERS, "numbers")


def texts_in(path: Path) -> NDArray[Any]:
    """The array of text of a fixed length in a `.npy` file, as text.

    Raises:
        BenchError: The file cannot be read, or holds anything else.
    """
    array = _array_in(path, _TEXTS, "text")
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _array_in(path: Path, code: re.Pattern[str], kind: str) -> NDArray[Any]:
    """The array in a `.npy` file, whose dtype must have a code of some form."""
    try:
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise BenchError(f"{path}: expected a readable file, got {error.strerror}; check its permissions") from error
    stored = _stored(content) if content is not None else None
    if stored is None or not code.fullmatch(stored.code):
        got = f"dtype {stored.code}" if stored else "something else"
        raise BenchError(f"{path}: expected an array of {kind} as np.save writes it, got {got}; save it again")
    dtype = np.dtype(stored.code)
    if not dtype.itemsize or math.prod(stored.shape) * dtype.itemsize != len(stored.content):
        got = f"{len(stored.content)} bytes for shape {stored.shape!s:.60}"
        raise BenchError(f"{path}: expected a complete array, got {got}; save it again")
    return np.frombuffer(stored.content, dtype).reshape(stored.shape, order="F" if stored.is_fortran else "C")


def archive_members(path: Path) -> tuple[str, ...]:
    """The names of the arrays in a `.npz` archive; none if the file is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return ()


def object_in(path: Path, member: str) -> object:
    """The object that a `.npz` archive holds as an array of no dimensions, made of plain data only.

    Raises:
        BenchError: The archive is damaged, or the member is anything else.
    """
    where = f"{path}: {member}"
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{member}.npy")
            # Other methods reserve as much memory as the archive asks for.
            is_safe = info.compress_type in _COMPRESSIONS and not info.flag_bits & 1
            if not is_safe or info.file_size > _MAX_EXPANSION * path.stat().st_size:
                raise BenchError(f"{where}: expected an archive as np.savez writes it, got another; save it again")
            stored = _stored(archive.read(info))
    # zipfile raises all of these, depending on the part that is damaged.
    except (OSError, KeyError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = ascii(str(error))[1:-1][:80]
        raise BenchError(
            f"{where}: expected a complete archive, got a damaged one ({reason}); save it again"
        ) from error
    if stored is None or stored.code.lstrip("<>|=") != "O" or stored.shape:
        raise BenchError(f"{where}: expected one object, got something else; save it again with np.savez")
    array = load_bytes(stored.content, where)
    if not isinstance(array, np.ndarray) or array.dtype != object or array.size != 1:
        raise BenchError(f"{where}: expected one object, got something else; save it again with np.savez")
    return array.reshape(-1)[0]


def _stored(content: bytes) -> _Stored | None:
    """The parts of a `.npy` file; None if it is none."""
    version = content[len(_MAGIC) : len(_MAGIC) + 1]
    if not content.startswith(_MAGIC) or version not in (b"\x01", b"\x02"):
        return None
    width = 2 if version == b"\x01" else 4  # bytes of the header's size
    begin = len(_MAGIC) + 2 + width
    end = begin + int.from_bytes(content[begin - width : begin], "little")
    match = _HEADER.fullmatch(content[begin:end])
    if match is None:
        return None
    lengths = match[3].decode().replace("L", "").split(",")
    shape = tuple(int(n) for n in lengths if n.strip().isdigit() and len(n) < 20)
    return _Stored(match[1].decode(), shape, match[2] == b"True", content[end:])
