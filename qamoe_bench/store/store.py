"""The store: runs with their manifests, predictions and checkpoints, each file written whole or not at all.

    runs/<run-id>/run.json                      what was asked for, and what it ran on
                  predictions/<cell>.parquet    one row per (condition, sample); the cell's facts are in its metadata
                  checkpoints/<key>.safetensors
                  index.parquet                 of many cells: their metadata again, see `qamoe_bench.store.index`

Nothing is locked: a file is written beside its place under a name of its own and renamed, and equal keys mean equal
contents, so two runs into one store can at worst do the same work twice.
"""

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.store.cell import SCHEMA, Cell, CellFacts
from qamoe_bench.store.index import Head, file_names, heads

if TYPE_CHECKING:
    import pandas as pd

METADATA_KEY = b"qamoe_bench"
FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Cell, CellFacts)}
WORDS = ("id", "condition")
"""Columns of few different strings."""


@dataclass(frozen=True)
class StoredCell:
    """A finished cell in a store: its identity and facts at once, its columns, by their `names`, on demand."""

    path: Path
    cell: Cell
    facts: CellFacts
    names: frozenset[str]

    @property
    def predictions(self) -> "pd.DataFrame":
        """One row per (draw, condition, sample), conditions in order, samples in the split's order."""
        with pq.ParquetFile(self.path, read_dictionary=WORDS) as file:
            frame: pd.DataFrame = file.read().to_pandas()
        return frame

    @cached_property
    def samples(self) -> tuple[str, ...]:
        """The ids of the samples, in order."""
        with pq.ParquetFile(self.path, read_dictionary=WORDS) as file:
            ids = file.read(columns=["id"]).column("id").unify_dictionaries().combine_chunks()
        return tuple(ids.dictionary.to_pylist() if pa.types.is_dictionary(ids.type) else dict.fromkeys(ids.to_pylist()))

    def column(self, name: str) -> NDArray[Any]:
        """One column of numbers as (V, C, N): draws, conditions in order, samples in order."""
        return self.columns([name])[name]

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Several columns in one pass over the file."""
        with pq.ParquetFile(self.path) as file:
            table = file.read(columns=list(names), use_threads=False)
            shape = self._draws(file.metadata), len(self.facts.conditions), -1
        # Arrow's own to_numpy would import pandas.
        flat = {name: np.concatenate([np.from_dlpack(c) for c in table.column(name).chunks]) for name in names}
        return {name: values.reshape(shape) for name, values in flat.items()}

    def _draws(self, about: pq.FileMetaData) -> int:
        """V, from what the file says of its columns: draws are numbered from 0."""
        columns = [about.row_group(about.num_row_groups - 1).column(i) for i in range(about.num_columns)]
        return next((c.statistics.max + 1 for c in columns if c.path_in_schema == "draw"), 1)


class Store:
    """A results folder; who reads it keeps an index of each large run there, unless told not to."""

    def __init__(self, root: Path, *, keeps_index: bool = True) -> None:
        self.root = root
        self.runs = root / "runs"
        self._keeps_index = keeps_index

    def prepare(self, run_id: str) -> None:
        """Make the folders of a run, see that they can be written to, and sweep up after runs that were killed."""
        folder = self.runs / run_id
        try:
            for part in ("predictions", "checkpoints"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        write_atomic(folder / "writable", b"")
        (folder / "writable").unlink(missing_ok=True)
        _sweep(folder)

    def write_manifest(self, run_id: str, manifest: Mapping[str, Any]) -> None:
        """Write a run's manifest, unless it is there."""
        path = self.runs / run_id / "run.json"
        if not path.exists():
            content = {"schema": SCHEMA, "run": run_id, **manifest}
            write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")

    def write_cell(self, run_id: str, cell: Cell, facts: CellFacts, columns: Mapping[str, Any]) -> None:
        """Write a finished cell."""
        about = {"schema": SCHEMA, "key": cell.key, "cell": asdict(cell), "facts": asdict(facts)}
        table = pa.table(dict(columns))
        # Numbers hardly repeat: a dictionary of them would only add to the file. Level 12 finds what conditions have in
        # common, and higher ones no more. Arrow's own schema would hold the metadata a second time.
        words = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        settings = {"compression": "zstd", "compression_level": 12, "use_dictionary": words or False}
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, table.schema, store_schema=False, write_statistics=["draw"], **settings) as writer:
            writer.add_key_value_metadata({METADATA_KEY: json.dumps(about)})
            writer.write_table(table)
        write_atomic(self.runs / run_id / "predictions" / cell.file_name, sink.getvalue().to_pybytes())

    def find_cell(self, cell: Cell) -> Path | None:
        """The file of a finished cell, in whichever run."""
        return next(self.runs.glob(f"*/predictions/{cell.file_name}"), None)

    def find_checkpoint(self, key: str) -> Path | None:
        """The file of trained weights, in whichever run."""
        return next(self.runs.glob(f"*/checkpoints/{key}.safetensors"), None)

    def checkpoint_path(self, run_id: str, key: str) -> Path:
        """Where a run keeps trained weights."""
        return self.runs / run_id / "checkpoints" / f"{key}.safetensors"

    def manifests(self) -> list[dict[str, Any]]:
        """The manifest of every run, in order of run id; empty where there is no store yet."""
        return [_read_manifest(path) for path in sorted(self.runs.glob("*/run.json"))]

    def cells(self) -> list[StoredCell]:
        """Every finished cell of every run, each once."""
        found, save = {}, _write_if_possible if self._keeps_index else _leave
        for folder in self._folders():
            known = heads(folder, ".parquet", folder.parent / "index.parquet", _read_head, save)
            found.update({name: _as_cell(folder / name, head) for name, head in known.items()})
        return list(found.values())

    def finished(self) -> set[str]:
        """The keys of the finished cells, from the names of their files alone."""
        files = (name for folder in self._folders() for name in file_names(folder, ".parquet"))
        return {name.removesuffix(".parquet").rpartition("-")[2] for name in files}

    def _folders(self) -> list[Path]:
        return sorted(self.runs.glob("*/predictions"))


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and durably; any failure is a `BenchError` that leaves nothing behind."""
    try:
        try:
            _write_and_rename(path, content)
        except FileNotFoundError:
            # On a network folder the answer to a rename may be lost and the second try of it fail; and a machine of
            # the same name, which cannot see this process alive, may have swept up its file.
            _write_and_rename(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def _write_and_rename(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> BenchError:
    reason = error.strerror or str(error)
    return BenchError(f"cannot write {path} ({reason}); free space, or name a place that can be written to")


def _sweep(folder: Path) -> None:
    """Remove temporary files of processes of this machine that are no more."""
    for temporary in folder.rglob(".*.tmp"):
        *_, host, pid, _, _ = ("." * 4 + temporary.name).rsplit(".", 4)
        if host == socket.gethostname() and pid.isdigit() and not is_alive(int(pid)):
            temporary.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine is running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"run manifest {path}: cannot be read ({error}); remove that run's folder") from error
    _check_schema(path, manifest.get("schema"))
    return manifest


def _read_head(path: Path) -> Head:
    try:
        schema = pq.read_schema(path)
        return Head((schema.metadata or {})[METADATA_KEY].decode(), tuple(schema.names))
    except (OSError, KeyError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise _not_ours(path, error) from error


def _as_cell(path: Path, head: Head) -> StoredCell:
    try:
        about = json.loads(head.about)
    except ValueError as error:
        raise _not_ours(path, error) from error
    _check_schema(path, about.get("schema"))
    cell, facts = Cell(**_known(Cell, about["cell"])), CellFacts(**_known(CellFacts, about["facts"]))
    return StoredCell(path, cell, facts, frozenset(head.names))


def _not_ours(path: Path, error: Exception) -> BenchError:
    return BenchError(f"predictions {path}: not a file of this store ({error}); remove it and run again")


def _write_if_possible(path: Path, content: bytes) -> None:
    with suppress(BenchError):  # of a full disk, or a store that may only be read
        write_atomic(path, content)


def _leave(path: Path, content: bytes) -> None:
    """Write nothing."""


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; what a later one added is passed over."""
    return {name: values[name] for name in FIELDS[kind] if name in values}


def _check_schema(path: Path, schema: object) -> None:
    if not isinstance(schema, int) or schema > SCHEMA:
        raise BenchError(f"{path}: expected schema {SCHEMA} or older, got {schema!r}; update qamoe-bench to read it")
