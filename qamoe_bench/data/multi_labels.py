"""Several labels per sample: any of them hold, as columns of 0 and 1, pairs of columns, or strengths from 0.

    [N, C]       0 or 1, or a strength that is above 0 where the label holds
    [N, C, 2]    one-hot pairs (no, yes), as MulT's iemocap_data.pkl has them for four emotions
    [N, 7]       CMU-MOSEI's "All Labels": sentiment, then six emotions from 0 to 3, of which these are taken

The order of MulT's four emotions is that of `eval_iemocap` (yaohungt/Multimodal-Transformer @ 029afeb,
src/eval_metrics.py); of CMU-MOSEI's six, that of the SDK's labels (s3prl/s3prl, s3prl/downstream/mosei/README.md).

Dimension legend: N samples, C labels.
"""

from collections.abc import Sequence

import numpy as np

from qamoe_bench.data.label_columns import (
    LabelColumn,
    Labels,
    all_numbers,
    drop_advice,
    leave_out,
    named_bad,
    wrong_labels,
)
from qamoe_bench.data.label_scale import Values
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.source import LABELS
from qamoe_bench.vocabulary import Task

MOSEI_COLUMNS = 7
"""Columns of CMU-MOSEI's "All Labels": sentiment, then six emotions from 0 to 3."""

_MOSEI_EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
_STRONGEST_EMOTION = 3
_MULT_EMOTIONS = ("neutral", "happy", "sad", "angry")

# Bits of a label's number; float32 represents whole numbers of so many bits exactly.
_MAX_LABELS = 24


def are_all_labels(numbers: Values) -> bool:
    """Whether [N, 7] are CMU-MOSEI's columns: only a first column with negative numbers can be the sentiment."""
    if numbers.ndim != 2 or numbers.shape[1] != MOSEI_COLUMNS:
        return False
    emotions = numbers[:, 1:]
    # Missing emotions (NaN) compare as false, and are no objection.
    is_other = (emotions < 0) | (emotions > _STRONGEST_EMOTION)
    return bool((numbers[:, 0] < 0).any() and not is_other.any())


def are_pairs(numbers: Values) -> bool:
    """Whether [N, C, 2] are one-hot pairs."""
    if numbers.ndim != 3 or numbers.shape[2] != 2:
        return False
    return bool(np.isin(numbers, (0, 1)).all() and (numbers.sum(axis=2) == 1).all())


def join_pairs(columns: Sequence[LabelColumn]) -> bool:
    """Reduce labels that are one-hot pairs (no, yes), [N, C, 2], to columns [N, C]; False where they are none."""
    if not are_pairs(all_numbers(columns)):
        return False
    for c in columns:
        c.numbers = c.numbers.argmax(axis=2).astype(np.float64)
    return True


def names_of_columns(
    columns: Sequence[LabelColumn], names: tuple[str, ...], kind: str, notes: list[str]
) -> tuple[str, ...]:
    """A name for each column of labels: the given ones, or the column's index, which a note says.

    Args:
        columns: Labels [N, C] of all splits.
        names: The given names; may be empty.
        kind: What the columns are, in words.
        notes: Gets the note.

    Raises:
        BenchError: There are more or fewer names than columns.
    """
    count = columns[0].numbers.shape[1]
    if not names:
        notes.append(f"labels: {count} {kind}, which --classes names.")
        return tuple(str(index) for index in range(count))
    if len(names) != count:
        raise wrong_labels(
            columns, f"expected a name for each of {count} columns (--classes), got {len(names)}; name all"
        )
    return names


def are_binary(numbers: Values) -> bool:
    """Whether [N, C] are columns of 0 and 1, with a 1 in two of them at least; missing values are no objection."""
    finite = numbers[np.isfinite(numbers)]
    if numbers.ndim != 2 or not np.isin(finite, (0, 1)).all():
        return False
    return bool(np.any(numbers == 1, axis=0).sum() > 1)


def read_multi_labels(
    columns: Sequence[LabelColumn], names: tuple[str, ...], options: ReadingOptions, notes: list[str]
) -> Labels:
    """The labels that hold for each sample, as one number whose bit k says whether label k does.

    Args:
        columns: The labels of all splits.
        names: Names of the labels in the order of their columns; empty for those that the layout has.
        options: Whether samples with bad labels are left out.
        notes: Gets a sentence on each decision.

    Raises:
        BenchError: There is one column only, or a label is missing or negative.
    """
    usual = _choose_columns(columns, notes)
    everything = all_numbers(columns)
    if everything.ndim != 2:
        got = f"shape {columns[0].stored.shape}"
        remedy = "read one label per sample with --task classes"
        raise columns[0].split.wrong(LABELS, "a column per label, [N, C]", got, remedy)
    count = everything.shape[1]
    if not 2 <= count <= _MAX_LABELS:
        raise wrong_labels(
            columns, f"expected 2 to {_MAX_LABELS} columns of labels, got {count}; keep the most frequent"
        )
    names = names_of_columns(columns, names or usual, "labels by columns", notes)
    bad = [np.any(~(c.numbers >= 0) | ~np.isfinite(c.numbers), axis=1) for c in columns]  # NaN compares as false
    if any(rows.any() for rows in bad):
        if not options.drop_bad_labels:
            advice = drop_advice(bad) or "store 0 or 1 for each label"
            expected = "0, or a number above it where a label holds"
            raise wrong_labels(columns, f"expected {expected}, got {named_bad(columns, bad)}; {advice}")
        leave_out(columns, bad, notes)
    if not are_binary(all_numbers(columns)):
        notes.append("labels: a label holds where its column is above 0.")
    _note_absent(columns, names, notes)
    bits = 2.0 ** np.arange(count)
    values = {c.split.name: ((c.numbers > 0) * bits).sum(axis=1).astype(np.float32) for c in columns}
    return Labels(values, (0.0, float(bits.sum())), Task("multi-label", names))


def _choose_columns(columns: Sequence[LabelColumn], notes: list[str]) -> tuple[str, ...]:
    """Reduce labels to columns [N, C]; returns the names that a known layout has."""
    if join_pairs(columns):
        is_known = columns[0].numbers.shape[1] == len(_MULT_EMOTIONS)
        return _MULT_EMOTIONS if is_known else ()
    if are_all_labels(all_numbers(columns)):
        for c in columns:
            c.numbers = c.numbers[:, 1:]
            c.stored = c.stored[:, 1:]
        notes.append(f"labels: of {MOSEI_COLUMNS} columns the six emotions were taken; the first is sentiment.")
        return _MOSEI_EMOTIONS
    return ()


def _note_absent(columns: Sequence[LabelColumn], names: Sequence[str], notes: list[str]) -> None:
    """Note labels that hold for no training sample."""
    train = next(c.numbers for c in columns if c.split.name == "train")
    for code, name in enumerate(names):
        if not (train[:, code] > 0).any():
            notes.append(f"labels: label {name!r} holds for no training sample.")
