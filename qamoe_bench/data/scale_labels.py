"""Labels of regression: one centred sentiment per sample; labels that are none are refused, with a remedy.

Dimension legend: N samples, K columns.
"""

from collections.abc import Sequence

import numpy as np

from qamoe_bench.data.label_columns import (
    AS_TEXT,
    LabelColumn,
    Labels,
    Rows,
    all_numbers,
    drop_advice,
    leave_out,
    named_bad,
    usable_numbers,
    wrong_labels,
)
from qamoe_bench.data.label_scale import (
    ENOUGH_TO_JUDGE,
    NARROW,
    WIDE,
    look_of_classes,
    option_for,
    scale_note,
    suggested_range,
)
from qamoe_bench.data.multi_labels import MOSEI_COLUMNS, are_all_labels
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.source import LABELS
from qamoe_bench.errors import BenchError


def read_scale(columns: Sequence[LabelColumn], options: ReadingOptions, notes: list[str]) -> Labels:
    """The labels as values on a scale around 0.

    Args:
        columns: The labels of all splits.
        options: The scale, and whether samples with bad labels are left out.
        notes: Gets a sentence on each decision.

    Raises:
        BenchError: The labels are no sentiment, not on the scale, or missing.
    """
    _check_numbers(columns, notes)
    _choose_column(columns, notes)
    if options.label_range is None and not options.task:
        _refuse_classes(columns, options, notes)
    scale = options.label_range or WIDE
    bad = [~((c.numbers >= scale[0]) & (c.numbers <= scale[1])) for c in columns]  # NaN compares as false, so it is bad
    if any(rows.any() for rows in bad):
        if not options.drop_bad_labels:
            raise _bad_labels(columns, bad, options)
        leave_out(columns, bad, notes)
    if options.label_range is None:
        return _uncentred(columns)
    notes.append(scale_note(scale))
    middle = (scale[0] + scale[1]) / 2
    values = {c.split.name: (c.numbers - middle).astype(np.float32) for c in columns}
    return Labels(values, (scale[0] - middle, scale[1] - middle))


def _uncentred(columns: Sequence[LabelColumn]) -> Labels:
    """Labels on one of the field's two scales: -1 to 1 as in SIMS if no label is outside, otherwise -3 to 3."""
    is_narrow = all(np.abs(c.numbers).max() <= NARROW[1] for c in columns)
    values = {c.split.name: c.numbers.astype(np.float32) for c in columns}
    return Labels(values, NARROW if is_narrow else WIDE)


# From stored values to one column of numbers.


def _check_numbers(columns: Sequence[LabelColumn], notes: list[str]) -> None:
    """Refuse text that is no number; adds a note on text that is."""
    for c in columns:
        if c.stored.dtype.kind not in "USO":
            continue
        if not np.isfinite(c.numbers).any():
            got = f"others, such as {str(c.stored.flat[0])[:30]!r}"
            remedy = "store the sentiment as a number per sample, or read names of classes with --task classes"
            raise c.split.wrong(LABELS, "numbers", got, remedy)
        if AS_TEXT not in notes and any(isinstance(value, str | bytes) for value in c.stored.flat):
            notes.append(AS_TEXT)


def _choose_column(columns: Sequence[LabelColumn], notes: list[str]) -> None:
    """Reduce labels of several columns to one; refuse those without a column of sentiment."""
    everything = all_numbers(columns)
    if everything.ndim == 1:
        return
    if not are_all_labels(everything):
        raise _several_columns(columns)
    for c in columns:
        c.numbers = c.numbers[:, 0]
        c.stored = c.stored[:, 0]
    notes.append(
        f"labels: of {MOSEI_COLUMNS} columns the first, sentiment, was taken; the others are emotions, which --task "
        "multi-label reads."
    )


def _several_columns(columns: Sequence[LabelColumn]) -> BenchError:
    """The error for labels of several columns, none of which is known to be the sentiment."""
    first = columns[0]
    shape = f"shape {first.stored.shape}"
    everything = all_numbers(columns)
    if (everything < 0).any() or first.numbers.ndim > 2:
        return first.split.wrong(LABELS, "one label per sample", shape, "keep the sentiment column only")
    # Neither one-hot classes nor strengths of emotions are negative.
    remedy = (
        "read them with --task multi-label, which takes each column as a label that holds where it is above 0, or "
        "keep one column"
    )
    return first.split.wrong(LABELS, "one sentiment per sample", f"several columns ({shape})", remedy)


# Labels that are no sentiment, or bad.


def _refuse_classes(columns: Sequence[LabelColumn], options: ReadingOptions, notes: list[str]) -> None:
    """Refuse labels that look like classes; of a few samples, which may look so by chance, add a note."""
    usable = usable_numbers(columns)
    look = look_of_classes(usable)
    if not look:
        if len(usable) >= ENOUGH_TO_JUDGE and usable.min() >= 0 and 0 < usable.max() <= WIDE[1]:
            notes.append("labels: none is negative; if 0 is not their middle, --label-range LOW HIGH gives the scale.")
        return
    option = option_for(suggested_range(usable))
    if len(usable) < ENOUGH_TO_JUDGE:
        notes.append(
            f"labels: {look}; they were read as a sentiment, and --task classes reads them as classes, {option} on "
            "another scale."
        )
        return
    missing = [~np.isfinite(c.numbers) for c in columns]
    drop = "" if options.drop_bad_labels else drop_advice(missing, ", in both cases ")
    raise wrong_labels(
        columns,
        f"expected a sentiment in [-3, 3], got {look}; if they are classes, read them with "
        f"--task classes, if they are a scale, with {option}{drop}",
    )


def _bad_labels(columns: Sequence[LabelColumn], bad: Sequence[Rows], options: ReadingOptions) -> BenchError:
    """The error that names samples with bad labels, and options that read the file."""
    low, high = options.label_range or WIDE
    given = " (--label-range)" if options.label_range else ""
    return wrong_labels(
        columns,
        f"expected labels from {low:g} to {high:g}{given}, got {named_bad(columns, bad)}; {_remedy(columns, bad)}",
    )


def _remedy(columns: Sequence[LabelColumn], bad: Sequence[Rows]) -> str:
    """Options with which the file can be read."""
    usable = usable_numbers(columns)
    drop = drop_advice(bad)
    missing = [~np.isfinite(c.numbers) for c in columns]
    is_missing_only = sum(rows.sum() for rows in bad) == sum(rows.sum() for rows in missing)
    scale = suggested_range(usable)
    if is_missing_only:
        return drop or "store a number for each sample"
    if scale is None:
        advice = f"give their scale with {option_for(None)}"
        return f"{drop}, or {advice}" if drop else f"{advice}, or rescale them"
    # A file of another scale may lack labels as well, which both options together read.
    return f"read this scale with {option_for(scale)}" + drop_advice(missing, ", and ")
