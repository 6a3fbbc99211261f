"""One file that caches the headers of all files in a folder, so that large stores open without reading every file.

The index is only a cache. Each entry carries the size, modification time and inode number of its file. An entry whose
file is missing or differs in one of them is ignored, and so is an index that cannot be read. The index is rewritten
after many cache misses if the folder is writable; the last writer wins. Writers of new files need not update it, and
nothing is locked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qamoe_bench.store.access import no_permission
from qamoe_bench.store.folder import file_names

REWRITE_AFTER = 64
"""Number of cache misses (files that had to be opened) from which on the index is rewritten."""
MANY_FOLDERS = 64
"""Number of folders from which on small ones have an index as well."""
REWRITE_SMALL_AFTER = 8
"""As `REWRITE_AFTER`, if there are many folders."""
FORMAT = b"qamoe_bench_index"
VERSION = b"2"
COLUMNS = ("file", "size", "time", "number", "about", "names", "samples")
"""Columns of the index: file name, the three parts of its `Stamp`, and the three parts of its `FileHeader`."""
Stamp = tuple[int, int, int]
"""Size in bytes, modification time in nanoseconds, and inode number of a file."""


@dataclass(frozen=True)
class FileHeader:
    """The part of a file that the index caches.

    Attributes:
        metadata: The file's own metadata, as text.
        columns: Names of its columns.
        samples: Digest of the samples that it is about.
    """

    metadata: str
    columns: tuple[str, ...]
    samples: str


def read_headers(
    folder: Path,
    is_wanted: Callable[[str], object],
    index: Path,
    read: Callable[[Path], FileHeader | None],
    write: Callable[[Path, bytes], None],
    folders: int = 1,
) -> Mapping[str, FileHeader]:
    """The header of every file of a folder, by file name, in order of names.

    Args:
        folder: Folder with the files; it need not exist.
        is_wanted: Whether a file of this name counts.
        index: Path of the index.
        read: Reads the header of one file, None for a file to leave out; its exceptions are passed on.
        write: Writes the index, if possible.
        folders: Number of folders that are read together.
    """
    stamps = _stamps(folder, is_wanted)
    cached = {}
    for name, (stamp, unchanged) in _load(index).items():
        if stamps.get(name) == stamp:  # the file has not changed since
            cached[name] = unchanged
    headers: dict[str, FileHeader] = {}
    for name in sorted(stamps):
        if (header := cached.get(name) or read(folder / name)) is not None:
            headers[name] = header
    misses = len(headers) - len(cached)
    # Few files are opened as fast as their index is, but those of many folders add up.
    if misses >= (REWRITE_AFTER if folders < MANY_FOLDERS else REWRITE_SMALL_AFTER):
        write(index, _packed((name, stamps[name], header) for name, header in headers.items()))
    return headers


def _stamps(folder: Path, is_wanted: Callable[[str], object]) -> dict[str, Stamp]:
    stamps = {}
    for name in file_names(folder, is_wanted):
        try:
            stamps[name] = stamp_of(folder / name)
        except FileNotFoundError:  # another process may remove the run meanwhile
            continue
        except PermissionError as error:  # a folder that may be listed, and not entered
            raise no_permission("predictions", folder / name) from error
    return stamps


def stamp_of(path: Path) -> Stamp:
    """What changes when the content of a file does."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _load(index: Path) -> dict[str, tuple[Stamp, FileHeader]]:
    """The entries of an index by file name; none if it is missing, damaged or of another version."""
    try:
        with pq.ParquetFile(index) as packed:
            table = packed.read(use_threads=False)  # threads take longer to start than this takes to read
        if (table.schema.metadata or {}).get(FORMAT) != VERSION:
            return {}
        columns = [table.column(name).to_pylist() for name in COLUMNS]
    except (OSError, ValueError, KeyError):  # pyarrow's exceptions derive from ValueError
        return {}
    entries = {}
    for file, size, time, number, metadata, names, samples in zip(*columns, strict=True):
        entries[file] = ((size, time, number), FileHeader(metadata, tuple(names), samples))
    return entries


def _packed(entries: Iterable[tuple[str, Stamp, FileHeader]]) -> bytes:
    """An index with these entries, as the bytes of a Parquet file."""
    rows = [(file, *stamp, header.metadata, header.columns, header.samples) for file, stamp, header in entries]
    numbers = [(name, pa.uint64()) for name in ("size", "time", "number")]
    texts = [("about", pa.string()), ("names", pa.list_(pa.string())), ("samples", pa.string())]
    schema = pa.schema([("file", pa.string()), *numbers, *texts])
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    table = pa.Table.from_pylist(records, schema.with_metadata({FORMAT: VERSION}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
