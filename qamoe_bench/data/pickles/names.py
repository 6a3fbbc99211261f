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
    """A dtype in the file; only its code, byte order and fields are used."""

    __slots__ = ("_code", "_fields", "_order")

    def __init__(self, code: object, align: object = False, copy: object = False) -> None:
        if not (isinstance(code, str) and isinstance(align, int) and isinstance(copy, int)):
            raise RefusedError("makes a dtype in an unknown way")
        if not _DTYPE_CODE.fullmatch(code):
            raise RefusedError(f"holds an array of dtype {printable(code, 40)}")
        self._code = code
        self._order: _ByteOrder = "="
        self._fields: dict[str, tuple[_DType, int]] = {}

    def __setstate__(self, state: object) -> None:
        # Version, byte order, three parts of a structured dtype, size, alignment, flags. Metadata would come last.
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, int(), int(), int()):
                self._order = order
            case (int(), "|", None, tuple() as names, dict() as fields, int(), int(), int()) if self._code[0] == "V":
                self._fields = {name: self._field(fields.get(name)) for name in names if type(name) is str}
                if not 0 < len(self._fields) == len(names) <= _MAX_FIELDS:
                    raise RefusedError("holds an array whose dtype has fields in an unknown way")
            case _:
                raise RefusedError("holds an array whose dtype has metadata or nested fields")

    def _field(self, described: object) -> "tuple[_DType, int]":
        """Type and offset of a field of numbers or text."""
        match described:
            case (_DType() as dtype, int() as offset) if dtype._code[0] not in "OV" and offset >= 0:
                return dtype, offset
        raise RefusedError("holds an array with a field of objects or of other fields")

    def resolve(self) -> np.dtype[Any]:
        """A new NumPy dtype with this code and byte order, or with these fields."""
        if self._code[0] == "V":
            return self._resolve_fields()
        dtype = np.dtype(self._code).newbyteorder(self._order)
        if dtype.itemsize == 0:
            raise RefusedError("holds an array of items without size")
        return dtype

    def _resolve_fields(self) -> np.dtype[Any]:
        size = int(self._code[1:])
        formats = [dtype.resolve() for dtype, _ in self._fields.values()]
        offsets = [offset for _, offset in self._fields.values()]
        ends = [offset + dtype.itemsize for offset, dtype in zip(offsets, formats, strict=True)]
        if not ends or max(ends) > size:
            raise RefusedError("holds an array of raw memory, or with fields beyond its items")
        names = list(self._fields)
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


# Floats, integers, booleans, text and bytes of fixed width, objects, and records of these; no dates.
_DTYPE_CODE = re.compile(r"f[248]|[iu][1248]|b1|[SU][0-9]{1,9}|O[48]?|V[0-9]{1,9}")

# Fields of a record, such as video, start and end.
_MAX_FIELDS = 64


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


class _MaskedArray(_Array):
    """A masked array of numbers, as a plain array in which masked values are NaN."""

    def __setstate__(self, state: object) -> None:
        match state:
            case (
                int() as version,
                tuple() as shape,
                _DType() as described,
                bool() | int() as fortran,
                content,
                mask,
                _,
            ):
                dtype = described.resolve()
                raw = _bytes(content)
                masked = np.frombuffer(_bytes(mask), np.uint8) != 0
                _check_size(shape, dtype.itemsize, len(raw))
                if len(masked) * dtype.itemsize != len(raw) or (masked.any() and dtype.kind != "f"):
                    raise RefusedError("masks text or whole numbers, for which there is no missing value")
                values = np.frombuffer(raw, dtype).copy()
                if masked.any():
                    values[masked] = np.nan
                super().__setstate__((version, shape, described, fortran, values.tobytes()))
            case _:
                raise RefusedError("holds a masked array with an unknown kind of state")


class AttributeDict(dict[object, object]):
    """Replaces the dicts of EasyDict and its kin, whose items are attributes too."""

    __slots__ = ()

    def __init__(self) -> None:  # without arguments, since each call would copy them
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Nothing: the attributes repeat the items."""


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
    if dtype.names and raw:
        records = np.frombuffer(raw, dtype)
        for name in dtype.names:
            _check_text(np.ascontiguousarray(records[name]).tobytes(), dtype[name])
    if dtype.kind == "U" and raw:
        points = np.frombuffer(raw, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if points.max() > _MAX_CODE_POINT:
            raise RefusedError("holds text with impossible characters")


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    """An empty array, whose state is set afterwards by `_Array.__setstate__`."""
    if kind is not _NDARRAY or shape != (0,) or not isinstance(code, str | bytes):
        raise RefusedError("makes an array in an unknown way")
    return np.empty(0).view(_Array)


def _reconstruct_masked(kind: object, base: object, shape: object, code: object) -> _MaskedArray:
    """The same for a masked array."""
    if kind is not _MASKED_ARRAY:
        raise RefusedError("makes a masked array in an unknown way")
    return _reconstruct(base, shape, code).view(_MaskedArray)


def _text_dtype(coerce: object = True, missing: object = None) -> _DType:
    """The dtype of text of any length, as of objects: its arrays are stored as lists of strings."""
    return _DType("O")


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


def _empty_dict(factory: object = None, *_: object) -> dict[object, object]:
    """A dict in place of one with default values; its items are set afterwards."""
    if _ or not (factory is None or isinstance(factory, _StandIn)):
        raise RefusedError("makes a defaultdict in an unknown way")
    return {}


def _queue(items: object = (), most: object = None) -> list[object]:
    """A list in place of a deque; its items are appended afterwards."""
    if items not in ((), []) or not (most is None or type(most) is int):
        raise RefusedError("makes a deque in an unknown way")
    return []


def _no_direct_call(*_: object) -> NoReturn:
    raise RefusedError("makes an array in an unknown way")


_NDARRAY = _StandIn(_no_direct_call)  # only passed to `_reconstruct`
_MASKED_ARRAY = _StandIn(_no_direct_call)  # only passed to `_reconstruct_masked`

# Dicts with attributes, in the packages that research code stores its results with.
_ATTRIBUTE_DICTS = (
    ("easydict", "EasyDict"), ("addict.addict", "Dict"), ("munch", "Munch"), ("attrdict.dictionary", "AttrDict"),
)  # fmt: skip

# NumPy 2 renamed `numpy.core` to `numpy._core`, and Python 3 `__builtin__` to `builtins`.
_CORES = ("numpy.core", "numpy._core")
_BUILTINS = ("builtins", "__builtin__")

# Types that a defaultdict may name as its default; they are never called.
_DEFAULTS = ("list", "dict", "int", "float", "str")

ALLOWED: Mapping[tuple[str, str], object] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_DType),
    ("_codecs", "encode"): _StandIn(_encode),
    ("collections", "OrderedDict"): _container(dict),
    ("collections", "defaultdict"): _StandIn(_empty_dict),
    ("collections", "deque"): _StandIn(_queue),
    **dict.fromkeys(_ATTRIBUTE_DICTS, AttributeDict),
    ("numpy.ma.core", "_mareconstruct"): _StandIn(_reconstruct_masked),
    ("numpy.ma", "MaskedArray"): _MASKED_ARRAY,
    ("numpy.ma.core", "MaskedArray"): _MASKED_ARRAY,
    **{(f"{core}._internal", "_convert_to_stringdtype_kwargs"): _StandIn(_text_dtype) for core in _CORES},
    **{(f"{core}.multiarray", "_reconstruct"): _StandIn(_reconstruct) for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _StandIn(_scalar) for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _StandIn(_from_buffer) for core in _CORES},
    **{(module, "set"): _container(set) for module in _BUILTINS},
    **{(module, "frozenset"): _container(frozenset) for module in _BUILTINS},
    **{(module, "bytes"): _container(bytes) for module in _BUILTINS},
    **{(module, kind): _StandIn(_no_direct_call) for module in _BUILTINS for kind in _DEFAULTS},
}
"""Stand-ins by module and name of the global; a dotted name is never on the list."""
