"""Test metrics of every epoch of a training: what `run --diagnose-selection` records apart from the results.

    runs/<run-id>/selection/<cell>.parquet   columns epoch, condition, selected, dialect, metric, value

`epoch` counts from 1, `value` is the mean over draws, in the unit of the metric, NaN where it is undefined, and
`selected` marks the epoch whose weights the validation split selected and whose predictions the cell holds. These files
serve one table of the report. Nothing else reads them: no selection, ranking, export or check.

Dimension legend: E epochs, C conditions.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qamoe_bench.shapes import Float
from qamoe_bench.store.access import cannot_read
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import Cell, key_in
from qamoe_bench.store.folder import file_names
from qamoe_bench.store.store import Store, StoredCell

FOLDER = "selection"
Name = tuple[str, str]
"""Dialect and metric."""
COLUMNS = pa.schema(
    [
        ("epoch", pa.int32()),
        ("condition", pa.string()),
        ("selected", pa.bool_()),
        ("dialect", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True)
class SelectionCurve:
    """The test metrics of one cell after every epoch.

    Attributes:
        conditions: Names of the conditions, in order.
        selected: For each condition the epoch that the validation split selected, from 1.
        values: Per dialect and metric, (E, C); empty for a model without parameters.
    """

    conditions: tuple[str, ...]
    selected: tuple[int, ...]
    values: Mapping[Name, Float[NDArray[np.float64], "E C"]]


def curve_file(store: Store, cell: Cell) -> Path | None:
    """The curve of a cell in any run, or None."""
    for run_id in store.run_ids():
        path = store.runs / run_id / FOLDER / cell.file_name
        if path.is_file():
            return path
    return None


def write_curve(store: Store, run_id: str, cell: Cell, curve: SelectionCurve) -> None:
    """Write the curve of a cell, completely or not at all.

    Raises:
        BenchError: If it cannot be written.
    """
    rows = []
    for (dialect, metric), values in curve.values.items():
        for (epoch, place), value in np.ndenumerate(values):
            is_selected = epoch + 1 == curve.selected[place]
            rows.append((epoch + 1, curve.conditions[place], is_selected, dialect, metric, float(value)))
    table = pa.Table.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in rows], COLUMNS)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    path = store.runs / run_id / FOLDER / cell.file_name
    with suppress(OSError):  # a folder that cannot be made is reported by the write
        path.parent.mkdir(exist_ok=True)  # only runs with curves have this folder
    write_atomic(path, sink.getvalue().to_pybytes())


class CurveFiles:
    """Finds the curves of many cells: the folders of each store are listed once, when a cell of it is looked up.

    To look for the curve of one cell in a thousand runs takes a thousand questions to the file system. A curve that is
    recorded after the listing is not seen.
    """

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, Path]] = {}  # the curves of a store by name of their cell's file

    def path(self, stored: StoredCell) -> Path | None:
        """The file of the curve of a stored cell, or None without one."""
        if not stored.path.name:  # a cell in memory
            return None
        # A cell lies in <runs>/<run-id>/predictions, and another run may have recorded its curve.
        runs = stored.path.parents[2]
        if runs not in self._listed:
            self._listed[runs] = _curves_in(runs)
        return self._listed[runs].get(stored.cell.file_name)

    def read(self, stored: StoredCell) -> SelectionCurve | None:
        """The curve of a stored cell, or None without one.

        Raises:
            BenchError: If the file cannot be read.
        """
        path = self.path(stored)
        if path is None:
            return None
        try:
            rows = pq.read_table(pa.BufferReader(path.read_bytes()), use_threads=False).to_pylist()
            return _as_curve(rows, tuple(c["name"] for c in stored.facts.conditions))
        except (OSError, KeyError, ValueError) as error:  # pyarrow's exceptions derive from ValueError
            remedy = "not a file of this store ({reason}); remove it and run again with --diagnose-selection"
            raise cannot_read("curve of test metrics", path, error, remedy) from error


def _as_curve(rows: Sequence[Mapping[str, Any]], conditions: tuple[str, ...]) -> SelectionCurve:
    epochs = max((row["epoch"] for row in rows), default=0)
    place = {name: index for index, name in enumerate(conditions)}
    selected = [0] * len(conditions)
    values: dict[Name, NDArray[np.float64]] = {}
    for row in rows:
        name = (row["dialect"], row["metric"])
        of_metric = values.setdefault(name, np.full((epochs, len(conditions)), np.nan))
        of_metric[row["epoch"] - 1, place[row["condition"]]] = row["value"]
        if row["selected"]:
            selected[place[row["condition"]]] = row["epoch"]
    return SelectionCurve(conditions, tuple(selected), values)


def _curves_in(runs: Path) -> dict[str, Path]:
    """The curves of all runs by name of their cell's file; of several, that of the first run."""
    curves: dict[str, Path] = {}
    for run_id in Store(runs.parent).run_ids():
        folder = runs / run_id / FOLDER
        for name in file_names(folder, key_in):
            curves.setdefault(name, folder / name)
    return curves
