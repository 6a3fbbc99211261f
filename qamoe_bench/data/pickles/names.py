"""The globals that a pickle may refer to, and the stand-ins that replace them.

NumPy does not validate the pickled state of an array: a list shorter than the shape is read past its end, and flags of
a dtype turn bytes into pointers. The stand-ins therefore check shape, dtype and size before NumPy uses them.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.pickles.opcodes import RefusedError


def printable(text: str, limit: int) -> str:
    """Untrusted text as printable ASCII of at most `limit` characters, for error messages."""
    return ascii(text)[1:-1][:limit]


class _StandIn:
    """Replaces a global; can be called, but not changed."""

    # Without a `__dict__`, no attribute can be added.
    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., object]) -> None:
        self._build = build

    def __call__(self, *args: object) -> object:
        return self._build(*args)

    def __setstate__(self, state: object) -> NoReturn:
        # Otherwise the BUILD opcode would set attributes, which would persist for every later file.
        raise RefusedError("changes what an allowed name means")


_ByteOrder = Literal["<", ">", "|", "="]


class _DType:
    """A dtype in the file; only its code and byte order are used."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        if not (isinstance(code, str) and isinstance(align, int) and isinstance(copy, int)):
            raise RefusedError("makes a dtype in an unknown way")
        if not _DTYPE_CODE.fullmatch(code):
            raise RefusedError(f"holds an array of dtype {printable(code, 40)}")
        self._code = code
        self._order: _ByteOrder = "="

    def __setstate__(self, state: object) -> None:
        # Version, byte order, three parts of a structured dtype, size, alignment, flags. Metadata would come last.
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, int(), int(), int()):
                self._order = order
            case _:
                raise RefusedError("holds an array whose dtype has fields or metadata")

    def resolve(self) -> np.dtype[Any]:
        """A new NumPy dtype with this code and byte order."""
        dtype = np.dtype(self._code).newbyteorder(self._order)
        if dtype.itemsize == 0:
            raise RefusedError("holds an array of items without size")
        return dtype


# Floats, integers, booleans, text and bytes of fixed width, and objects; neither void nor dates.
_DTYPE_CODE = re.compile(r"f[248]|[iu][1248]|b1|[SU][0-9]{1,9}|O[48]?")


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array that checks its pickled state, accepts it once, and is read-only afterwards."""

    def __setstate__(self, state: object) -> None:
        if not self.flags.writeable:  # a second state would free memory that others may still use
            raise RefusedError("changes a finished array")
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
                raise RefusedError("holds an array with an unknown kind of state")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise RefusedError("changes an array")


def _list(content: object) -> list[object]:
    if type(content) is list:
        return content
    raise RefusedError("holds an array of objects without a list of them")


def _bytes(content: object) -> bytes | bytearray:
    """The bytes of an array; Python 2 wrote them as a string."""
    if isinstance(content, str):
        return content.encode("latin1")
    if isinstance(content, bytes | bytearray):
        return content
    raise RefusedError("makes an array of something else than bytes")


# NumPy 1 has at most 32 axes.
_MAX_AXES = 32

# The largest code point of Unicode.
_MAX_CODE_POINT = 0x10FFFF


def _check_size(shape: tuple[object, ...], item: int, available: int) -> None:
    """Refuse a shape whose items of size `item` do not add up to exactly `available`."""
    sizes = [n for n in shape if type(n) is int and 0 <= n < 2**63]
    if len(sizes) != len(shape) or len(sizes) > _MAX_AXES:
        raise RefusedError("holds an array with an impossible shape")
    if math.prod(sizes) * item != available:
        raise RefusedError(f"holds an array of shape {tuple(sizes)!s:.60} whose content has another size")


def _check_text(raw: bytes | bytearray, dtype: np.dtype[Any]) -> None:
    """Refuse characters beyond Unicode, which NumPy would copy into strings unchecked."""
    if dtype.kind == "U" and raw:
        points = np.frombuffer(raw, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if points.max() > _MAX_CODE_POINT:
            raise RefusedError("holds text with impossible characters")


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    """An empty array, whose state is set afterwards by `_Array.__setstate__`."""
    if kind is not _NDARRAY or shape != (0,) or not isinstance(code, str | bytes):
        raise RefusedError("makes an array in an unknown way")
    return np.empty(0).view(_Array)


def _from_buffer(raw: object, dtype: object, shape: object, order: object, axes: object = None) -> NDArray[Any]:
    """An array over the bytes in the pickle, as protocol 5 stores them."""
    if not (isinstance(dtype, _DType) and isinstance(shape, tuple) and order in ("C", "F", "K") and _is_axes(axes)):
        raise RefusedError("makes an array in an unknown way")
    resolved = dtype.resolve()
    content = _bytes(raw)
    if resolved.hasobject:
        raise RefusedError("makes objects from bytes")
    _check_size(shape, resolved.itemsize, len(content))
    _check_text(content, resolved)
    array = np.frombuffer(content, resolved).reshape(shape, order="F" if order == "F" else "C")
    if order == "K" and isinstance(axes, tuple):  # stored in the order of its strides
        array = array.transpose(axes)
    checked = array.view(_Array)
    checked.flags.writeable = False
    return checked


def _is_axes(axes: object) -> bool:
    return axes is None or (isinstance(axes, tuple) and all(type(n) is int for n in axes))


def _scalar(dtype: object, raw: object = None) -> object:
    """A NumPy scalar, as the Python object of the same value."""
    return _from_buffer(raw, dtype, (1,), "C").item()


def _encode(text: object, encoding: object) -> bytes:
    """Bytes, which protocol 2 writes as a call of `_codecs.encode`."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("encodes text in an unknown way")
    return text.encode("latin1")


def _container(kind: type) -> _StandIn:
    """A stand-in for a container type that accepts no argument or one list.

    Other arguments would allow `bytes(2**40)` or a container of a huge range.
    """

    def build(*args: object) -> object:
        if len(args) > 1 or any(type(a) is not list for a in args):
            raise RefusedError(f"makes a {kind.__name__} in an unknown way")
        return kind(*args)

    return _StandIn(build)


def _no_direct_call(*_: object) -> NoReturn:
    raise RefusedError("makes an array in an unknown way")


_NDARRAY = _StandIn(_no_direct_call)  # only passed to `_reconstruct`

# NumPy 2 renamed `numpy.core` to `numpy._core`, and Python 3 `__builtin__` to `builtins`.
_CORES = ("numpy.core", "numpy._core")
_BUILTINS = ("builtins", "__builtin__")

ALLOWED: Mapping[tuple[str, str], object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_DType),
    ("_codecs", "encode"): _StandIn(_encode),
    ("collections", "OrderedDict"): _container(dict),
    **{(f"{core}.multiarray", "_reconstruct"): _StandIn(_reconstruct) for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _StandIn(_scalar) for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _StandIn(_from_buffer) for core in _CORES},
    **{(module, "set"): _container(set) for module in _BUILTINS},
    **{(module, "frozenset"): _container(frozenset) for module in _BUILTINS},
    **{(module, "bytes"): _container(bytes) for module in _BUILTINS},
}
"""Stand-ins by module and name of the global; a dotted name is never on the list."""
