"""What must hold of a stored cell: its identity gives its key, and its rows are those of its conditions.

Rows come draw by draw and condition by condition, and within each in the order of the same N distinct samples with the
same targets; targets and predictions are finite. Nothing in a file can prove that a prediction is right, but a file
that fails here is not what a run has written.

Dimension legend: V draws, C conditions, N samples.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qamoe_bench.store.cell import Cell, digest_of
from qamoe_bench.vocabulary import LOG_PROBABILITY

IDENTIFYING = ("draw", "condition", "id", "target")
"""Columns that every cell has besides its predictions."""
PREDICTED = ("prediction", LOG_PROBABILITY)
"""Prefixes of the columns of predictions."""
MOST_ROWS_PER_BYTE = 64
"""Rows of a file per byte. Predictions hardly compress, but a file that is made for it could fill the memory."""


class Damage(Exception):
    """Why a file is not a cell as a run has written it, in words."""


def check_identity(about: Mapping[str, Any], file_key: str) -> None:
    """Check that the identity of a cell gives the key that the file has in its name and its metadata.

    Raises:
        Damage: If it does not.
    """
    cell = about.get("cell")
    if not isinstance(cell, dict) or not isinstance(about.get("facts"), dict):
        raise Damage("its metadata describe no cell")
    for name, kind in _TYPES.items():
        if type(cell.get(name)) is not kind:  # not isinstance, because a bool is an int
            raise Damage(f"its {name} is of another type")
    # Of all fields in the file, which may be those of a later version.
    key = digest_of({**cell, "schema": about["schema"]})[: len(file_key)]
    if not key == file_key == about.get("key"):
        raise Damage("its data, protocol, model, regime, recipe or seed were edited: they give another key")


def check_facts(facts: Mapping[str, Any]) -> None:
    """Check the types of what is recorded with a cell.

    Raises:
        Damage: If a fact is missing or of another type.
    """
    for name in ("conditions", "parameters", "config", "training"):
        if name not in facts:
            raise Damage(f"it does not record its {name}")
    for name, is_valid in _VALID_FACTS.items():
        if name in facts and not is_valid(facts[name]):
            raise Damage(f"what it records as {name} is invalid")


def check_rows(table: pa.Table, conditions: Sequence[Mapping[str, Any]]) -> str:
    """Check the rows of a cell.

    Args:
        table: At least the columns `needed`; ids and conditions as dictionaries or plain.
        conditions: The recorded conditions.

    Returns:
        A digest of the ids and targets of the samples, which are the same for all cells of the same data.

    Raises:
        Damage: If something does not hold.
    """
    missing = [name for name in (*IDENTIFYING, "prediction") if name not in table.column_names]
    if missing:
        raise Damage(f"it has no column {missing[0]}")
    draws = _numbers(table, "draw", np.integer)
    count = int(draws.max()) + 1 if len(draws) else 0
    blocks = count * len(conditions)
    if blocks <= 0 or len(draws) % blocks or not len(draws):
        raise Damage(f"its {len(draws)} rows do not make {len(conditions)} conditions with {max(count, 0)} draws")
    if not (draws.reshape(count, -1) == np.arange(count)[:, None]).all():
        raise Damage("its draws are not in order")
    _check_conditions(table, [condition["name"] for condition in conditions], blocks)
    ids = _check_samples(table, blocks)
    targets = _numbers(table, "target", np.floating).reshape(blocks, -1)
    if not (targets == targets[0]).all():  # also False for NaN
        raise Damage("the targets of its samples differ between conditions, or are not numbers")
    for name in needed(table.column_names):
        if name.startswith(PREDICTED) and not np.isfinite(_numbers(table, name, np.floating)).all():
            raise Damage(f"its column {name} has values that are not finite")
    return samples_digest(ids, targets[0])


def needed(names: Sequence[str]) -> list[str]:
    """The columns that are checked among those of a cell."""
    return [name for name in names if name in IDENTIFYING or name.startswith(PREDICTED)]


def samples_digest(ids: Sequence[str], targets: NDArray[Any]) -> str:
    """A digest of the samples of a test split: their ids and targets, in order."""
    digest = hashlib.sha256(json.dumps(list(ids)).encode())
    digest.update(targets.astype("<f4").tobytes())
    return digest.hexdigest()[:20]


def _check_conditions(table: pa.Table, names: Sequence[str], blocks: int) -> None:
    codes, texts = _texts(table, "condition")
    by_block = codes.reshape(blocks, -1)
    if not (by_block == by_block[:, :1]).all() or [texts[code] for code in by_block[:, 0]] != [*names] * (
        blocks // len(names)
    ):
        raise Damage("its rows are not those of its conditions, in order")


def _check_samples(table: pa.Table, blocks: int) -> list[str]:
    codes, texts = _texts(table, "id")
    by_block = codes.reshape(blocks, -1)
    if not (by_block == by_block[0]).all():
        raise Damage("the order of its samples differs between conditions")
    ids = [texts[code] for code in by_block[0]]
    if len({*ids}) < len(ids):
        raise Damage("two of its samples have one id")
    return ids


def _numbers(table: pa.Table, name: str, kind: type) -> NDArray[Any]:
    column = table.column(name)
    try:
        values = column.combine_chunks().to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise Damage(f"its column {name} cannot be decoded") from error
    if column.null_count or not np.issubdtype(values.dtype, kind):
        raise Damage(f"its column {name} holds something else than numbers")
    return np.asarray(values)


def _texts(table: pa.Table, name: str) -> tuple[NDArray[Any], list[str]]:
    """A column of texts as codes and the text of each code."""
    column = table.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    kind = column.type.value_type
    if column.null_count or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise Damage(f"its column {name} holds something else than text")
    return column.indices.to_numpy(zero_copy_only=False), column.dictionary.to_pylist()


# Computed once: a store may hold many thousands of cells.
_TYPES = {field.name: field.type for field in fields(Cell)}


def _is_conditions(value: object) -> bool:
    """Whether these are conditions: distinct names, each with a number for every axis of the first."""
    if not isinstance(value, list | tuple) or not value:
        return False
    for condition in value:
        if not isinstance(condition, dict) or not isinstance(condition.get("name"), str):
            return False
        levels = condition.get("levels")
        if not isinstance(levels, dict) or not all(map(_is_number, levels.values())):
            return False
        if not value[0]["levels"].keys() <= levels.keys():
            return False
    return len({condition["name"] for condition in value}) == len(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_measurement(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_permutations(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(part, list) and len(part) > 0 for part in value.values())


def _is_train_size(value: object) -> bool:
    """Nothing, or the numbers of training samples and the data set that has all of them."""
    if not isinstance(value, dict) or not value:
        return value == {}
    sizes = [value.get("samples"), value.get("base_samples")]
    return all(type(size) is int and size > 0 for size in sizes) and all(
        _is_text(value.get(key)) for key in ("base", "base_digest")
    )


def _is_task(value: object) -> bool:
    """Whether this is empty, or names the classes or labels of a kind of task."""
    if not isinstance(value, Mapping):
        return False
    names = value.get("names")
    is_named = isinstance(names, list | tuple) and len(names) > 1 and all(map(_is_text, names))
    return not value or (is_named and value.get("kind") in ("classes", "multi-label"))


_VALID_FACTS: Mapping[str, Callable[[object], bool]] = {
    "conditions": _is_conditions,
    "parameters": _is_measurement,
    "config": _is_mapping,
    "training": _is_mapping,
    "experts": _is_mapping,
    "seconds_per_sample": _is_measurement,
    "encodings_asked": _is_measurement,
    "encodings_computed": _is_measurement,
    "permutations": _is_permutations,
    "device": _is_text,
    "seconds_per_condition": _is_measurement,
    "peak_memory_mib": _is_measurement,
    "finished": _is_text,
    "trained_on": _is_mapping,
    "task": _is_task,
    "train_size": _is_train_size,
}
