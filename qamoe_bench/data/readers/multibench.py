"""Pickles of MulT and MultiBench: MMSA's layout with other keys, GloVe vectors for text and padding at the front.

    text, audio, vision      [N, T, D]
    labels                   [N, 1, 1]
    id                       N names, or [N, 3] of video, start and end; optional

MultiBench drops samples without any text, MulT keeps them. They are kept here.
"""

from pathlib import Path

import numpy as np

from qamoe_bench.data.readers.mmsa import split_of, splits_present, three_splits
from qamoe_bench.data.source import LABELS, RawSplit, Source, check_keys

FORMAT = "MultiBench or MulT pickle"
_FILE_LABELS = "labels"


def matches(content: object) -> bool:
    """Whether every split has `labels` and no `regression_labels`."""
    splits = splits_present(content)
    return bool(splits) and all(
        isinstance(split, dict) and _FILE_LABELS in split and LABELS not in split for split in splits
    )


def read(path: Path, content: object) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; the message names file, split and key.
    """
    splits = []
    notes: list[str] = []
    for name, value in three_splits(path, content).items():
        split = split_of(path, value, name, {LABELS: _FILE_LABELS})
        splits.append(split)
        check_keys(split)
        notes += _without_text(split)
    return Source(FORMAT, path, tuple(splits), tuple(notes))


def _without_text(split: RawSplit) -> list[str]:
    """A note on samples without any text, if there are some."""
    text = split.content.get("text")
    if not isinstance(text, np.ndarray) or text.dtype.kind not in "fiu" or text.ndim != 3:
        return []  # cleaning refuses it
    empty = sum(not sample.any() for sample in text)
    if not empty:
        return []
    return [f"{split.name}: samples without text: {empty}. They are kept, as in MulT; MultiBench drops them."]
