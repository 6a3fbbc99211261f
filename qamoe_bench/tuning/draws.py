"""The data of a draw: what is drawn again when a search is repeated.

A draw with number n trains with seed n, from which the initial weights, the order of the samples and all corruptions
come, those of the validation split included. Of embedded data, training and validation samples are also fresh ones of
the law, with data seed n; the samples of a file stay the same. Evaluations use other seeds, and the embedded data as
it is.

The test split is replaced before any training, so that nothing can be chosen by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.synthetic.emotion import synthetic_emotion
from qamoe_bench.data.synthetic.synthetic import synthetic
from qamoe_bench.data.train_size import with_train_size

FRESH: Mapping[str, Callable[[int], Dataset]] = {"synthetic": synthetic, "synthetic-emotion": synthetic_emotion}
"""Embedded data by name, as functions of the data seed."""


def data_of_draw(data: str, fine_tune: str, reading: ReadingOptions, draw: int) -> Dataset:
    """The data set that a draw trains and validates on.

    Args:
        data: Name or path.
        fine_tune: Language model that reads the raw text; empty for none.
        reading: How a file is read.
        draw: Number of the draw, from 1.
    """
    if data in FRESH:
        return _fresh(data, reading.train_size, draw)
    return open_dataset(data, fine_tune, reading)


def without_test_split(data: Dataset) -> Dataset:
    """The data set with the validation split in place of its test split."""
    return replace(data, splits={**data.splits, "test": data.splits["valid"]})


@lru_cache(maxsize=1)  # a process computes many trials of one draw
def _fresh(name: str, train_size: int | None, draw: int) -> Dataset:
    data = FRESH[name](draw)
    return data if train_size is None else with_train_size(data, train_size)
