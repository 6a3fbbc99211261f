"""Merging: the results of several stores are copied into one, cell by cell, and nothing is ever replaced.

Every file is written completely or not at all, and what is there already is left alone, so a merge that was interrupted
continues when it is repeated, and repeating a finished one changes nothing. Cells are compared before anything is
written, see `qamoe_bench.store.agreement`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qamoe_bench.store.access import cannot_read
from qamoe_bench.store.agreement import Distinct, conflict_error
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import key_in
from qamoe_bench.store.contents import StoreContents, with_common_samples
from qamoe_bench.store.folder import file_names
from qamoe_bench.store.selection import FOLDER as SELECTION
from qamoe_bench.store.store import Store, no_cells
from qamoe_bench.store.stored_cell import DamagedCell, StoredCell, check_whole


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge.

    Attributes:
        added: Number of cells that were copied, or with `dry_run` would be.
        present: Number of cells that were in the target already.
        damaged: Files of the sources that are damaged and were not copied.
    """

    added: int
    present: int
    damaged: tuple[DamagedCell, ...] = ()


def merge_stores(sources: Sequence[Store], into: Store, *, dry_run: bool = False) -> Merged:
    """Copy the cells of several stores into one, with the manifests, weights and curves of their runs.

    Args:
        sources: The stores to copy from; they are not changed.
        into: The store to copy to; it need not exist.
        dry_run: Whether to compare only and write nothing.

    Raises:
        BenchError: If a source has no cells or a cell cannot be read, if two cells of one key hold different results,
            or if the target cannot be written to. Nothing was written unless it is the last.
    """
    parts = _contents_of_each(sources)
    unique = Distinct()
    for stored in into.files().cells:
        unique.add(stored)
    before = {stored.cell.key for stored in unique.cells}
    offered = set()
    damaged: list[DamagedCell] = []
    for part in parts:
        damaged += part.damaged
        for stored in part.cells:
            unique.add(stored)
            offered.add(stored.cell.key)
    if unique.conflicts:
        raise conflict_error(unique.conflicts, "nothing was merged; ")
    together = with_common_samples(unique.cells)
    damaged += together.damaged
    added, not_whole = _split_by_rows(stored for stored in together.cells if stored.cell.key not in before)
    damaged += not_whole
    if not dry_run:
        for source in sources:
            _copy_runs(source, into)
        for stored in added:
            _copy(stored.path, into.runs / _run_of(stored) / "predictions" / stored.path.name)
    return Merged(len(added), len(offered & before), tuple(damaged))


def _contents_of_each(sources: Sequence[Store]) -> list[StoreContents]:
    parts = [source.files() for source in sources]
    for source, part in zip(sources, parts, strict=True):
        if not part.cells:
            raise no_cells(source)
    return parts


def _split_by_rows(cells: Iterable[StoredCell]) -> tuple[list[StoredCell], list[DamagedCell]]:
    """The cells whose rows are whole, even if their checksum was computed by others, and why the rest is not."""
    whole = []
    damaged = []
    for stored in cells:
        try:
            check_whole(stored)
            whole.append(stored)
        except DamagedCell as error:
            damaged.append(error)
    return whole, damaged


def _run_of(stored: StoredCell) -> str:
    return stored.path.parent.parent.name  # a cell lies in runs/RUN/predictions


def _copy_runs(source: Store, into: Store) -> None:
    """Make the run folders of a source, with what belongs to their cells."""
    weights = _names(into, "checkpoints", _is_weights)
    curves = {key_in(name) for name in _names(into, SELECTION, key_in)}
    for run_id in source.run_ids():
        folder = source.runs / run_id
        into.prepare(run_id)
        target = into.runs / run_id
        manifest = folder / "run.json"
        if manifest.exists() and not (target / "run.json").exists():
            _copy(manifest, target / "run.json")
        for name in file_names(folder / "checkpoints", _is_weights):
            if name not in weights:
                _copy(folder / "checkpoints" / name, target / "checkpoints" / name)
                weights.add(name)
        for name in file_names(folder / SELECTION, key_in):
            if key_in(name) not in curves:
                (target / SELECTION).mkdir(exist_ok=True)
                _copy(folder / SELECTION / name, target / SELECTION / name)
                curves.add(key_in(name))


def _names(store: Store, part: str, is_wanted: Callable[[str], object]) -> set[str]:
    """Names of the wanted files in a part of any run, listed once instead of asking for each."""
    return {name for run_id in store.run_ids() for name in file_names(store.runs / run_id / part, is_wanted)}


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors") and not name.startswith(".")


def _copy(path: Path, target: Path) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read("file", path, error, "cannot be read ({reason}); merge again when it can") from error
    write_atomic(target, content)
