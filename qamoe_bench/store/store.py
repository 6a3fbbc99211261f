"""A results folder: runs with their manifests, predictions and checkpoints.

    runs/<run-id>/run.json                      the request, and the software and hardware that ran it
                  predictions/<cell>.parquet    one row per (draw, condition, sample); the cell's facts are metadata
                  checkpoints/<key>.safetensors
                  index.parquet                 cache of the metadata of many cells, see `qamoe_bench.store.index`
                  failures/<cell>.json          see `qamoe_bench.store.failures`
                  selection/<cell>.parquet      see `qamoe_bench.store.selection`

Files of other names are not part of a store: what file managers, clouds and version control leave in a folder is not
read, and copies of a run or of a cell count once.

Nothing is locked. Every file is written under a temporary name and renamed (`qamoe_bench.store.atomic`), and equal keys
mean equal contents, so two runs that write to one store at most do the same work twice.

Dimension legend: V draws, C conditions, N samples.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import cannot_read, cannot_write, no_permission
from qamoe_bench.store.atomic import remove_abandoned, write_atomic
from qamoe_bench.store.cell import SCHEMA, Cell, CellFacts, key_in
from qamoe_bench.store.index import FileHeader, file_names, read_headers

if TYPE_CHECKING:
    import pandas as pd

METADATA_KEY = b"qamoe_bench"
"""Key of the metadata of a Parquet file under which a cell and its facts are stored."""
REPETITIVE_COLUMNS = ("id", "condition")
"""Columns of few distinct strings, which are read and written as dictionaries."""
COMPRESSION_LEVEL = 12
"""Of zstd: finds the repetitions between conditions; higher levels are slower and save nothing more."""


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


class Store:
    """A results folder.

    Args:
        root: The folder; it need not exist until something is written.
        keeps_index: Whether `cells` may write an index next to each large run, to speed up later reads.

    Examples:
        >>> store = qamoe_bench.Store("empty")
        >>> store.cells()
        []
    """

    def __init__(self, root: Path | str, *, keeps_index: bool = True) -> None:
        self.root = Path(root)
        self.runs = self.root / "runs"
        self._keeps_index = keeps_index
        self._prepared: set[str] = set()  # runs that this process writes to

    def prepare(self, run_id: str) -> None:
        """Create the folders of a run, check that they are writable, and remove abandoned temporary files.

        Raises:
            BenchError: If the folders cannot be created or written to.
        """
        folder = self.runs / run_id
        try:
            for part in ("predictions", "checkpoints"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        # Creating folders does not prove that files fit on the disk, so write one before hours of work.
        probe = folder / "writable"
        write_atomic(probe, b"")
        probe.unlink(missing_ok=True)
        remove_abandoned(folder)
        self._prepared.add(run_id)

    def write_manifest(self, run_id: str, manifest: Mapping[str, Any]) -> None:
        """Write the manifest of a run, unless it exists.

        Raises:
            BenchError: If it cannot be written.
        """
        path = self.runs / run_id / "run.json"
        if not path.exists():  # the run id is a hash of the cells' keys, so an existing manifest describes the same run
            content = {"schema": SCHEMA, "run": run_id, **manifest}
            write_atomic(path, json_bytes(content))

    def write_cell(self, run_id: str, cell: Cell, facts: CellFacts, columns: Mapping[str, Any]) -> None:
        """Write a finished cell.

        Args:
            run_id: A run that `prepare` has created folders for.
            cell: Identity of the cell.
            facts: Facts to record with it.
            columns: Arrow arrays of equal length, one value per (draw, condition, sample).

        Raises:
            BenchError: If it cannot be written.
        """
        about = {"schema": SCHEMA, "key": cell.key, "cell": asdict(cell), "facts": asdict(facts)}
        table = pa.table(dict(columns))
        # Numbers rarely repeat: a dictionary of them would only add to the file.
        dictionaries = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            table.schema,
            store_schema=False,  # Arrow's schema would hold the metadata a second time
            write_statistics=["draw"],  # gives the number of draws without reading the column
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=dictionaries or False,
        ) as writer:
            writer.add_key_value_metadata({METADATA_KEY: json.dumps(about)})
            writer.write_table(table)
        write_atomic(self.runs / run_id / "predictions" / cell.file_name, sink.getvalue().to_pybytes())

    def find_cell(self, cell: Cell) -> Path | None:
        """The file of a finished cell in any run, or None."""
        return self._find("predictions", cell.file_name)

    def read_cell(self, cell: Cell) -> StoredCell | None:
        """A finished cell, looked up by name, or None.

        Unlike `cells`, it does not depend on listings of folders, which lag behind on network file systems.

        Raises:
            BenchError: If the file cannot be read or is of a newer schema.
        """
        path = self.find_cell(cell)
        return None if path is None else _as_cell(path, _read_header(path))

    def find_checkpoint(self, key: str) -> Path | None:
        """The file of trained weights in any run, or None."""
        return self._find("checkpoints", f"{key}.safetensors")

    def checkpoint_path(self, run_id: str, key: str) -> Path:
        """The path at which a run stores trained weights."""
        return self.runs / run_id / "checkpoints" / f"{key}.safetensors"

    def manifests(self, run_ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """The manifest of every run, in order of run ids, or of these runs; empty if the store does not exist.

        Raises:
            BenchError: If a manifest cannot be read or is of a newer schema.
        """
        manifests: dict[str, dict[str, Any]] = {}
        for run_id in self._run_ids() if run_ids is None else run_ids:
            path = self.runs / run_id / "run.json"
            if _exists(path):
                manifest = _read_manifest(path)
                manifests.setdefault(manifest.get("run", run_id), manifest)  # once, if a folder was copied
        return list(manifests.values())

    def cells(self) -> list[StoredCell]:
        """Every finished cell of every run; a cell that several runs contain is listed once.

        Raises:
            BenchError: If a file cannot be read or is of a newer schema.
        """
        save = _write_if_possible if self._keeps_index else _do_not_write
        cells = {}
        for folder in self._prediction_folders():
            headers = read_headers(folder, _is_cell, folder.parent / "index.parquet", _read_header, save)
            for name, header in headers.items():  # the file name contains the key
                cells[name] = _as_cell(folder / name, header)
        return list(cells.values())

    def require_cells(self) -> list[StoredCell]:
        """As `cells`, for callers that cannot work without any.

        Raises:
            BenchError: If there is no finished cell, or if a file cannot be read.
        """
        cells = self.cells()
        if not cells:
            raise BenchError(f"no finished cells in {self.runs}: expected a store; run 'qamoe-bench run' first")
        return cells

    def finished(self) -> set[str]:
        """The keys of the finished cells, taken from file names without opening any file."""
        keys = set()
        for folder in self._prediction_folders():
            keys |= {key_in(name) for name in file_names(folder, _is_cell)}
        return keys

    def ignored(self) -> list[Path]:
        """Parquet files among the predictions that have no name of a cell, such as copies that a cloud made."""
        paths = []
        for folder in self._prediction_folders():
            paths += [folder / name for name in file_names(folder, _is_misnamed)]
        return paths

    def _prediction_folders(self) -> list[Path]:
        return [self.runs / run_id / "predictions" for run_id in self._run_ids()]

    def _run_ids(self) -> list[str]:
        """Names of the folders of all runs, sorted."""
        try:
            with os.scandir(self.runs) as entries:
                names = {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()}
        except (FileNotFoundError, NotADirectoryError):
            names = set()
        except PermissionError as error:
            raise no_permission("results folder", self.runs) from error
        # A listing on a network file system may not show a new folder yet.
        return sorted(names | {run_id for run_id in self._prepared if _exists(self.runs / run_id)})

    def _find(self, part: str, name: str) -> Path | None:
        """A file of a part of any run, or None; what another user does not let this one see is not there."""
        for run_id in self._run_ids():
            path = self.runs / run_id / part / name
            if os.path.exists(path):  # unlike Path.exists, False without permission  # noqa: PTH110
                return path
        return None


def _draws_in(metadata: pq.FileMetaData) -> int:
    """V, from the statistics of the draw column: draws are numbered from 0, and the last row group has the last."""
    last = metadata.row_group(metadata.num_row_groups - 1)
    for index in range(metadata.num_columns):
        column = last.column(index)
        if column.path_in_schema == "draw":
            return int(column.statistics.max) + 1
    return 1


def json_bytes(content: object) -> bytes:
    """Readable JSON in UTF-8; parts of names that are no valid text become escapes, which JSON reads back."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _is_cell(name: str) -> bool:
    return name.endswith(".parquet") and bool(key_in(name))


def _is_misnamed(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".") and not key_in(name)


def _exists(path: Path) -> bool:
    """Whether a path exists.

    Raises:
        BenchError: If another user does not let this one look.
    """
    try:
        return path.exists()
    except PermissionError as error:
        raise no_permission("results folder", path.parent) from error


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


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        # From bytes, so that a byte-order mark and line ends of Windows are read as well.
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        schema = manifest.get("schema")
    except (OSError, ValueError, AttributeError) as error:  # AttributeError if it is JSON, but no object
        raise cannot_read("run manifest", path, error, "cannot be read ({reason}); remove that run's folder") from error
    _check_schema(path, schema)
    return manifest


def _read_header(path: Path) -> FileHeader:
    try:
        schema = pq.read_schema(_source(path))
        return FileHeader((schema.metadata or {})[METADATA_KEY].decode(), tuple(schema.names))
    except (OSError, KeyError, ValueError) as error:  # pyarrow's exceptions derive from ValueError
        raise _not_a_cell(path, error) from error


def _as_cell(path: Path, header: FileHeader) -> StoredCell:
    try:
        about = json.loads(header.metadata)
    except ValueError as error:
        raise _not_a_cell(path, error) from error
    _check_schema(path, about.get("schema"))
    cell = Cell(**_known_fields(Cell, about["cell"]))
    facts = CellFacts(**_known_fields(CellFacts, about["facts"]))
    return StoredCell(path, cell, facts, frozenset(header.columns))


def _not_a_cell(path: Path, error: Exception) -> BenchError:
    return cannot_read("predictions", path, error, "not a file of this store ({reason}); remove it and run again")


def _write_if_possible(path: Path, content: bytes) -> None:
    with suppress(BenchError):  # a full disk or a read-only store must not prevent reading
        write_atomic(path, content)


def _do_not_write(path: Path, content: bytes) -> None:
    """Ignore the index."""


# Computed once: a store may hold many thousands of cells.
_FIELDS: Mapping[type, tuple[str, ...]] = {
    Cell: tuple(field.name for field in fields(Cell)),
    CellFacts: tuple(field.name for field in fields(CellFacts)),
}


def _known_fields(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version defines; fields of later versions are ignored."""
    return {name: values[name] for name in _FIELDS[kind] if name in values}


def _check_schema(path: Path, schema: object) -> None:
    if not isinstance(schema, int) or schema > SCHEMA:
        raise BenchError(f"{path}: expected schema {SCHEMA} or older, got {schema!r}; update qamoe-bench to read it")
