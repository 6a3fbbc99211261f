"""A finished cell in a store, whose predictions stay on disk until they are accessed.

Dimension legend: V draws, C conditions, N samples.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_read
from qamoe_bench.store.cell import SCHEMA, Cell, CellFacts
from qamoe_bench.store.index import FileHeader

if TYPE_CHECKING:
    import pandas as pd

METADATA_KEY = b"qamoe_bench"
"""Key of the metadata of a Parquet file under which a cell and its facts are stored."""
REPETITIVE_COLUMNS = ("id", "condition")
"""Columns of few distinct strings, which are read and written as dictionaries."""


@dataclass(frozen=True)
class StoredCell:
    """A finished cell in a store. Predictions stay on disk until they are accessed.

    Attributes:
        path: The file.
        cell: Identity of the cell.
        facts: Facts that were recorded with it.
        names: Names of its columns.
    """

    path: Path
    cell: Cell
    facts: CellFacts
    names: frozenset[str]

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
            ids = file.read(columns=["id"]).column("id").unify_dictionaries().combine_chunks()
        if pa.types.is_dictionary(ids.type):
            return tuple(ids.dictionary.to_pylist())
        return tuple(dict.fromkeys(ids.to_pylist()))  # distinct values in order

    def column(self, name: str) -> NDArray[Any]:
        """One numeric column, (V, C, N)."""
        return self.columns([name])[name]

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Several numeric columns, each (V, C, N), in one pass over the file."""
        with _opened(self.path) as file:
            table = file.read(columns=list(names), use_threads=False)
            shape = (_draws_in(file.metadata), len(self.facts.conditions), -1)
        arrays = {}
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
    """The metadata of a file of predictions and the names of its columns.

    Raises:
        BenchError: If it cannot be read or is no such file.
    """
    try:
        schema = pq.read_schema(_source(path))
        return FileHeader((schema.metadata or {})[METADATA_KEY].decode(), tuple(schema.names))
    except (OSError, KeyError, ValueError) as error:  # pyarrow's exceptions derive from ValueError
        raise _not_a_cell(path, error) from error


def as_cell(path: Path, header: FileHeader) -> StoredCell:
    """The cell of a file.

    Raises:
        BenchError: If the header is none of a cell, or of a newer schema.
    """
    try:
        about = json.loads(header.metadata)
    except ValueError as error:
        raise _not_a_cell(path, error) from error
    check_schema(path, about.get("schema"))
    cell = Cell(**_known_fields(Cell, about["cell"]))
    facts = CellFacts(**_known_fields(CellFacts, about["facts"]))
    return StoredCell(path, cell, facts, frozenset(header.columns))


def check_schema(path: Path, schema: object) -> None:
    """Check that this version can read a file of this schema.

    Raises:
        BenchError: If it cannot.
    """
    if not isinstance(schema, int) or schema > SCHEMA:
        raise BenchError(f"{path}: expected schema {SCHEMA} or older, got {schema!r}; update qamoe-bench to read it")


def _draws_in(metadata: pq.FileMetaData) -> int:
    """V, from the statistics of the draw column: draws are numbered from 0, and the last row group has the last."""
    last = metadata.row_group(metadata.num_row_groups - 1)
    for index in range(metadata.num_columns):
        column = last.column(index)
        if column.path_in_schema == "draw":
            return int(column.statistics.max) + 1
    return 1


def _source(path: Path) -> Path | pa.BufferReader:
    """What Arrow can read a file from: paths that are no valid text (in locale C, or from old disks) it cannot open."""
    return path if _is_text(path) else pa.BufferReader(path.read_bytes())


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _opened(path: Path, **options: Any) -> Iterator[pq.ParquetFile]:
    """A file of predictions; errors while it is read name it."""
    try:
        with pq.ParquetFile(_source(path), **options) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise _not_a_cell(path, error) from error


def _not_a_cell(path: Path, error: Exception) -> BenchError:
    return cannot_read("predictions", path, error, "not a file of this store ({reason}); remove it and run again")


# Computed once: a store may hold many thousands of cells.
_FIELDS: Mapping[type, tuple[str, ...]] = {
    Cell: tuple(field.name for field in fields(Cell)),
    CellFacts: tuple(field.name for field in fields(CellFacts)),
}


def _known_fields(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version defines; fields of later versions are ignored."""
    return {name: values[name] for name in _FIELDS[kind] if name in values}
