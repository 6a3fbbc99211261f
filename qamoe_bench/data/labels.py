"""The labels of a file as one centred sentiment per sample; anything else is refused, with the samples and a remedy.

Numbers that are stored as text are read, because their meaning is clear; text of any other kind is a bad label.

Dimension legend: N samples, K columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.label_scale import (
    ENOUGH_TO_JUDGE,
    NARROW,
    WIDE,
    Range,
    Values,
    look_of_classes,
    option_for,
    scale_note,
    suggested_range,
)
from qamoe_bench.data.names import stored_names
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.source import LABELS, RawSplit, kind_of
from qamoe_bench.errors import BenchError

DROP_OPTION = "--drop-bad-labels"
AS_TEXT = "labels: numbers that are stored as text were read as numbers."

# Columns of CMU-MOSEI's "All Labels": sentiment, then six emotions from 0 to 3.
_ALL_LABELS_COLUMNS = 7
_STRONGEST_EMOTION = 3

# Samples that an error or a note names, and letters of each name.
_MAX_NAMED = 5
_MAX_NAME_LETTERS = 30

# After leaving samples out, as many must remain in a split as every data set needs.
_FEWEST_SAMPLES = 2


@dataclass(frozen=True)
class Labels:
    """The labels of all splits, centred.

    Attributes:
        values: Label of each sample [N], by split.
        label_range: Lowest and highest label of the centred annotation scale.
    """

    values: Mapping[str, NDArray[np.float32]]
    label_range: Range


@dataclass
class _Column:
    """The labels of one split as numbers.

    Attributes:
        split: The split.
        stored: The labels as stored, for error messages; each row one label, or several columns.
        numbers: The same as numbers, NaN where a label is none; [N], or [N, K] before a column is chosen.
    """

    split: RawSplit
    stored: NDArray[Any]
    numbers: Values


def take_labels(raw: Sequence[RawSplit], options: ReadingOptions, notes: list[str]) -> Labels:
    """Remove the labels from the content of all splits and return them.

    Samples that the options leave out are removed from the rest of the content as well.

    Args:
        raw: The splits of a file.
        options: The scale, and whether samples with bad labels are left out.
        notes: Gets a sentence on each decision.

    Raises:
        BenchError: The labels are no sentiment, not on the scale, or missing.
    """
    columns = [_as_numbers(split, notes) for split in raw]
    _choose_column(columns, notes)
    if options.label_range is None:
        _refuse_classes(columns, options, notes)
    scale = options.label_range or WIDE
    bad = [~((c.numbers >= scale[0]) & (c.numbers <= scale[1])) for c in columns]  # NaN compares as false, so it is bad
    if any(rows.any() for rows in bad):
        if not options.drop_bad_labels:
            raise _bad_labels(columns, bad, options)
        _leave_out(columns, bad, notes)
    if options.label_range is None:
        return _uncentred(columns)
    notes.append(scale_note(scale))
    middle = (scale[0] + scale[1]) / 2
    values = {c.split.name: (c.numbers - middle).astype(np.float32) for c in columns}
    return Labels(values, (scale[0] - middle, scale[1] - middle))


def _uncentred(columns: Sequence[_Column]) -> Labels:
    """Labels on one of the field's two scales: -1 to 1 as in SIMS if no label is outside, otherwise -3 to 3."""
    is_narrow = all(np.abs(c.numbers).max() <= NARROW[1] for c in columns)
    values = {c.split.name: c.numbers.astype(np.float32) for c in columns}
    return Labels(values, NARROW if is_narrow else WIDE)


def stored_labels(split: RawSplit) -> Values | None:
    """The labels of a split as numbers [N] in the file's own units, NaN where one is none; they are not removed.

    None if there are several columns, or nothing that is a number.
    """
    copy = replace(split, content={LABELS: split.content[LABELS]})
    try:
        numbers = _as_numbers(copy, []).numbers
    except BenchError:
        return None
    return numbers if numbers.ndim == 1 else None


# From stored values to numbers.


def _as_numbers(split: RawSplit, notes: list[str]) -> _Column:
    """The labels of a split as numbers, without axes of size 1."""
    stored = split.array(LABELS)
    if not (stored.ndim and len(stored)):
        raise split.wrong(LABELS, "at least 2 samples", "none", "add samples or choose another file")
    # All axes but the first that have one entry only: [N, 1, 7] becomes [N, 7].
    stored = stored.reshape(len(stored), *(size for size in stored.shape[1:] if size != 1))
    if stored.dtype.kind in "fiub":
        return _Column(split, stored, stored.astype(np.float64))
    if stored.dtype.kind not in "USO":
        raise split.wrong(LABELS, "numbers", f"{kind_of(stored)} of {stored.dtype.name}", "store a number per sample")
    numbers = np.array([_number(value) for value in stored.flat]).reshape(stored.shape)
    if not np.isfinite(numbers).any():
        got = f"others, such as {_shown(stored.flat[0])}"
        raise split.wrong(LABELS, "numbers", got, "store the sentiment as a number per sample")
    if AS_TEXT not in notes and any(isinstance(value, str | bytes) for value in stored.flat):
        notes.append(AS_TEXT)
    return _Column(split, stored, numbers)


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


def _choose_column(columns: Sequence[_Column], notes: list[str]) -> None:
    """Reduce labels of several columns to one; refuse those without a column of sentiment."""
    if all(c.numbers.ndim == 1 for c in columns):
        return
    for c in columns:
        if c.numbers.shape[1:] != columns[0].numbers.shape[1:]:
            expected = f"labels in shape [N{''.join(f', {size}' for size in columns[0].numbers.shape[1:])}]"
            raise c.split.wrong(LABELS, f"{expected} as in {columns[0].split.name!r}", f"shape {c.numbers.shape}")
    everything = np.concatenate([c.numbers for c in columns])
    if not _is_all_labels(everything):
        raise _several_columns(columns[0], everything)
    for c in columns:
        c.numbers = c.numbers[:, 0]
        c.stored = c.stored[:, 0]
    notes.append(f"labels: of {_ALL_LABELS_COLUMNS} columns the first, sentiment, was taken; the others are emotions.")


def _is_all_labels(numbers: Values) -> bool:
    """Whether [N, 7] are CMU-MOSEI's columns: only a first column with negative numbers can be the sentiment."""
    if numbers.ndim != 2 or numbers.shape[1] != _ALL_LABELS_COLUMNS:
        return False
    emotions = numbers[:, 1:]
    # Missing emotions (NaN) compare as false, and are no objection.
    is_other = (emotions < 0) | (emotions > _STRONGEST_EMOTION)
    return bool((numbers[:, 0] < 0).any() and not is_other.any())


def _several_columns(first: _Column, everything: Values) -> BenchError:
    """The error for labels of several columns, none of which is known to be the sentiment."""
    shape = f"shape {first.stored.shape}"
    if (everything < 0).any():
        return first.split.wrong(LABELS, "one label per sample", shape, "keep the sentiment column only")
    # Neither one-hot classes nor strengths of emotions are negative.
    is_one_hot = bool(np.isin(everything, (0, 1)).all())
    got = f"emotion classes ({'one-hot, ' if is_one_hot else ''}{shape})"
    remedy = "this suite judges a sentiment in [-3, 3], so choose a file with such labels"
    return first.split.wrong(LABELS, "one sentiment label per sample", got, remedy)


# Labels that are no sentiment, or bad.


def _refuse_classes(columns: Sequence[_Column], options: ReadingOptions, notes: list[str]) -> None:
    """Refuse labels that look like classes; of a few samples, which may look so by chance, add a note."""
    usable = _usable(columns)
    look = look_of_classes(usable)
    if not look:
        if len(usable) >= ENOUGH_TO_JUDGE and usable.min() >= 0 and 0 < usable.max() <= WIDE[1]:
            notes.append("labels: none is negative; if 0 is not their middle, --label-range LOW HIGH gives the scale.")
        return
    option = option_for(suggested_range(usable))
    if len(usable) < ENOUGH_TO_JUDGE:
        notes.append(f"labels: {look}; they were read as a sentiment, and {option} reads them on another scale.")
        return
    first = columns[0].split
    missing = [~np.isfinite(c.numbers) for c in columns]
    drop = "" if options.drop_bad_labels else _drop_advice(columns, missing, ", and ")
    raise BenchError(
        f"{first.path}: key {first.file_key(LABELS)!r}: expected a sentiment in [-3, 3], got {look}; if they are a "
        f"scale, read them with {option}{drop}, otherwise choose a file with sentiment labels"
    )


def _usable(columns: Sequence[_Column]) -> Values:
    """The finite labels of all splits."""
    numbers: Values = np.concatenate([c.numbers for c in columns])
    return np.asarray(numbers[np.isfinite(numbers)])


def _bad_labels(columns: Sequence[_Column], bad: Sequence[NDArray[np.bool_]], options: ReadingOptions) -> BenchError:
    """The error that names samples with bad labels, and options that read the file."""
    low, high = options.label_range or WIDE
    given = " (--label-range)" if options.label_range else ""
    first = columns[0].split
    return BenchError(
        f"{first.path}: key {first.file_key(LABELS)!r}: expected labels from {low:g} to {high:g}{given}, got "
        f"{_named(columns, bad)}; {_remedy(columns, bad)}"
    )


def _remedy(columns: Sequence[_Column], bad: Sequence[NDArray[np.bool_]]) -> str:
    """Options with which the file can be read."""
    usable = _usable(columns)
    drop = _drop_advice(columns, bad)
    missing = [~np.isfinite(c.numbers) for c in columns]
    is_missing_only = sum(rows.sum() for rows in bad) == sum(rows.sum() for rows in missing)
    scale = suggested_range(usable)
    if is_missing_only:
        return drop or "store a number for each sample"
    if scale is None:
        advice = f"give their scale with {option_for(None)}"
        return f"{drop}, or {advice}" if drop else f"{advice}, or rescale them"
    # A file of another scale may lack labels as well, which both options together read.
    return f"read this scale with {option_for(scale)}" + _drop_advice(columns, missing, ", and ")


def _drop_advice(columns: Sequence[_Column], bad: Sequence[NDArray[np.bool_]], before: str = "") -> str:
    """Advice to leave out samples; empty if there are none, or if too few would remain."""
    count = sum(int(rows.sum()) for rows in bad)
    remaining = min(int((~rows).sum()) for rows in bad)
    if not count or remaining < _FEWEST_SAMPLES:
        return ""
    return f"{before}leave out {count} of {sum(map(len, bad))} samples with {DROP_OPTION}"


def _leave_out(columns: Sequence[_Column], bad: Sequence[NDArray[np.bool_]], notes: list[str]) -> None:
    """Remove samples with bad labels from the content of all splits."""
    counts = ", ".join(f"{c.split.name} {int(rows.sum())}" for c, rows in zip(columns, bad, strict=True))
    notes.append(
        f"labels: samples without a usable label were left out ({DROP_OPTION}), {counts}: {_named(columns, bad)}."
    )
    for c, rows in zip(columns, bad, strict=True):
        if (~rows).sum() < _FEWEST_SAMPLES:
            got = f"{int((~rows).sum())} of {len(rows)}"
            raise c.split.wrong(LABELS, "at least 2 samples with a label", got, "choose another file")
        c.split.keep(np.flatnonzero(~rows), len(rows))
        c.numbers = c.numbers[~rows]


def _named(columns: Sequence[_Column], bad: Sequence[NDArray[np.bool_]]) -> str:
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
    return kind_of(value)
