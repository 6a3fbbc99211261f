"""What an unpickler may be asked to do: the opcodes of a pickle, followed to the end without executing them.

A few bytes can ask the C unpickler for gigabytes (a huge memo index) or overflow its stack (hashing deeply nested
tuples). Pickles that do are refused before it starts.
"""

import mmap
import pickletools
import re
from typing import BinaryIO


class RefusedError(Exception):
    """The pickle asks for something that plain data never needs."""


class DamagedError(Exception):
    """The bytes are no complete pickle."""


_UNNEEDED = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
_LOOKED_AT = {
    "STOP", "FRAME", "PUT", "LONG_BINPUT", "GLOBAL", "INST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_SET",
    "LONG", "LONG1", "LONG4",
}  # fmt: skip
_OPCODES = {ord(op.code): op for op in pickletools.opcodes}
_SIZES = {code: op.arg.n if op.arg else 0 for code, op in _OPCODES.items()}  # of the argument; negative: see _skip

_NESTED_TUPLES = 50_000
"""How many tuples may be built that could hold other tuples; a C stack of 8 MB bears hashing twice that depth."""

_SETS = 10_000
"""How many sets may be built: one byte makes one, and it takes two hundred."""

_LONGS = 10_000
"""How many integers beyond 32 bits: they can be made to have the same hash, and a dict of many such takes hours."""


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


def walk_file(file: BinaryIO) -> None:
    """Follows the opcodes of a pickle to the last one; the file is left at its start.

    Raises:
        DamagedError: There is no last one.
        RefusedError: An opcode is of no use for plain data, or would cost more than the file is long.
    """
    start = file.read(4)
    file.seek(0)
    if not start:
        raise DamagedError("it is empty")
    if start == b"PK\x03\x04":  # what torch.save and np.savez write
        raise DamagedError("it is a zip archive")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _walk(content)


def _walk(content: mmap.mmap) -> None:
    at, tuples, sets, longs = 0, 0, 0, 0
    while True:
        run = _RUN.match(content, at)
        at = run.end() if run else at
        if at >= len(content):
            raise DamagedError("it breaks off")
        op = _OPCODES.get(content[at])
        if op is None:
            raise DamagedError(f"byte {at} is no instruction of a pickle")
        if op.name in _UNNEEDED:
            raise RefusedError(f"uses the instruction {op.name}")
        if op.name == "STOP":
            return
        end = _skip(content, at)
        _check_cost(op.name, content[at + 1 : end] if op.name in _LOOKED_AT else b"", len(content))
        tuples += op.name.startswith("TUPLE")
        sets += op.name == "EMPTY_SET"
        longs += op.name.startswith("LONG") and op.name != "LONG_BINPUT"
        if tuples > _NESTED_TUPLES:
            raise RefusedError(f"nests more than {_NESTED_TUPLES} tuples")
        if sets > _SETS:
            raise RefusedError(f"makes more than {_SETS} sets")
        if longs > _LONGS:
            raise RefusedError(f"holds more than {_LONGS} integers beyond 32 bits outside of arrays")
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
            raise DamagedError(f"byte {at} tells a negative length")
    if end > len(content):
        raise DamagedError("it breaks off")
    return end


def _check_cost(name: str, argument: bytes, limit: int) -> None:
    """Refuses a memo index or a frame that no file of `limit` bytes needs: memory is reserved for it at once."""
    if name == "FRAME" and int.from_bytes(argument, "little") > limit:
        raise DamagedError("it breaks off")
    if "PUT" in name and (int(argument) if name == "PUT" else int.from_bytes(argument, "little")) > limit:
        raise RefusedError("asks for more memory than the file is long")
