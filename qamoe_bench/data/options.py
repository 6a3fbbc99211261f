"""How a data file is read where the file itself leaves it open: what its labels say, and what the user accepts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.vocabulary import TASK_KINDS

LONGEST_NAME = 100
"""Most letters of the name of a class; longer texts are sentences."""

LEAST_TRAIN_SIZE = 2
"""Fewest training samples; the labels of one have no spread."""

MOST_TRAIN_SIZE = 10**8
"""Most training samples; larger numbers are slips of the keyboard, whatever the data set."""


@dataclass(frozen=True)
class ReadingOptions:
    """Choices of the user about a data file; each has an option of the same name on the command line.

    Attributes:
        label_range: Lowest and highest value of the annotation scale, in the units of the file. None for a scale from
            -3 to 3, or from -1 to 1 if no label is outside.
        drop_bad_labels: Leave out samples whose label is missing, no number, or outside of the scale or the classes.
        accept_unknown_tokens: Let a language model read token ids that may be of another vocabulary, or texts with
            many tokens that it does not know.
        task: What a label says: `regression`, `classes` or `multi-label`; empty if the file leaves no doubt.
        classes: Names of the classes or labels in the order of their index; empty for those of the file.
        train_size: Number of training samples, see `qamoe_bench.data.train_size`; None for all of them.

    Raises:
        BenchError: The range is not two finite numbers in ascending order, the task is unknown, the names are fewer
            than two, empty or repeated, a scale is combined with classes, or the training samples are fewer than two.
    """

    label_range: tuple[float, float] | None = None
    drop_bad_labels: bool = False
    accept_unknown_tokens: bool = False
    task: str = ""
    classes: tuple[str, ...] = ()
    train_size: int | None = None

    def __post_init__(self) -> None:
        if self.train_size is not None:
            check_train_sizes((self.train_size,))
        if self.task and self.task not in TASK_KINDS:
            raise unknown_name("task", self.task, TASK_KINDS)
        if self.classes:
            _check_names(self.classes)
        if self.classes and self.task == "regression":
            raise BenchError("--classes: expected --task classes or multi-label, got regression; drop one of the two")
        if self.label_range is None:
            return
        low, high = self.label_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise BenchError(
                f"--label-range {low:g} {high:g}: expected two numbers in ascending order, as in --label-range 1 7"
            )
        if self.classes or self.task not in ("", "regression"):
            other = f"--task {self.task}" if self.task else "--classes"
            raise BenchError(
                f"--label-range {low:g} {high:g}: expected a scale for regression, got it with {other}, whose labels "
                "have none; drop one of the two"
            )


def check_train_sizes(sizes: Sequence[int]) -> None:
    """Refuse numbers of training samples that no training can use, and repeated ones.

    Raises:
        BenchError: A size is below `LEAST_TRAIN_SIZE` or above `MOST_TRAIN_SIZE`, or occurs twice.
    """
    for index, size in enumerate(sizes):
        got = ""
        if not LEAST_TRAIN_SIZE <= size <= MOST_TRAIN_SIZE:
            got = str(size) if abs(size) < 10**18 else "one of many digits"
        elif size in sizes[:index]:
            got = f"{size} twice"
        if got:
            raise BenchError(
                f"--train-size: expected numbers of samples from {LEAST_TRAIN_SIZE} to {MOST_TRAIN_SIZE}, each once, "
                f"got {got}; change or drop it, as in --train-size 300,600"
            )


def _check_names(names: tuple[str, ...]) -> None:
    """Refuse names of classes that cannot name at least two of them apart."""
    spelled = [" ".join(name.split()).casefold() for name in names]
    lengths = [len(name) for name in spelled]
    if len(names) < 2 or min(lengths) == 0 or max(lengths) > LONGEST_NAME or len(set(spelled)) < len(spelled):
        raise BenchError(
            f"--classes {','.join(names)!r:.80}: expected at least two different names with commas between, of at "
            f"most {LONGEST_NAME} letters, as in --classes happy,sad,angry"
        )


DEFAULT_READING = ReadingOptions()
"""Nothing chosen: labels of an unclear task or scale, bad labels and unknown tokens are refused."""
