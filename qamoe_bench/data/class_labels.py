"""Labels of classes: the index of the class of each sample, from names, numbers or one-hot columns.

Names that differ in case or spaces only are one class. Without names from the user, those of the file are sorted, and
numbers name themselves.

Dimension legend: N samples, C classes.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.label_columns import (
    LabelColumn,
    Labels,
    Rows,
    all_numbers,
    are_names,
    drop_advice,
    leave_out,
    named_bad,
    text_of,
    usable_numbers,
    wrong_labels,
)
from qamoe_bench.data.label_scale import Values
from qamoe_bench.data.multi_labels import are_binary, join_pairs, names_of_columns
from qamoe_bench.data.options import LONGEST_NAME, ReadingOptions
from qamoe_bench.data.source import LABELS
from qamoe_bench.errors import similar_names
from qamoe_bench.vocabulary import Task

MAX_CLASSES = 100
"""More different labels than this are no classes."""

# Names of classes that a message lists, and letters of each.
_MAX_LISTED = 20
_MAX_LETTERS = 40

_Codes = list[NDArray[np.float64]]  # of each split, -1 where a label is bad


def one_hot_rows(numbers: Values) -> Rows:
    """Whether each row of columns of 0 and 1 has exactly one 1, [N]."""
    return np.asarray((numbers == 1).sum(axis=1) == 1)


def read_classes(
    columns: Sequence[LabelColumn], names: tuple[str, ...], options: ReadingOptions, notes: list[str]
) -> Labels:
    """The class of each sample.

    Args:
        columns: The labels of all splits.
        names: Names of the classes in the order of their index; empty for those of the file.
        options: Whether samples with bad labels are left out, and the names that the user gave.
        notes: Gets a sentence on each decision.

    Raises:
        BenchError: A label is missing or of no class, or the training split has a single class.
    """
    if columns[0].numbers.ndim == 1:
        if are_names(columns) or any(_has_names(c) for c in columns):
            codes, names = _codes_of_names(columns, names, options, notes)
        else:
            codes, names = _codes_of_numbers(columns, names, options, notes)
    else:
        codes, names = _codes_of_columns(columns, names, options, notes)
    task = Task("classes", names)
    _check_presence(columns, codes, task, notes)
    values = {c.split.name: part.astype(np.float32) for c, part in zip(columns, codes, strict=True)}
    return Labels(values, (0.0, float(len(names) - 1)), task)


def _has_names(column: LabelColumn) -> bool:
    """Whether some labels of a split are text that is no number."""
    if column.stored.dtype.kind not in "USO":
        return False
    pairs = zip(column.stored.flat, column.numbers.flat, strict=True)
    return any(text_of(value) and not np.isfinite(number) for value, number in pairs)


def _without_bad(
    columns: Sequence[LabelColumn], codes: _Codes, options: ReadingOptions, notes: list[str], wrong: tuple[str, str]
) -> _Codes:
    """The codes of samples with a usable label.

    Args:
        columns: The labels of all splits.
        codes: Codes of each split, -1 where a label is bad.
        options: Whether samples with bad labels are left out.
        notes: Gets a sentence on what was left out.
        wrong: What was expected, and a remedy other than leaving samples out; either may be empty.

    Raises:
        BenchError: Labels are bad and must not be left out.
    """
    bad = [part < 0 for part in codes]
    if not any(rows.any() for rows in bad):
        return codes
    if not options.drop_bad_labels:
        expected, remedy = wrong
        advice = " or ".join(part for part in (remedy, drop_advice(bad)) if part) or "store a label for each sample"
        raise wrong_labels(columns, f"expected {expected}, got {named_bad(columns, bad)}; {advice}")
    leave_out(columns, bad, notes)
    return [part[~rows] for part, rows in zip(codes, bad, strict=True)]


# Names.


def _codes_of_names(
    columns: Sequence[LabelColumn], names: tuple[str, ...], options: ReadingOptions, notes: list[str]
) -> tuple[_Codes, tuple[str, ...]]:
    """Codes of labels that are text, and the names of the classes."""
    spelled = [[text_of(value) for value in c.stored.flat] for c in columns]
    own = _names_in_file([text for part in spelled for text in part if text], columns, notes)
    is_given = bool(names)
    if not is_given:
        names = own
        notes.append(f"labels: {len(names)} classes by their names in alphabetical order: {_listed(names)}.")
    index = {_key(name): code for code, name in enumerate(names)}
    codes = []
    for part in spelled:
        codes.append(np.array([index.get(_key(text), -1) for text in part], np.float64))
    unknown = [name for name in own if _key(name) not in index]
    expected = f"one of the classes {_listed(names)}" if is_given else "the name of a class"
    remedy = _name_all(names, unknown) if unknown else ""
    return _without_bad(columns, codes, options, notes, (expected, remedy)), names


def _key(text: str) -> str:
    """The same for all spellings of a name."""
    return " ".join(text.split()).casefold()


def _names_in_file(texts: Sequence[str], columns: Sequence[LabelColumn], notes: list[str]) -> tuple[str, ...]:
    """The names of the classes in alphabetical order, each in its most frequent spelling."""
    spellings: dict[str, Counter[str]] = {}
    for text, count in sorted(Counter(texts).items()):
        spellings.setdefault(_key(text), Counter())[text] = count
    # Texts most of which occur once are transcripts or ids.
    are_too_many = len(spellings) > MAX_CLASSES or 2 * len(spellings) > max(len(texts), 4)
    if are_too_many or max(map(len, spellings), default=0) > LONGEST_NAME:
        example = next(iter(texts), "")[:_MAX_LETTERS]
        raise wrong_labels(
            columns,
            f"expected names of at most {MAX_CLASSES} classes, each of several samples, got "
            f"{len(spellings)} different texts, such as {example!r}; store a label per sample",
        )
    for several in spellings.values():
        if len(several) > 1:
            notes.append(f"labels: spellings of one class were joined: {', '.join(map(repr, sorted(several)))}.")
    return tuple(several.most_common(1)[0][0] for _, several in sorted(spellings.items()))


def _name_all(names: Sequence[str], unknown: Sequence[str]) -> str:
    """Advice to name more classes, or to correct a name."""
    near = similar_names(unknown[0], names)
    hint = f"did you mean {near[0]!r}? Correct it, " if near else ""
    every = (*names, *unknown)
    if len(every) > _MAX_LISTED or any("," in name for name in every):
        return f"{hint}name all {len(every)} classes with --classes"
    text = ",".join(every)
    return f"{hint}name all with --classes {text!r}" if " " in text else f"{hint}name all with --classes {text}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(name[:_MAX_LETTERS] for name in names[:_MAX_LISTED]) + more


# Numbers.


def _codes_of_numbers(
    columns: Sequence[LabelColumn], names: tuple[str, ...], options: ReadingOptions, notes: list[str]
) -> tuple[_Codes, tuple[str, ...]]:
    """Codes of labels that are numbers, and the names of the classes."""
    usable = np.unique(usable_numbers(columns))
    distinct = usable[usable == np.round(usable)]  # ascending
    numbers = _numbers_of_classes(distinct, names)
    if not names:
        names = tuple(f"{number:g}" for number in numbers)
        notes.append(f"labels: {len(names)} classes by their numbers: {_listed(names)}; --classes names them.")
        expected = "whole numbers from 0 as classes"
    else:
        expected = f"class indices from 0 to {len(names) - 1}, since there are {len(names)} names"
        if numbers.tolist() != list(range(len(names))):
            pairs = [f"{number:g} = {name}" for number, name in zip(numbers, names, strict=True)]
            notes.append(f"labels: classes in the order of their numbers: {_listed(pairs)}.")
    if not 2 <= len(names) <= MAX_CLASSES:
        raise wrong_labels(
            columns,
            f"expected whole numbers of 2 to {MAX_CLASSES} classes, got {len(names)} different "
            "ones; read labels on a scale with --task regression or --label-range LOW HIGH",
        )
    codes = [_positions(c.numbers, numbers) for c in columns]
    remedy = ""
    if len(usable) > len(distinct):
        remedy = "read labels on a scale with --label-range LOW HIGH"
    elif len(set(distinct) - set(numbers)):
        remedy = f"name all {len(distinct)} classes with --classes in the order of their numbers"
    return _without_bad(columns, codes, options, notes, (expected, remedy)), names


def _numbers_of_classes(distinct: Values, names: Sequence[str]) -> Values:
    """The number that stands for each class, in the order of the classes.

    Args:
        distinct: The different whole numbers of the file, ascending.
        names: Names of the classes; empty if they are unknown.
    """
    if not names:
        # Two classes may be -1 and 1; other negative numbers mark labels that are missing.
        return distinct if distinct.tolist() == [-1, 1] else distinct[distinct >= 0]
    indices = np.arange(len(names), dtype=np.float64)
    fits = not set(distinct) - set(indices)
    return distinct if not fits and len(distinct) == len(names) else indices


def _positions(numbers: Values, of: Values) -> NDArray[np.float64]:
    """The position of each number [N] among others, ascending; -1 where it is none of them."""
    places = np.searchsorted(of, np.nan_to_num(numbers, nan=np.inf)).clip(max=len(of) - 1)
    return np.where(of[places] == numbers, places, -1).astype(np.float64)


# Columns.


def _codes_of_columns(
    columns: Sequence[LabelColumn], names: tuple[str, ...], options: ReadingOptions, notes: list[str]
) -> tuple[_Codes, tuple[str, ...]]:
    """Codes of one-hot columns, and the names of the classes."""
    join_pairs(columns)
    everything = all_numbers(columns)
    count = everything.shape[1]
    if everything.ndim > 2 or not are_binary(everything):
        got = f"shape {columns[0].stored.shape} with other values"
        remedy = "columns of any numbers from 0 are read with --task multi-label" if not (everything < 0).any() else ""
        raise columns[0].split.wrong(LABELS, "one column, or one-hot columns of 0 and 1", got, remedy)
    names = names_of_columns(columns, names, "classes by one-hot columns", notes)
    codes = []
    for c in columns:
        is_one_hot = one_hot_rows(c.numbers) & np.isfinite(c.numbers).all(axis=1)
        codes.append(np.where(is_one_hot, (c.numbers == 1).argmax(axis=1), -1.0))
    remedy = "read any number of labels per sample with --task multi-label"
    if not np.isfinite(everything).all():
        remedy = ""
    return _without_bad(columns, codes, options, notes, (f"one 1 in each row of {count} columns", remedy)), names


# Classes that splits lack.


def _check_presence(columns: Sequence[LabelColumn], codes: _Codes, task: Task, notes: list[str]) -> None:
    """Refuse a training split of one class; note classes that it or all splits lack."""
    present = {c.split.name: set(part.astype(int).tolist()) for c, part in zip(columns, codes, strict=True)}
    train = present["train"]
    if len(train) < 2:
        only = task.names[next(iter(train))]
        raise columns[0].split.wrong(
            LABELS, "samples of at least 2 classes", f"only {only!r}", "choose another file, or split it again"
        )
    for code, name in enumerate(task.names):
        elsewhere = [split for split in present if code in present[split]]
        if not elsewhere:
            notes.append(f"labels: no sample is of the class {name!r}.")
        elif "train" not in elsewhere:
            notes.append(f"labels: class {name!r} is in {' and '.join(elsewhere)}, and no training sample has it.")
