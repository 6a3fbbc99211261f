"""What the files of a folder say of themselves in front, kept in one file, so that a large store is not opened whole.

An index is a cache and nothing more. Every line carries the size, time and number (inode) of the file that it was read
from; a line whose file has others, or is gone, does not count, and neither does an index that cannot be read. It is
written beside its place and renamed, by whoever read many files anew and is allowed to; the last one wins. Who only
adds files need not know of it, and nothing is locked.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MANY = 64
"""Files read anew from which on the next reader is spared them."""
FORMAT = b"qamoe_bench_index"
VERSION = b"1"
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Head:
    """What a file says of itself.

    Attributes:
        about: Its metadata, as text.
        names: Its columns.
    """

    about: str
    names: tuple[str, ...]


def heads(
    folder: Path, ending: str, index: Path, read: Callable[[Path], Head], write: Callable[[Path, bytes], None]
) -> Mapping[str, Head]:
    """The head of every file of a folder, by file name, in order of names.

    Args:
        folder: Where the files are; empty where there is none.
        ending: What the names of its files end with.
        index: The file to keep heads in.
        read: Reads a head from a file; what it raises is passed on.
        write: Writes the index, if it can.
    """
    stamps = _stamps(folder, ending)
    known = {name: head for name, (stamp, head) in _load(index).items() if stamps.get(name) == stamp}
    found = {name: known.get(name) or read(folder / name) for name in sorted(stamps)}
    if len(found) - len(known) >= MANY:
        write(index, _packed((name, stamps[name], head) for name, head in found.items()))
    return found


def file_names(folder: Path, ending: str) -> list[str]:
    """The names of the files, which is all that some questions need."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(ending))
    except FileNotFoundError:
        return []


def _stamps(folder: Path, ending: str) -> dict[str, Stamp]:
    found = {}
    for name in file_names(folder, ending):
        with suppress(FileNotFoundError):  # somebody removes the run meanwhile
            status = (folder / name).stat()
            found[name] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def _load(index: Path) -> dict[str, tuple[Stamp, Head]]:
    try:
        with pq.ParquetFile(index) as packed:
            table = packed.read(use_threads=False)
        if (table.schema.metadata or {}).get(FORMAT) != VERSION:
            return {}
        columns = [table.column(name).to_pylist() for name in ("file", "size", "time", "number", "about", "names")]
    except (OSError, ValueError, KeyError):  # pyarrow's own errors are ValueErrors
        return {}
    return {
        file: ((size, time, number), Head(about, tuple(names)))
        for file, size, time, number, about, names in zip(*columns, strict=True)
    }


def _packed(lines: Iterable[tuple[str, Stamp, Head]]) -> bytes:
    rows = [
        {"file": file, "size": size, "time": time, "number": number, "about": head.about, "names": head.names}
        for file, (size, time, number), head in lines
    ]
    numbers = [(name, pa.uint64()) for name in ("size", "time", "number")]
    schema = pa.schema([("file", pa.string()), *numbers, ("about", pa.string()), ("names", pa.list_(pa.string()))])
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema.with_metadata({FORMAT: VERSION}))
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
