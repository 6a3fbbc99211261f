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

import copy
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.store.access import cannot_write
from qamoe_bench.store.agreement import distinct
from qamoe_bench.store.atomic import remove_abandoned, write_atomic
from qamoe_bench.store.cell import SCHEMA, Cell, CellFacts
from qamoe_bench.store.checksum import UNSEALED, seal
from qamoe_bench.store.contents import StoreContents, joined
from qamoe_bench.store.folder import ResultsFolder, file_names, is_cell_file, json_bytes
from qamoe_bench.store.identity import Damage
from qamoe_bench.store.index import FileHeader, Stamp, read_headers, stamp_of
from qamoe_bench.store.stored_cell import METADATA_KEY, DamagedCell, as_cell, read_header
from qamoe_bench.store.stored_cell import StoredCell as StoredCell
from qamoe_bench.store.verification import check_rows

COMPRESSION_LEVEL = 12
"""Of zstd: finds the repetitions between conditions; higher levels are slower and save nothing more."""


class Store(ResultsFolder):
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
        super().__init__(root)
        self._keeps_index = keeps_index
        self._listed: dict[str, dict[str, list[str]]] | None = None  # see `listed`: part, name of a file, runs

    def listed(self) -> "Store":
        """This store for looking up many cells or weights: the names of its files are listed once, when first needed.

        To look up one in a thousand runs takes a thousand questions to the file system. A file that another process
        adds later, or that a network folder lists too late, is not seen, unless `prepare` was called for its run.
        """
        store = copy.copy(self)
        store._listed = {}
        return store

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
            RunFailed: If the columns are not those of the conditions, see `qamoe_bench.store.verification`.
        """
        about = {"schema": SCHEMA, "key": cell.key, "cell": asdict(cell), "facts": asdict(facts)}
        table = pa.table(dict(columns))
        try:
            samples = check_rows(table, facts.conditions)
        except Damage as error:
            raise RunFailed(f"the predictions of {cell.label} cannot be stored: {error}") from error
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
            # The checksum is the first value, where `qamoe_bench.store.checksum` looks for it.
            about = {"checksum": UNSEALED, "samples": samples, **about}
            writer.add_key_value_metadata({METADATA_KEY: json.dumps(about)})
            writer.write_table(table)
        write_atomic(self.runs / run_id / "predictions" / cell.file_name, seal(sink.getvalue().to_pybytes()))

    def find_cell(self, cell: Cell) -> Path | None:
        """The file of a finished cell in any run, or None; a damaged file does not count.

        Raises:
            BenchError: If a file may not be read or is of a newer schema, or if two files of this key differ.
        """
        # By name: unlike `contents`, this needs no listings of folders, which lag behind on network file systems; see
        # `listed` for the exception.
        intact = []
        for path in self._all("predictions", cell.file_name):
            with suppress(FileNotFoundError):  # another process has just removed it
                if _is_intact(path, stamp_of(path)):
                    intact.append(path)
        if len(intact) > 1:
            distinct(as_cell(path, read_header(path)) for path in intact)
        return intact[0] if intact else None

    def read_cell(self, cell: Cell) -> StoredCell | None:
        """A finished cell, looked up by name, or None; errors as of `find_cell`."""
        path = self.find_cell(cell)
        return None if path is None else as_cell(path, read_header(path))

    def find_checkpoint(self, key: str) -> Path | None:
        """The file of trained weights in any run, or None."""
        return next(self.checkpoints(key), None)

    def checkpoints(self, key: str) -> Iterator[Path]:
        """The files of trained weights in all runs, whether or not they are damaged."""
        return self._all("checkpoints", f"{key}.safetensors")

    def checkpoint_path(self, run_id: str, key: str) -> Path:
        """The path at which a run stores trained weights."""
        return self.runs / run_id / "checkpoints" / f"{key}.safetensors"

    def files(self) -> StoreContents:
        """As `contents`, with every copy of a cell, and whether or not these agree with each other."""
        save = _write_if_possible if self._keeps_index else _do_not_write
        cells = []
        damaged: list[DamagedCell] = []

        def read(path: Path) -> FileHeader | None:
            try:
                return read_header(path)
            except FileNotFoundError:  # another process has removed the run meanwhile
                return None
            except DamagedCell as error:
                damaged.append(error)
                return None

        folders = self.prediction_folders()
        for folder in folders:
            index = folder.parent / "index.parquet"
            for name, header in read_headers(folder, is_cell_file, index, read, save, len(folders)).items():
                try:
                    cells.append(as_cell(folder / name, header))
                except DamagedCell as error:
                    damaged.append(error)
        return StoreContents(tuple(cells), tuple(damaged))

    def contents(self) -> StoreContents:
        """Every finished cell of every run, and the damaged files; a cell that several runs contain is listed once.

        Raises:
            BenchError: If a file may not be read or is of a newer schema, or if two files of one key differ.
        """
        return contents_of_stores([self])

    def cells(self) -> list[StoredCell]:
        """The cells of `contents`; damaged files are left out with a warning, and errors are as there."""
        contents = self.contents()
        for damage in contents.damaged:
            warnings.warn(damage.note, stacklevel=2)
        return list(contents.cells)

    def require_cells(self) -> list[StoredCell]:
        """As `cells`, for callers that cannot work without any.

        Raises:
            BenchError: If there is no finished cell, and as `contents`.
        """
        cells = self.cells()
        if not cells:
            raise no_cells(self)
        return cells

    def _all(self, part: str, name: str) -> Iterator[Path]:
        """The files of this name in a part of any run; what another user does not let this one see is not there."""
        for run_id in self.run_ids() if self._listed is None else self._runs_listing(part, name):
            path = self.runs / run_id / part / name
            if os.path.exists(path):  # unlike Path.exists, False without permission  # noqa: PTH110
                yield path

    def _runs_listing(self, part: str, name: str) -> list[str]:
        """The runs that list this file in a part, and those that this process writes to, sorted."""
        assert self._listed is not None
        if part not in self._listed:
            runs: dict[str, list[str]] = {}
            for run_id in self.run_ids():
                for file in file_names(self.runs / run_id / part, _is_stored):
                    runs.setdefault(file, []).append(run_id)
            self._listed[part] = runs
        return sorted({*self._listed[part].get(name, ()), *self._prepared})


def contents_of_stores(stores: Iterable[Store]) -> StoreContents:
    """The content of several stores, which are read as one; a cell that several of them contain is listed once.

    Raises:
        BenchError: If a file may not be read or is of a newer schema, or if two files of one key differ.
    """
    return joined(store.files() for store in stores)


def manifests_of(stores: Iterable[Store]) -> list[dict[str, Any]]:
    """The manifests of the runs of several stores; of a run that several of them contain, the first.

    Raises:
        BenchError: If a manifest cannot be read or is of a newer schema.
    """
    manifests: dict[object, dict[str, Any]] = {}
    for store in stores:
        for manifest in store.manifests():
            manifests.setdefault(manifest.get("run"), manifest)
    return list(manifests.values())


def no_cells(store: Store) -> BenchError:
    """The error for a store in which nothing can be used."""
    if store.root.is_file():
        return BenchError(f"{store.root}: expected a results folder, got a file; name the folder that --results wrote")
    if store.root.name == "runs" and any(store.root.glob("*/predictions")):
        parent = store.root.parent
        return BenchError(f"{store.root}: expected the folder above it, got its part 'runs'; use --results {parent}")
    return BenchError(f"no finished cells in {store.runs}: expected a store; run 'qamoe-bench run' first")


@lru_cache(maxsize=2**18)  # of the same stamp, a file is verified once in a process
def _is_intact(path: Path, stamp: Stamp) -> bool:
    try:
        as_cell(path, read_header(path))
    except (FileNotFoundError, DamagedCell):
        return False
    return True


def _is_stored(name: str) -> bool:
    return not name.startswith(".")


def _write_if_possible(path: Path, content: bytes) -> None:
    with suppress(BenchError):  # a full disk or a read-only store must not prevent reading
        write_atomic(path, content)


def _do_not_write(path: Path, content: bytes) -> None:
    """Ignore the index."""
