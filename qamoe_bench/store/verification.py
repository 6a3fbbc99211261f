"""What must hold of the rows of a stored cell: they are those of its conditions.

Rows come draw by draw and condition by condition, and within each in the order of the same N distinct samples with the
same targets; targets and predictions are finite. Nothing in a file can prove that a prediction is right, but a file
that fails here is not what a run has written.

Dimension legend: V draws, C conditions, N samples.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qamoe_bench.store.identity import Damage
from qamoe_bench.vocabulary import LOG_PROBABILITY

IDENTIFYING = ("draw", "condition", "id", "target")
"""Columns that every cell has besides its predictions."""
PREDICTED = ("prediction", LOG_PROBABILITY)
"""Prefixes of the columns of predictions."""
MOST_ROWS_PER_BYTE = 64
"""Rows of a file per byte. Predictions hardly compress, but a file that is made for it could fill the memory."""


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
