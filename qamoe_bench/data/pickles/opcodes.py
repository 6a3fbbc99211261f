"""A scan of the opcodes of a pickle, from the first to the last, without executing them.

A few bytes can make the C unpickler allocate gigabytes (a huge memo index) or overflow its stack (hashing deeply nested
tuples). Such pickles are refused before it starts.
"""

import mmap
import pickletools
import re
from dataclasses import dataclass
from typing import BinaryIO


class RefusedError(Exception):
    """The pickle does something that plain data never needs."""


class DamagedError(Exception):
    """The file is no complete pickle.

    Attributes:
        remedy: What helps.
    """

    def __init__(self, reason: str, remedy: str = "choose another file or fetch this one again") -> None:
        super().__init__(reason)
        self.remedy = remedy


# References to objects outside of the file, which no array needs.
_FORBIDDEN = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
# Opcodes whose argument or number is checked.
_CHECKED = {
    "STOP", "FRAME", "PUT", "LONG_BINPUT", "GLOBAL", "INST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_SET",
    "LONG", "LONG1", "LONG4",
}  # fmt: skip
_OPCODES = {ord(op.code): op for op in pickletools.opcodes}
_SIZES = {
    code: op.arg.n if op.arg else 0 for code, op in _OPCODES.items()
}  # bytes of the argument; negative: see `_skip`

# The first opcode of every pickle but those of protocols 0 and 1.
_PROTO = b"\x80"

# A file of so many line feeds in so many bytes, each after a carriage return, was copied as text.
_MIN_LINES = 8
_LINE_END_BYTES = 1 << 20

# What separates the columns of a table in its first line, and how much of that line a message shows.
_SEPARATORS = (",", ";", "\t")
_MAX_LETTERS = 20

# Largest number of tuples that could contain other tuples. A C stack of 8 MB suffices to hash twice that depth.
_MAX_NESTED_TUPLES = 50_000

# Largest number of sets: one byte of a pickle creates one, which takes 200 bytes of memory.
_MAX_SETS = 10_000

# Largest number of integers beyond 32 bits: they can all have the same hash, and a dict of many such takes hours.
_MAX_LONGS = 10_000


def _pattern() -> re.Pattern[bytes]:
    """A pattern for runs of opcodes that need no check, so that the scan of a large file takes one match per run.

    These are unchecked opcodes of known size, and tuples that cannot contain another tuple.
    """
    # Tuples of one to three small integers, such as shapes and the state of dtypes.
    integer = rb"(?:K.|M..|J....)"
    shapes = b"|".join(integer + b"{%d}" % n + code for n, code in ((1, rb"\x85"), (2, rb"\x86"), (3, rb"\x87")))
    # Arguments and states, memoised or not: they are consumed at once, by a stand-in that checks them.
    arguments = rb"[t\x85-\x87](?=(?:\x94|q.|r....)?[Rb])"
    sizes = sorted({size for size in _SIZES.values() if size >= 0})
    fixed = b"|".join(_unchecked_opcodes(size) + b".{%d}" % size for size in sizes)
    line = _unchecked_opcodes(pickletools.UP_TO_NEWLINE) + rb"[^\n]*+\n"
    # Possessive quantifiers: backtracking could take quadratic time.
    return re.compile(b"(?:%b)*+" % b"|".join((shapes, arguments, fixed, line)), re.DOTALL)


def _unchecked_opcodes(size: int) -> bytes:
    """A character class of the opcodes that need no check and have an argument of this size."""
    codes = []
    for code, op in _OPCODES.items():
        if _SIZES[code] == size and op.name not in _FORBIDDEN | _CHECKED:
            codes.append(b"\\x%02x" % code)
    return b"[" + b"".join(codes) + b"]"


_RUN = _pattern()


def scan_file(file: BinaryIO) -> None:
    """Scan the opcodes of a pickle up to the last one, and leave the file at its start.

    Raises:
        DamagedError: The pickle has no last opcode, or bytes that are no opcode.
        RefusedError: An opcode is never needed for plain data, or would take more memory than the file is large.
    """
    start = file.read(4)
    file.seek(0)
    if not start:
        raise DamagedError("it is empty")
    if start == b"PK\x03\x04":  # whose bytes are misunderstood as references to other files
        raise DamagedError("it is a zip archive", "unpack it and give the file inside")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _check_line_ends(content)
        try:
            end = scan(content)
        except DamagedError as error:
            raise _as_table(content[:_LINE_END_BYTES]) or error from None
        if content[end : end + 1] == _PROTO:
            raise DamagedError("it holds several pickles one after the other", "store their objects as one dict")


def _check_line_ends(content: mmap.mmap) -> None:
    """Refuse a file that was copied as text, which put a carriage return before every line feed."""
    start = content[:_LINE_END_BYTES]
    lines = start.count(b"\n")
    if lines >= _MIN_LINES and lines == start.count(b"\r\n"):
        remedy = "copy it again as binary (for git, '*.pkl -text' in .gitattributes)"
        raise DamagedError("its line ends were changed to those of Windows, as if it were text", remedy)


def _as_table(start: bytes) -> DamagedError | None:
    """The error for a table as text, such as CSV; None for other bytes, which pickles of protocol 0 may be."""
    first, *_ = start.decode("utf-8", errors="replace").splitlines() or [""]
    is_table = first.replace("\t", " ").isprintable() and any(separator in first for separator in _SEPARATORS)
    if not is_table and not first.startswith(("[", "{")):
        return None
    remedy = "store features and labels as NumPy arrays in a pickle; docs/data.md lists the layouts that are read"
    return DamagedError(f"it is text that begins with {first[:_MAX_LETTERS]!r}", remedy)


def scan(content: mmap.mmap | bytes) -> int:
    """Scan the opcodes of a pickle in memory up to the last one, and give the position after it.

    Raises:
        DamagedError: The pickle has no last opcode, or bytes that are no opcode.
        RefusedError: An opcode is never needed for plain data, or would take more memory than the pickle is large.
    """
    position = 0
    counts = _Counts()
    while True:
        run = _RUN.match(content, position)
        if run:
            position = run.end()
        if position >= len(content):
            raise DamagedError(f"it ends too early, at byte {len(content)}")
        op = _OPCODES.get(content[position])
        if op is None:
            raise DamagedError(f"byte {position} is no instruction of a pickle")
        if op.name in _FORBIDDEN:
            raise RefusedError(f"uses the instruction {op.name}")
        if op.name == "STOP":
            return position + 1
        end = _skip(content, position)
        if op.name in _CHECKED:
            _check_cost(op.name, content[position + 1 : end], len(content))
            counts.add(op.name)
        position = end


@dataclass
class _Counts:
    """Numbers of opcodes that are cheap one by one and expensive together."""

    tuples: int = 0
    sets: int = 0
    longs: int = 0

    def add(self, name: str) -> None:
        """Count an opcode, and refuse the pickle if there are too many of its kind."""
        if name.startswith("TUPLE"):
            self.tuples += 1
        elif name == "EMPTY_SET":
            self.sets += 1
        elif name.startswith("LONG") and name != "LONG_BINPUT":
            self.longs += 1
        if self.tuples > _MAX_NESTED_TUPLES:
            raise RefusedError(f"nests more than {_MAX_NESTED_TUPLES} tuples")
        if self.sets > _MAX_SETS:
            raise RefusedError(f"creates more than {_MAX_SETS} sets")
        if self.longs > _MAX_LONGS:
            raise RefusedError(f"holds more than {_MAX_LONGS} integers beyond 32 bits outside of arrays")


def _skip(content: mmap.mmap | bytes, position: int) -> int:
    """The position of the opcode after the one at `position`."""
    op = _OPCODES[content[position]]
    size = _SIZES[content[position]]
    argument = position + 1
    if size == pickletools.UP_TO_NEWLINE:
        end = content.find(b"\n", argument) + 1
        if op.name in ("GLOBAL", "INST") and end:  # module and name, a line each
            end = content.find(b"\n", end) + 1
        end = end or len(content) + 1  # no newline: beyond the end
    elif size >= 0:
        end = argument + size
    else:  # the argument starts with its length, in 1, 4 or 8 bytes
        width = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}.get(size, 4)
        start = argument + width
        is_signed = size == pickletools.TAKEN_FROM_ARGUMENT4
        end = start + int.from_bytes(content[argument:start], "little", signed=is_signed)
        if end < start:
            raise DamagedError(f"byte {position} has a negative length")
    if end > len(content):
        raise DamagedError(f"it ends too early, at byte {len(content)}")
    return end


def _check_cost(name: str, argument: bytes, file_bytes: int) -> None:
    """Refuse a memo index or a frame that exceeds the file: the unpickler reserves memory for it at once."""
    if name == "FRAME" and int.from_bytes(argument, "little") > file_bytes:
        raise DamagedError(f"it ends too early, at byte {file_bytes}")
    if "PUT" in name:
        index = int(argument) if name == "PUT" else int.from_bytes(argument, "little")  # PUT is decimal text
        if index > file_bytes:
            raise RefusedError("needs more memory than the file is large")
