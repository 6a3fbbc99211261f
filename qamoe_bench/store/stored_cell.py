"""A finished cell in a store, whose predictions stay on disk until they are accessed.

Dimension legend: V draws, C conditions, N samples.
"""

import json
import marshal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_read, is_lfs_pointer, no_permission
from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.checksum import MARK, is_sealed, is_unchanged
from qamoe_bench.store.identity import Damage, check_metadata
from qamoe_bench.store.index import FileHeader
from qamoe_bench.store.verification import MOST_ROWS_PER_BYTE, check_rows, needed
from qamoe_bench.vocabulary import Task

if TYPE_CHECKING:
    import pandas as pd

METADATA_KEY = b"qamoe_bench"
"""Key of the metadata of a Parquet file under which a cell and its facts are stored."""
REPETITIVE_COLUMNS = ("id", "condition")
"""Columns of few distinct strings, which are read and written as dictionaries."""


class DamagedCell(BenchError):
    """A file of predictions that is not as a run has written it.

    Attributes:
        path: The file.
        reason: What is wrong, in words.
        note: The sentence for those who go on without it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        reason = " ".join(reason.split())  # those of pyarrow may have several lines
        super().__init__(f"predictions {path}: not a file of this store ({reason}); remove it and run again")
        self.path = path
        self.reason = reason
        self.note = f"not used: {path} ({reason}); remove it, and 'qamoe-bench run' computes it again"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)  # workers send errors to the process that started them


@dataclass(frozen=True)
class StoredCell:
    """A finished cell in a store. Predictions stay on disk until they are accessed.

    Attributes:
        path: The file.
        cell: Identity of the cell.
        facts: Facts that were recorded with it.
        names: Names of its columns.
        samples_digest: Digest of the ids and targets of its samples; empty for a cell in memory.
    """

    path: Path
    cell: Cell
    facts: CellFacts
    names: frozenset[str]
    samples_digest: str

    @property
    def task(self) -> Task:
        """What the labels say."""
        return Task.of(self.facts.task)

    @property
    def predictions(self) -> "pd.DataFrame":
        """One row per (draw, condition, sample): conditions in order, samples in the order of the split."""
        with _opened(self.path, read_dictionary=REPETITIVE_COLUMNS) as file:
            frame: pd.DataFrame = file.read().to_pandas()
        return frame

    @cached_property
    def samples(self) -> tuple[str, ...]:
        """The ids of the N samples, in order."""
        with _opened(self.path, read_dictionary=REPETITIVE_COLUMNS) as file:
            count = file.metadata.num_rows // (_draws_in(file.metadata) * len(self.facts.conditions))
            ids = file.read(columns=["id"], use_threads=False).column("id").slice(0, count)
        if not pa.types.is_dictionary(ids.type):
            return tuple(ids.to_pylist())
        # Arrow's own decoding would import its functions for computing, which takes longer than all of this.
        codes = ids.combine_chunks()
        words = codes.dictionary.to_pylist()
        return tuple(words[code] for code in codes.indices.to_pylist())

    def column(self, name: str) -> NDArray[Any]:
        """One numeric column, (V, C, N)."""
        return self.columns([name])[name]

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Several numeric columns, each (V, C, N), in one pass over the file."""
        arrays = {}
        with _opened(self.path) as file:
            table = file.read(columns=list(names), use_threads=False)
            shape = (_draws_in(file.metadata), len(self.facts.conditions), -1)
            for name in names:
                # Arrow's own to_numpy would import pandas, which takes longer than a small report.
                chunks = [np.from_dlpack(chunk) for chunk in table.column(name).chunks]
                arrays[name] = np.concatenate(chunks).reshape(shape)  # (V, C, N)
        return arrays

    def values(self, name: str) -> list[Any]:
        """Any column as Python's values, one per row."""
        with _opened(self.path) as file:
            values: list[Any] = file.read(columns=[name], use_threads=False).column(name).to_pylist()
        return values


def read_header(path: Path) -> FileHeader:
    """The header of a file of predictions whose checksum holds, or without one its rows.

    Raises:
        DamagedCell: If the file is damaged or is no such file.
        BenchError: If it may not be read, is a pointer of git-lfs, or is of a newer schema.
        FileNotFoundError: If it does not exist, as when another process has just removed it.
    """
    with _opened(path, read_dictionary=REPETITIVE_COLUMNS) as file:
        names = tuple(file.schema_arrow.names)
        text = _metadata(file)
        if text.encode().startswith(MARK):  # a checksum that holds: the rows were checked when they were written
            return FileHeader(text, names, "")
        stored = as_cell(path, FileHeader(text, names, ""))
        _check_count(path, file)
        table = file.read(columns=needed(names), use_threads=False)
        return FileHeader(text, names, check_rows(table, stored.facts.conditions))


def as_cell(path: Path, header: FileHeader) -> StoredCell:
    """The cell of a file.

    Raises:
        DamagedCell: If the header is none of a cell, or does not fit the name of the file.
        BenchError: If it is of a newer schema.
    """
    try:
        about = check_metadata(path, json.loads(header.metadata))
    except (ValueError, RecursionError, Damage) as error:
        raise DamagedCell(path, str(error)) from error
    # What many cells have in common is kept once: of a hundred thousand cells it would fill half a gigabyte.
    identity = {name: sys.intern(x) if type(x) is str else x for name, x in about["cell"].items()}
    cell = Cell(**_known_fields(Cell, identity))
    shared = {"conditions": _unmarshalled(marshal.dumps(about["facts"]["conditions"], 2))}
    facts = CellFacts(**_known_fields(CellFacts, about["facts"] | shared))
    samples = header.samples or str(about.get("samples", ""))
    return StoredCell(path, cell, facts, _frozen(tuple(header.columns)), samples)


@lru_cache(maxsize=256)
def _unmarshalled(content: bytes) -> Any:
    return marshal.loads(content)  # of bytes that this process has just made


@lru_cache(maxsize=256)
def _frozen(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


def check_whole(stored: StoredCell) -> None:
    """Check the rows of a cell from elsewhere, even if its checksum holds: anybody can compute one.

    Raises:
        DamagedCell: If the file is damaged.
    """
    with _opened(stored.path, read_dictionary=REPETITIVE_COLUMNS) as file:
        _check_count(stored.path, file)
        table = file.read(columns=needed(file.schema_arrow.names), use_threads=False)
        samples = check_rows(table, stored.facts.conditions)
        if samples != stored.samples_digest:
            raise Damage("its samples are not those that it records")


def _check_count(path: Path, file: pq.ParquetFile) -> None:
    """Refuse files that would fill the memory, before they are decoded."""
    rows = file.metadata.num_rows
    size = path.stat().st_size
    if rows > MOST_ROWS_PER_BYTE * size:
        raise Damage(f"it holds {rows} rows in {size} bytes")


def has_checksum(path: Path) -> bool:
    """Whether a file has a checksum; those of earlier versions do not."""
    return is_sealed(path.read_bytes())


@contextmanager
def _opened(path: Path, **options: Any) -> Iterator[pq.ParquetFile]:
    """A file of predictions whose checksum holds; errors while it is read name it."""
    try:
        # What is verified is what is decoded, even if the file changes meanwhile. Arrow cannot open every path either:
        # not those that are no valid text, in locale C or from old disks.
        content = path.read_bytes()
        if not is_unchanged(content):
            raise Damage("it was changed after it was written: its checksum does not hold")
        with pq.ParquetFile(pa.BufferReader(content), **options) as file:
            yield file
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise no_permission("predictions", path) from error
    except (OSError, ArithmeticError, BufferError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    except (pa.ArrowException, Damage) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BenchError:
    if is_lfs_pointer(path):
        return cannot_read("predictions", path, error, "")
    if isinstance(error, KeyError):  # of Arrow, with the name of the column in bytes
        return DamagedCell(path, f"it has no column {str(error).removeprefix('b')}")
    return DamagedCell(path, str(error))


def _metadata(file: pq.ParquetFile) -> str:
    metadata = file.metadata.metadata or {}
    if METADATA_KEY not in metadata:
        raise Damage("it has no metadata of a cell")
    return str(metadata[METADATA_KEY].decode())


def _draws_in(metadata: pq.FileMetaData) -> int:
    """V, from the statistics of the draw column: draws are numbered from 0, and the last row group has the last."""
    last = metadata.row_group(metadata.num_row_groups - 1)
    for index in range(metadata.num_columns):
        column = last.column(index)
        if column.path_in_schema == "draw" and column.statistics is not None:
            return int(column.statistics.max) + 1
    return 1


# Computed once: a store may hold many thousands of cells.
_FIELDS: Mapping[type, tuple[str, ...]] = {
    Cell: tuple(field.name for field in fields(Cell)),
    CellFacts: tuple(field.name for field in fields(CellFacts)),
}


def _known_fields(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version defines; fields of later versions are ignored."""
    return {name: values[name] for name in _FIELDS[kind] if name in values}
