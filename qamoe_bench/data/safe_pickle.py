"""Unpickling without trust: arrays, lists, dicts, text and numbers, and nothing that could act.

A pickle is a program. Three guards stand between it and the interpreter:

    names     every global that it may name is replaced by a stand-in of ours; no other name is resolved, so there is
              nothing to call that could do more than build an array
    state     NumPy believes a pickled array's state: a list shorter than its shape is read past its end, flags of a
              dtype turn bytes into pointers. The stand-ins check shape, dtype and size before NumPy sees them
    opcodes   a few bytes can ask the C unpickler for gigabytes (a huge memo index) or overflow its stack (hashing
              deeply nested tuples). The opcodes are walked, without executing them, before it starts

So memory stays in proportion to the size of the file.
"""

import math
import mmap
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError


class _RefusedError(Exception):
    """The pickle asks for something that plain data never needs."""


class _DamagedError(Exception):
    """The bytes are no complete pickle."""


def load(path: Path) -> object:
    """The object in a pickle file, made of dicts, lists, tuples, sets, text, bytes, numbers and NumPy arrays only.

    Arrays come as read-only instances of an `ndarray` subclass, NumPy scalars as Python numbers and text, ordered dicts
    as dicts. Pickles of Python 2 and of NumPy 1 are read too.

    Raises:
        BenchError: The file cannot be read, is no complete pickle, or refers to anything else. Nothing was executed.
    """
    try:
        if not path.is_file():
            raise BenchError(f"{path}: expected a pickle file, got {_instead(path)}; check the path")
        with path.open("rb") as file:
            _walk_file(file)
            # Python 2 wrote array bytes as strings, which only latin1 gives back unchanged.
            return _Unpickler(file, encoding="latin1").load()
    except BenchError:
        raise
    except OSError as error:
        raise BenchError(
            f"{path}: expected a readable file, got {error.strerror}; check the path and who may read it"
        ) from error
    except _RefusedError as error:
        raise BenchError(
            f"{path}: expected a pickle of arrays, lists, dicts, text and numbers only, got one that {error}; nothing "
            "was executed; if you trust its source, save its content again as plain NumPy arrays"
        ) from error
    except Exception as error:  # a hostile or broken pickle can raise anything; none of it is a bug of ours
        raise BenchError(
            f"{path}: expected a complete pickle, got something else or a damaged one ({_reason(error)}); choose "
            "another file or fetch this one again"
        ) from error


def _instead(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "something that is not a regular file" if path.exists() else "nothing there"


def _reason(error: Exception) -> str:
    """What went wrong, in one short line of printable characters."""
    text = f"{type(error).__name__}: {error}" if not isinstance(error, _DamagedError) else str(error)
    return _printable(text, 120)


def _printable(text: str, limit: int) -> str:
    """Text from a file as it may be shown: no control characters, not longer than `limit`."""
    return ascii(text)[1:-1][:limit]


# Names: what a pickle may refer to, and what it gets instead.


class _StandIn:
    """Takes the place of a global; can be called, but not changed."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., object]) -> None:
        self._build = build

    def __call__(self, *args: object) -> object:
        return self._build(*args)

    def __setstate__(self, state: object) -> NoReturn:
        # Without this the BUILD opcode would set attributes, here and for every later file.
        raise _RefusedError("changes what an allowed name means")


_ByteOrder = Literal["<", ">", "|", "="]


class _DType:
    """A dtype as the file tells it, of which only the code and the byte order are believed."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        if not (isinstance(code, str) and isinstance(align, int) and isinstance(copy, int)):
            raise _RefusedError("makes a dtype in an unknown way")
        if not _DTYPE_CODE.fullmatch(code):
            raise _RefusedError(f"holds an array of dtype {_printable(code, 40)}")
        self._code = code
        self._order: _ByteOrder = "="

    def __setstate__(self, state: object) -> None:
        match state:  # version, byte order, three parts of a structured dtype, size, alignment, flags, metadata
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, int(), int(), int()):
                self._order = order
            case _:
                raise _RefusedError("holds an array whose dtype has fields or metadata")

    def resolve(self) -> np.dtype[Any]:
        """NumPy's dtype, made from scratch."""
        dtype = np.dtype(self._code).newbyteorder(self._order)
        if dtype.itemsize == 0:
            raise _RefusedError("holds an array of items without size")
        return dtype


_DTYPE_CODE = re.compile(r"f[248]|[iu][1248]|b1|[SU][0-9]{1,9}|O[48]?")


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array that checks its pickled state, takes it once, and is read-only after that."""

    def __setstate__(self, state: object) -> None:
        if not self.flags.writeable:  # a second state would free memory that others may still look at
            raise _RefusedError("changes a finished array")
        match state:
            case (int(), tuple() as shape, _DType() as described, bool() | int() as fortran, content):
                dtype = described.resolve()
                raw = _list(content) if dtype.hasobject else _bytes(content)
                _check_size(shape, 1 if dtype.hasobject else dtype.itemsize, len(raw))
                if isinstance(raw, bytes | bytearray):
                    _check_text(raw, dtype)
                super().__setstate__((1, shape, dtype, bool(fortran), raw))  # type: ignore[arg-type]  # the stub is narrow
                self.flags.writeable = False  # it may share memory with a bytes object
            case _:
                raise _RefusedError("holds an array with an unknown kind of state")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise _RefusedError("changes an array")


def _list(content: object) -> list[object]:
    if type(content) is list:
        return content
    raise _RefusedError("holds an array of objects without a list of them")


def _bytes(content: object) -> bytes | bytearray:
    """The bytes of an array, which Python 2 wrote as a string."""
    if isinstance(content, str):
        return content.encode("latin1")
    if isinstance(content, bytes | bytearray):
        return content
    raise _RefusedError("makes an array of something else than bytes")


def _check_size(shape: tuple[object, ...], item: int, available: int) -> None:
    """Refuses a shape whose items, `item` each, are not exactly what is `available`."""
    sizes = [n for n in shape if type(n) is int and 0 <= n < 2**63]
    if len(sizes) != len(shape) or len(sizes) > 32:
        raise _RefusedError("holds an array with an impossible shape")
    if math.prod(sizes) * item != available:
        raise _RefusedError(f"holds an array of shape {tuple(sizes)!s:.60} whose content has another size")


def _check_text(raw: bytes | bytearray, dtype: np.dtype[Any]) -> None:
    """Refuses characters that do not exist, which NumPy would put into strings unseen."""
    if dtype.kind == "U" and raw:
        points = np.frombuffer(raw, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if points.max() > 0x10FFFF:
            raise _RefusedError("holds text with impossible characters")


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    """The empty array that a state will fill."""
    if kind is not _NDARRAY or shape != (0,) or not isinstance(code, str | bytes):
        raise _RefusedError("makes an array in an unknown way")
    return np.empty(0).view(_Array)


def _from_buffer(raw: object, dtype: object, shape: object, order: object, axes: object = None) -> NDArray[Any]:
    """An array over the bytes in the pickle, as protocol 5 stores them."""
    if not (isinstance(dtype, _DType) and isinstance(shape, tuple) and order in ("C", "F", "K") and _is_axes(axes)):
        raise _RefusedError("makes an array in an unknown way")
    resolved, content = dtype.resolve(), _bytes(raw)
    if resolved.hasobject:
        raise _RefusedError("makes objects from bytes")
    _check_size(shape, resolved.itemsize, len(content))
    _check_text(content, resolved)
    array = np.frombuffer(content, resolved).reshape(shape, order="F" if order == "F" else "C")
    array = (array.transpose(axes) if order == "K" and isinstance(axes, tuple) else array).view(_Array)
    array.flags.writeable = False
    return array


def _is_axes(axes: object) -> bool:
    return axes is None or (isinstance(axes, tuple) and all(type(n) is int for n in axes))


def _scalar(dtype: object, raw: object = None) -> object:
    """A NumPy scalar, as the Python object of the same value."""
    return _from_buffer(raw, dtype, (1,), "C").item()


def _encode(text: object, encoding: object) -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError("encodes text in an unknown way")
    return text.encode("latin1")


def _container(kind: type) -> _StandIn:
    """A container that is made empty or from one list; nothing else, lest it be a range or a huge count."""

    def build(*args: object) -> object:
        if len(args) > 1 or any(type(a) is not list for a in args):
            raise _RefusedError(f"makes a {kind.__name__} in an unknown way")
        return kind(*args)

    return _StandIn(build)


def _no_direct_call(*_: object) -> NoReturn:
    raise _RefusedError("makes an array in an unknown way")


_NDARRAY = _StandIn(_no_direct_call)
_ALLOWED: Mapping[tuple[str, str], object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_DType),
    ("_codecs", "encode"): _StandIn(_encode),
    ("collections", "OrderedDict"): _container(dict),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _StandIn(_reconstruct) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _StandIn(_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _StandIn(_from_buffer) for core in ("core", "_core")},
    **{(b, kind.__name__): _container(kind) for b in ("builtins", "__builtin__") for kind in (set, frozenset, bytes)},
}


class _Unpickler(pickle.Unpickler):
    """The C unpickler, which asks here for every global."""

    def find_class(self, module: str, name: str) -> object:
        """The stand-in for a name on the list; dotted names are not on it."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"refers to {_printable(f'{module}.{name}', 80)}") from None


# Opcodes: what the unpickler may be asked to do.

_UNNEEDED = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
_LOOKED_AT = {"STOP", "FRAME", "PUT", "LONG_BINPUT", "GLOBAL", "INST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_OPCODES = {ord(op.code): op for op in pickletools.opcodes}
_SIZES = {code: op.arg.n if op.arg else 0 for code, op in _OPCODES.items()}  # of the argument; negative: see _skip

_NESTED_TUPLES = 50_000
"""How many tuples may be built that could hold other tuples; a C stack of 8 MB bears hashing twice that depth."""


def _pattern() -> re.Pattern[bytes]:
    """Matches a run of opcodes that need no look: those of fixed size, and tuples that surely hold no other tuple."""

    def codes(size: int) -> bytes:
        free = (c for c, op in _OPCODES.items() if _SIZES[c] == size and op.name not in _UNNEEDED | _LOOKED_AT)
        return b"[" + b"".join(b"\\x%02x" % c for c in free) + b"]"

    integer = rb"(?:K.|M..|J....)"
    shapes = b"|".join(integer + b"{%d}" % n + code for n, code in ((1, rb"\x85"), (2, rb"\x86"), (3, rb"\x87")))
    arguments = rb"[t\x85-\x87](?=(?:\x94|q.|r....)?[Rb])"  # consumed at once, by a stand-in that checks them
    fixed = b"|".join(codes(n) + b".{%d}" % n for n in sorted({n for n in _SIZES.values() if n >= 0}))
    line = codes(pickletools.UP_TO_NEWLINE) + rb"[^\n]*+\n"
    return re.compile(b"(?:%b)*+" % b"|".join((shapes, arguments, fixed, line)), re.DOTALL)


_RUN = _pattern()


def _walk_file(file: BinaryIO) -> None:
    start = file.read(4)
    file.seek(0)
    if not start:
        raise _DamagedError("it is empty")
    if start == b"PK\x03\x04":  # what torch.save and np.savez write
        raise _DamagedError("it is a zip archive")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _walk(content)


def _walk(content: mmap.mmap) -> None:
    """Follows the opcodes to the last one without executing them.

    Raises:
        _DamagedError: There is no last one.
        _RefusedError: An opcode is of no use for plain data, or would cost more than the file is long.
    """
    at, tuples = 0, 0
    while True:
        run = _RUN.match(content, at)
        at = run.end() if run else at
        if at >= len(content):
            raise _DamagedError("it breaks off")
        op = _OPCODES.get(content[at])
        if op is None:
            raise _DamagedError(f"byte {at} is no instruction of a pickle")
        if op.name in _UNNEEDED:
            raise _RefusedError(f"uses the instruction {op.name}")
        if op.name == "STOP":
            return
        end = _skip(content, at)
        _check_cost(op.name, content[at + 1 : end] if op.name in _LOOKED_AT else b"", len(content))
        tuples += op.name.startswith("TUPLE")
        if tuples > _NESTED_TUPLES:
            raise _RefusedError(f"nests more than {_NESTED_TUPLES} tuples")
        at = end


def _skip(content: mmap.mmap, at: int) -> int:
    """Where the opcode after the one at `at` begins."""
    op, size = _OPCODES[content[at]], _SIZES[content[at]]
    if size == pickletools.UP_TO_NEWLINE:
        end = content.find(b"\n", at + 1) + 1
        if op.name in ("GLOBAL", "INST") and end:  # module and name, a line each
            end = content.find(b"\n", end) + 1
        end = end or len(content) + 1
    elif size >= 0:
        end = at + 1 + size
    else:  # a length comes first, in 1, 4 or 8 bytes
        width = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}.get(size, 4)
        start = at + 1 + width
        end = start + int.from_bytes(content[at + 1 : start], "little", signed=size == pickletools.TAKEN_FROM_ARGUMENT4)
        if end < start:
            raise _DamagedError(f"byte {at} tells a negative length")
    if end > len(content):
        raise _DamagedError("it breaks off")
    return end


def _check_cost(name: str, argument: bytes, limit: int) -> None:
    """Refuses a memo index or a frame that no file of `limit` bytes needs: memory is reserved for it at once."""
    if name == "FRAME" and int.from_bytes(argument, "little") > limit:
        raise _DamagedError("it breaks off")
    if "PUT" in name and (int(argument) if name == "PUT" else int.from_bytes(argument, "little")) > limit:
        raise _RefusedError("asks for more memory than the file is long")
