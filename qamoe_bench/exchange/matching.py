"""The rows of predictions in the order of an export: every sample of every case once, and nothing else.

Dimension legend: R rows, S seeds, V draws, C conditions, N samples; P = S · V · C · N predictions are expected.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qamoe_bench.exchange.manifest import ExportManifest
from qamoe_bench.exchange.predictions import DIGESTS, PredictionTable

SHOWN = 3
"""Samples that a message names."""
_FEWEST_DIGITS = 8


@dataclass(frozen=True)
class Places:
    """The predictions that an export expects, in order.

    Attributes:
        seeds: Seeds.
        draws: Number of draws.
        conditions: Names of the conditions.
        ids: Names of the samples.
    """

    seeds: Sequence[int]
    draws: int
    conditions: Sequence[str]
    ids: Sequence[str]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(S, V, C, N)."""
        return len(self.seeds), self.draws, len(self.conditions), len(self.ids)

    def named(self, places: NDArray[np.int64]) -> str:
        """The first few of some places, and how many more there are."""
        names = []
        for place in places[:SHOWN].tolist():
            seed, draw, condition, sample = np.unravel_index(place, self.shape)
            where = f"seed {self.seeds[seed]}, draw {draw}, condition {self.conditions[condition]!r}"
            names.append(f"{self.ids[sample]!r} ({where})")
        return ", ".join(names) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")


def rows_in_order(table: PredictionTable, manifest: ExportManifest, places: Places) -> NDArray[np.int64]:
    """The row of each expected prediction, (P).

    Raises:
        BenchError: A row is of another export, or of a sample that is unknown or has a prediction already, or a
            prediction is missing.
    """
    _check_digests(table, manifest)
    seed = _positions(table, "seed", places.seeds)
    draw = _positions(table, "draw", range(places.draws))
    condition = _named_positions(table, "condition", places.conditions)
    sample = _named_positions(table, "id", places.ids)
    place = np.ravel_multi_index((seed, draw, condition, sample), places.shape)  # (R)
    counts = np.bincount(place, minlength=int(np.prod(places.shape)))
    doubled = np.flatnonzero(counts > 1)
    if len(doubled):
        got = f"several of {places.named(doubled)}"
        raise table.wrong("one prediction of each sample", got, "remove the doubled rows")
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        got = f"none of {places.named(missing)}"
        remedy = "predict every sample of every case of the export"
        raise table.wrong(f"{len(counts)} predictions", got, remedy)
    rows = np.empty(len(place), np.int64)
    rows[place] = np.arange(len(place))
    return rows


def _check_digests(table: PredictionTable, manifest: ExportManifest) -> None:
    """Refuse rows that were made from another protocol or other data, if they say so."""
    for name in DIGESTS:
        if name not in table.columns:
            continue
        about = manifest.protocol if name == "protocol_digest" else manifest.data
        for given in table.texts(name).unique().dictionary.to_pylist():
            if len(given) < _FEWEST_DIGITS or not str(about["digest"]).startswith(given):
                raise table.wrong(
                    f"{name} {about['digest'][:12]} of {about['name']!r} in every row",
                    repr(given[:64]),
                    "name the export that the predictions are of with --manifest, or predict its samples",
                )


def _positions(table: PredictionTable, name: str, known: Sequence[int]) -> NDArray[np.int64]:
    """The position of each row's number among the known ones, (R)."""
    values = table.whole_numbers(name)
    order = np.argsort(known)
    place: NDArray[np.int64] = order[np.searchsorted(known, values, sorter=order).clip(max=len(known) - 1)]
    unknown = np.unique(values[np.asarray(known)[place] != values])
    if len(unknown):
        listed = ", ".join(map(str, unknown[:SHOWN].tolist()))
        remedy = "predict the samples of the export, or export again with the values that you want"
        raise table.wrong(f"{name} {', '.join(map(str, known))} as in the export", listed, remedy)
    return place


def _named_positions(table: PredictionTable, name: str, known: Sequence[str]) -> NDArray[np.int64]:
    """The position of each row's name among the known ones, (R)."""
    texts = table.texts(name)
    index = {value: place for place, value in enumerate(known)}
    positions = np.array([index.get(value, -1) for value in texts.dictionary.to_pylist()], np.int64)
    unknown = [value for value in texts.dictionary.to_pylist() if value not in index]
    if unknown:
        listed = ", ".join(repr(value[:60]) for value in unknown[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        what = "ids of the exported samples" if name == "id" else "conditions of the export"
        raise table.wrong(f"{what}, such as {known[0]!r}", listed + more, f"give each {name} as the loader gives it")
    return np.asarray(positions[np.asarray(texts.indices.to_numpy(zero_copy_only=False), np.int64)])


def as_dictionary(names: Sequence[str], positions: NDArray[np.int64]) -> pa.DictionaryArray:
    """A column of names that repeat."""
    return pa.DictionaryArray.from_arrays(pa.array(positions.astype(np.int32)), pa.array(list(names)))
