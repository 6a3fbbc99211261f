"""The labels of a file as one number per sample; anything that cannot be read is refused, with samples and a remedy.

What a label says is stated by the options, by the format, or by the labels themselves where they leave no doubt: names
and one-hot columns are classes, columns of 0 and 1 with any number of ones are several labels. Numbers in one column
are a sentiment, and whole numbers that may be classes are refused until the options say which they are.

Dimension legend: N samples, K columns.
"""

from collections.abc import Sequence

from qamoe_bench.data.class_labels import one_hot_rows, read_classes
from qamoe_bench.data.label_columns import LabelColumn, Labels, all_numbers, are_names, take_columns
from qamoe_bench.data.multi_labels import are_binary, are_pairs, read_multi_labels
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.scale_labels import read_scale
from qamoe_bench.data.source import RawSplit
from qamoe_bench.vocabulary import Task


def take_labels(
    raw: Sequence[RawSplit], options: ReadingOptions, notes: list[str], stated: Task | None = None
) -> Labels:
    """Remove the labels from the content of all splits and return them.

    Samples that the options leave out are removed from the rest of the content as well.

    Args:
        raw: The splits of a file.
        options: The task, its classes or its scale, and whether samples with bad labels are left out.
        notes: Gets a sentence on each decision.
        stated: The task that the format of the file states; None if it states none.

    Raises:
        BenchError: The labels are not of the task, not on the scale, or missing, or the task is unclear.
    """
    columns = take_columns(raw)
    kind = _kind(columns, options, stated)
    if kind == "regression":
        return read_scale(columns, options, notes)
    names = options.classes or (stated.names if stated and stated.kind == kind else ())
    read = read_classes if kind == "classes" else read_multi_labels
    return read(columns, names, options, notes)


def _kind(columns: Sequence[LabelColumn], options: ReadingOptions, stated: Task | None) -> str:
    """What the labels say: the kind of a `Task`."""
    if options.task:
        return options.task
    if options.label_range is not None:  # only regression has a scale
        return "regression"
    if stated is not None:
        return stated.kind
    if are_names(columns):
        return "classes"
    numbers = all_numbers(columns)
    if numbers.ndim == 1:
        return "classes" if options.classes else "regression"
    if are_pairs(numbers):
        return "multi-label"
    if are_binary(numbers):
        return "classes" if one_hot_rows(numbers).all() else "multi-label"
    return "multi-label" if options.classes else "regression"
