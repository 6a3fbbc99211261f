"""The labels of a split as stored and as numbers, and what to do with samples whose label cannot be used.

Numbers that are stored as text are read, because their meaning is clear.

Dimension legend: N samples, K columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.label_scale import Range, Values
from qamoe_bench.data.names import stored_names
from qamoe_bench.data.source import LABELS, RawSplit, kind_of
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import REGRESSION, Task

DROP_OPTION = "--drop-bad-labels"
AS_TEXT = "labels: numbers that are stored as text were read as numbers."

# Samples that an error or a note names, and letters or numbers of each.
_MAX_NAMED = 5
_MAX_NAME_LETTERS = 30
_MAX_SHOWN_NUMBERS = 8

# After leaving samples out, as many must remain in a split as every data set needs.
_FEWEST_SAMPLES = 2

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The labels of all splits, as models see them.

    Attributes:
        values: Label of each sample [N], by split: centred for regression, otherwise see `vocabulary.Task`.
        label_range: Lowest and highest label: of the centred scale, or of the codes of classes.
        task: What a label says.
    """

    values: Mapping[str, NDArray[np.float32]]
    label_range: Range
    task: Task = REGRESSION


@dataclass
class LabelColumn:
    """The labels of one split.

    Attributes:
        split: The split.
        stored: The labels as stored, for error messages; each row one label, or several columns.
        numbers: The same as numbers, NaN where a label is none; [N], or [N, K] and more before a column is chosen.
    """

    split: RawSplit
    stored: NDArray[Any]
    numbers: Values


def take_columns(raw: Sequence[RawSplit]) -> list[LabelColumn]:
    """Remove the labels from the content of all splits; axes of size 1 are left out.

    Raises:
        BenchError: They are no array of numbers or text, or the splits have labels of different shapes.
    """
    columns = [_column(split) for split in raw]
    for c in columns:
        if c.numbers.shape[1:] != columns[0].numbers.shape[1:]:
            expected = f"labels in shape [N{''.join(f', {size}' for size in columns[0].numbers.shape[1:])}]"
            raise c.split.wrong(LABELS, f"{expected} as in {columns[0].split.name!r}", f"shape {c.numbers.shape}")
    return columns


def stored_labels(split: RawSplit) -> Values | None:
    """The labels of a split as numbers [N] in the file's own units, NaN where one is none; they are not removed.

    None if there are several columns, or nothing that is a number.
    """
    try:
        numbers = _column(replace(split, content={LABELS: split.content[LABELS]})).numbers
    except BenchError:
        return None
    return numbers if numbers.ndim == 1 and np.isfinite(numbers).any() else None


def _column(split: RawSplit) -> LabelColumn:
    stored = split.array(LABELS)
    if not (stored.ndim and len(stored)):
        raise split.wrong(LABELS, "at least 2 samples", "none", "add samples or choose another file")
    # All axes but the first that have one entry only: [N, 1, 7] becomes [N, 7].
    stored = stored.reshape(len(stored), *(size for size in stored.shape[1:] if size != 1))
    if stored.dtype.kind in "fiub":
        return LabelColumn(split, stored, stored.astype(np.float64))
    if stored.dtype.kind not in "USO":
        raise split.wrong(LABELS, "numbers", f"{kind_of(stored)} of {stored.dtype.name}", "store a number per sample")
    numbers = np.array([_number(value) for value in stored.flat]).reshape(stored.shape)
    return LabelColumn(split, stored, numbers)


def _number(value: object) -> float:
    """A stored label as a number; NaN if it is none."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float | np.number) or (isinstance(value, str) and "_" in value):
        return np.nan  # Python would read "1_000" as a number
    try:
        return float(value)
    except (ValueError, OverflowError):
        return np.nan


def text_of(value: object) -> str:
    """A stored label as text with single spaces; empty if it is missing."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return " ".join(value.encode("utf-8", "replace").decode().split())
    number = _number(value)
    return f"{number:g}" if np.isfinite(number) else ""


def are_names(columns: Sequence[LabelColumn]) -> bool:
    """Whether the labels are text, and none of them is a number."""
    if any(c.stored.dtype.kind not in "USO" or np.isfinite(c.numbers).any() for c in columns):
        return False
    return any(text_of(value) for c in columns for value in c.stored.flat)


def all_numbers(columns: Sequence[LabelColumn]) -> Values:
    """The labels of all splits as numbers, one after another."""
    return np.concatenate([c.numbers for c in columns])


def usable_numbers(columns: Sequence[LabelColumn]) -> Values:
    """The finite labels of all splits."""
    numbers = all_numbers(columns)
    return np.asarray(numbers[np.isfinite(numbers)])


def wrong_labels(columns: Sequence[LabelColumn], text: str) -> BenchError:
    """The one-line error for the labels of all splits; `text` says what was expected, what came, and what to do."""
    first = columns[0].split
    return BenchError(f"{first.path}: key {first.file_key(LABELS)!r}: {text}")


# Samples whose label cannot be used.


def drop_advice(bad: Sequence[Rows], before: str = "") -> str:
    """Advice to leave out samples; empty if there are none, or if too few would remain."""
    count = sum(int(rows.sum()) for rows in bad)
    remaining = min(int((~rows).sum()) for rows in bad)
    if not count or remaining < _FEWEST_SAMPLES:
        return ""
    return f"{before}leave out {count} of {sum(map(len, bad))} samples with {DROP_OPTION}"


def leave_out(columns: Sequence[LabelColumn], bad: Sequence[Rows], notes: list[str]) -> None:
    """Remove samples with bad labels from the content of all splits."""
    counts = ", ".join(f"{c.split.name} {int(rows.sum())}" for c, rows in zip(columns, bad, strict=True))
    notes.append(
        f"labels: samples without a usable label were left out ({DROP_OPTION}), {counts}: {named_bad(columns, bad)}."
    )
    for c, rows in zip(columns, bad, strict=True):
        if (~rows).sum() < _FEWEST_SAMPLES:
            got = f"{int((~rows).sum())} of {len(rows)}"
            raise c.split.wrong(LABELS, "at least 2 samples with a label", got, "choose another file")
        c.split.keep(np.flatnonzero(~rows), len(rows))
        c.numbers = c.numbers[~rows]
        c.stored = c.stored[~rows]


def named_bad(columns: Sequence[LabelColumn], bad: Sequence[Rows]) -> str:
    """The first samples with bad labels, each with label and split, and the number of the others."""
    named: list[str] = []
    for c, rows in zip(columns, bad, strict=True):
        names = _names(c.split, len(rows))
        for row in np.flatnonzero(rows)[: _MAX_NAMED - len(named)]:
            named.append(f"{_shown(c.stored[row])} in {c.split.name} {names[row]}")
    more = sum(int(rows.sum()) for rows in bad) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _names(split: RawSplit, count: int) -> list[str]:
    """Quoted ids of the samples of a split, or their rows if it has no usable ids."""
    ids = split.content.get("id")
    try:
        names = [] if ids is None else stored_names(split, ids, count)
    except BenchError:  # reading names refuses them later, with a message of its own
        names = []
    return [f"{name[:_MAX_NAME_LETTERS]!r}" for name in names] or [f"row {row}" for row in range(count)]


def _shown(value: object) -> str:
    """A stored label in an error message."""
    if isinstance(value, float | int | np.number):
        number = _number(value)
        # Python refuses to print integers of thousands of digits.
        return f"{number:g}" if np.isfinite(number) or isinstance(value, float | np.number) else "a huge number"
    if isinstance(value, str | bytes):
        return f"{value[:_MAX_NAME_LETTERS]!r}"
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        shown = " ".join(f"{float(number):g}" for number in value.flat[:_MAX_SHOWN_NUMBERS])
        return f"[{shown}{' ...' if value.size > _MAX_SHOWN_NUMBERS else ''}]"
    return kind_of(value)
