"""Predictions that were made elsewhere, stored as cells like any other and marked as imported.

Everything is checked before anything is written. Nothing here needs torch.

Dimension legend: S seeds, V draws, C conditions, N samples; R = S · V · C · N rows.
"""

from __future__ import annotations  # keeps the signatures that help() shows short

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.label_scale import look_of_classes
from qamoe_bench.errors import BenchError
from qamoe_bench.exchange.manifest import FACTS_FILE, SAMPLES_FILE, TEST, ExportManifest, read_export
from qamoe_bench.exchange.matching import Places, as_dictionary, rows_in_order
from qamoe_bench.exchange.predictions import (
    DIGESTS,
    PROBABILITY,
    REQUIRED,
    PredictionTable,
    read_predictions,
)
from qamoe_bench.provenance.environment import utc_now
from qamoe_bench.registry import model_refs
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.store.cell import IMPORTED, ORACLE, Cell, CellFacts, digest_of
from qamoe_bench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[^\W_][\w .+()/-]{0,59}")
_LONGEST_TEXT = 200
_DIGEST_LENGTH = 20
_TOLERANCE = 1e-3  # of sums of probabilities, and of labels that were written with few digits


def import_predictions(
    predictions: Path | str | pd.DataFrame,
    manifest: Path | str,
    model: str,
    results: Path | str = "results",
    tool: str = "",
    commit: str = "",
    parameters: int = 0,
) -> Store:
    """Store predictions that another program made from exported samples, so that they are compared with others.

    Args:
        predictions: A CSV file, a Parquet file, an archive of `np.savez`, or a table; its columns are described in
            `qamoe_bench.exchange.predictions`.
        manifest: The folder that the samples were exported to.
        model: Name of the row in tables.
        results: The results folder; it may hold other runs.
        tool: What made the predictions, with its version.
        commit: The version of its code.
        parameters: Number of trained parameters; 0 if unknown.

    Returns:
        The store of the results folder.

    Raises:
        BenchError: If the predictions cannot be read, are incomplete, or are not of this export, if the name is that of
            another model, or if other predictions are stored under the same name, tool and commit. Nothing is stored
            then.

    Examples:
        >>> import pandas
        >>> exported = qamoe_bench.export_samples("exported", "clean", seeds=(1111,), layout="npz")
        >>> ids = qamoe_bench.load_data().splits["test"].ids
        >>> table = pandas.DataFrame({"seed": 1111, "draw": 0, "condition": "clean", "id": ids, "prediction": 0.1})
        >>> store = qamoe_bench.import_predictions(table, "exported", "constant", "results", tool="a doctest")
        >>> [stored.cell.label for stored in store.cells()]
        ['constant imported 1111 clean']
    """
    _check_name(model)
    origin = {"tool": _plain("--tool", tool), "commit": _plain("--commit", commit)}
    if parameters < 0:
        raise BenchError(f"--parameters {parameters}: expected a number from 1, got a negative one; leave it out")
    export = _export_of_test_split(manifest)
    samples = export.arrays(SAMPLES_FILE)
    facts = export.arrays(FACTS_FILE)
    places = Places(export.seeds, export.draws, export.conditions, samples["id"].tolist())
    table = read_predictions(predictions, list(export.data["widths"]))
    rows = rows_in_order(table, export, places)
    outputs = _outputs(table, rows, places, samples["target"], tuple(export.data["label_range"]))
    imported = _Import(export, places, samples, facts, outputs, model, origin, parameters)
    store = Store(results)
    imported.store_in(store)
    return store


def _export_of_test_split(manifest: Path | str) -> ExportManifest:
    export = read_export(manifest)
    if export.content["split"] != TEST:
        raise BenchError(
            f"{export.folder}: expected an export of the test split, got {export.content['split']!r}; results are of "
            "test samples, so export these with --split test"
        )
    return export


def incomparable_models(store: Store, manifest: Path | str) -> list[str]:
    """Models in a store whose results have the names of an export's data and protocol, and another content of them.

    They are not in the same table as predictions of the export.
    """
    export = read_export(manifest)
    names = (export.data["name"], export.protocol["name"])
    digests = (export.data["digest"], export.protocol["digest"])
    cells = [stored.cell for stored in store.cells()]
    same = [cell for cell in cells if (cell.dataset, cell.protocol) == names]
    return sorted({cell.model for cell in same if (cell.data_digest, cell.protocol_digest) != digests})


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BenchError(
            f"--model {name!r:.80}: expected 1 to 60 letters, digits, spaces and . _ + - ( ) /, starting with a letter "
            "or digit; choose such a name"
        )
    taken = {_squashed(known): known for known in (ORACLE, *LIMITS, *model_refs())}
    if _squashed(name) in taken:
        raise BenchError(
            f"--model {name!r}: expected a name of its own, got that of the built-in {taken[_squashed(name)]!r}; "
            f"add a word, such as '{name} (official)'"
        )


def _squashed(name: str) -> str:
    """A name without what readers overlook: case and punctuation."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _plain(option: str, text: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST_TEXT:
        raise BenchError(f"{option}: expected one line of up to {_LONGEST_TEXT} letters, got {text!r:.60}; shorten it")
    return text.strip()


# Checks of the values.


def _outputs(
    table: PredictionTable,
    rows: NDArray[np.int64],
    places: Places,
    target: NDArray[np.float32],
    label_range: tuple[float, float],
) -> dict[str, NDArray[np.float32]]:
    """The columns of the model's output, in the order of the export, checked."""
    _check_target(table, rows, places, target)
    outputs = {}
    for name in table.columns:
        if name not in (*REQUIRED[:-1], *DIGESTS, "target"):
            outputs[name] = _checked(table, name, rows, places)
    _check_probabilities(table, outputs, places)
    for name in (n for n in outputs if n.startswith("prediction")):
        _check_no_classes(table, name, outputs[name].astype(np.float64), target, label_range)
    return outputs


def _checked(table: PredictionTable, name: str, rows: NDArray[np.int64], places: Places) -> NDArray[np.float32]:
    """A column of finite numbers in the range that its name demands."""
    values = table.numbers(name)[rows]
    with np.errstate(over="ignore"):  # beyond float32 they become infinite, and are refused as such
        stored = values.astype(np.float32)
    expected = "a finite number"
    is_good = np.isfinite(stored)
    if name == "variance":
        expected = "a positive number"
        is_good &= stored > 0
    elif name.startswith(("quality_", PROBABILITY)):
        expected = "a number from 0 to 1"
        is_good &= (stored >= 0) & (stored <= 1)
    bad = np.flatnonzero(~is_good)
    if len(bad):
        got = f"{table.shown(name, rows[bad[0]])} for {places.named(bad)}"
        raise table.wrong(f"{expected} as {name!r} of every sample", got, "correct the program that predicts them")
    return stored


def _check_target(table: PredictionTable, rows: NDArray[np.int64], places: Places, target: NDArray[np.float32]) -> None:
    """Refuse labels that are not those of the export: rows may have been given to the wrong samples."""
    if "target" not in table.columns:
        return
    given = table.numbers("target")[rows].reshape(-1, len(target))
    bad = np.flatnonzero(~(np.abs(given - target) < _TOLERANCE))  # NaN compares as false
    if len(bad):
        expected = f"the labels of the export as 'target', {target[bad[0] % len(target)]:g} first"
        got = f"{table.shown('target', rows[bad[0]])} for {places.named(bad)}"
        raise table.wrong(expected, got, "give each prediction the id of its own sample")


def _check_probabilities(table: PredictionTable, outputs: Mapping[str, NDArray[np.float32]], places: Places) -> None:
    shares = [values for name, values in outputs.items() if name.startswith(PROBABILITY)]
    if not shares:
        return
    total = np.sum(shares, axis=0)
    bad = np.flatnonzero(np.abs(total - 1) > _TOLERANCE)
    if len(bad):
        got = f"{total[bad[0]]:.3g} for {places.named(bad)}"
        raise table.wrong("probabilities that add up to 1", got, "give them after the softmax, and all classes")


def _check_no_classes(
    table: PredictionTable,
    name: str,
    values: NDArray[np.float64],
    target: NDArray[np.float32],
    label_range: tuple[float, float],
) -> None:
    """Refuse class numbers: metrics would take the number of a class for a sentiment."""
    look = look_of_classes(values)
    distinct = np.unique(values)
    # Three classes of polarity; labels that take these values only may be predicted so.
    is_polarity = len(distinct) > 1 and bool(np.isin(distinct, (-1, 0, 1)).all())
    if is_polarity and not np.isin(target, (-1, 0, 1)).all():
        look = look or "only -1, 0 and 1, as classes of polarity are"
    if look and not np.array_equal(np.unique(target), distinct):
        low, high = label_range
        raise table.wrong(
            f"a sentiment from {low:g} to {high:g} as {name!r}",
            look,
            "give the label that each class stands for, or their mean weighted by probability",
        )


# Storing.


@dataclass(frozen=True)
class _Import:
    """Checked predictions of one model, ready to be stored."""

    export: ExportManifest
    places: Places
    samples: Mapping[str, NDArray[Any]]
    facts: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[np.float32]]
    model: str
    origin: Mapping[str, str]
    parameters: int

    def store_in(self, store: Store) -> None:
        """Write the cells of all seeds, or none if one of them cannot be stored."""
        cells = [self._cell(seed) for seed in self.places.seeds]
        pending = [place for place, cell in enumerate(cells) if self._is_pending(store, cell, place)]
        if not pending:
            return
        keys = [cell.key for cell in cells]
        name = re.sub(r"[^\w.]+", "_", str(self.export.data["name"]))
        run_id = f"{name}-{IMPORTED}-{digest_of(keys)[:12]}"
        is_new_run = not (store.runs / run_id).exists()
        new = [
            store.runs / run_id / "predictions" / cells[p].file_name for p in pending if not store.find_cell(cells[p])
        ]
        try:
            store.prepare(run_id)
            store.write_manifest(run_id, {**self._manifest(), "cells": keys})
            for place in pending:
                store.write_cell(run_id, cells[place], self._cell_facts(), self._columns(place))
        except BaseException:
            # A full disk or Ctrl-C: a row with some of its seeds would look complete.
            for path in new:
                path.unlink(missing_ok=True)
            if is_new_run:
                shutil.rmtree(store.runs / run_id, ignore_errors=True)
            raise

    def _cell(self, seed: int) -> Cell:
        data = self.export.data
        protocol = self.export.protocol
        # The tool and its version stand for the code that determines the predictions.
        recipe = digest_of({IMPORTED: dict(self.origin)})[:_DIGEST_LENGTH]
        return Cell(
            dataset=data["name"],
            data_digest=data["digest"],
            protocol=protocol["name"],
            protocol_digest=protocol["digest"],
            model=self.model,
            regime=IMPORTED,
            recipe=recipe,
            seed=seed,
        )

    def _is_pending(self, store: Store, cell: Cell, place: int) -> bool:
        """Whether a cell is not stored yet.

        Raises:
            BenchError: Other predictions are stored under its key.
        """
        stored = store.read_cell(cell)
        if stored is None:
            return True
        arrays = {name: values.reshape(self.places.shape[0], -1)[place] for name, values in self.outputs.items()}
        is_same = set(arrays) <= stored.names and stored.samples == tuple(self.places.ids)
        if not is_same or any((stored.column(name).ravel() != values).any() for name, values in arrays.items()):
            raise BenchError(
                f"model {self.model!r}: expected new predictions or the stored ones, got others than {stored.path}; "
                "give another --commit or --model, or remove that file"
            )
        return stored.facts.parameters != self.parameters

    def _cell_facts(self) -> CellFacts:
        return CellFacts(
            conditions=tuple(self.export.content["conditions"]),
            parameters=self.parameters,
            config={},
            training={},
            finished=utc_now(),
            imported={**self.origin, "export": self.export.content["digest"]},
        )

    def _columns(self, place: int) -> dict[str, Any]:
        """The columns of the cell of a seed, as a sweep stores them."""
        _, draws, conditions, samples = self.places.shape
        blocks = draws * conditions
        columns: dict[str, Any] = {
            "draw": np.repeat(np.arange(draws, dtype=np.int32), conditions * samples),
            "condition": as_dictionary(
                self.places.conditions, np.tile(np.repeat(np.arange(conditions), samples), draws)
            ),
            "id": as_dictionary(self.places.ids, np.tile(np.arange(samples), blocks)),
            "target": np.tile(self.samples["target"], blocks),
        }
        for name, values in self.outputs.items():
            columns[name] = values.reshape(self.places.shape[0], -1)[place]
        has_quality = any(name.startswith("quality_") for name in self.outputs)
        for name, values in self.facts.items():
            if values.ndim > 1:  # realised corruption, (S, V, C, N)
                columns[name] = values[place].ravel()
            elif has_quality or name.startswith("scatter_"):  # properties that only scores are compared with, (N)
                columns[name] = np.tile(values, blocks)
        return columns

    def _manifest(self) -> dict[str, Any]:
        """The record of the run, as far as anything is known about it."""
        data = {key: self.export.data[key] for key in ("name", "digest", "samples", "widths", "notes")}
        prose = {key: self.export.protocol[key] for key in ("digest", "title", "source", "definition")}
        imported = {"model": self.model, **self.origin, "export": self.export.content["digest"]}
        return {"data": data, "protocols": {self.export.protocol["name"]: prose}, IMPORTED: imported}
