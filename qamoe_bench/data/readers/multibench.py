"""Pickles of MulT and MultiBench: MMSA's layout with other names, GloVe vectors for text and padding at the front.

    text, audio, vision      [N, T, D]
    labels                   [N, 1, 1]
    id                       N names, or [N, 3] of video, start and end; optional

Both read samples that have no text at all: MultiBench drops them, MulT keeps them. Here they stay.
"""

from pathlib import Path

import numpy as np

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.mmsa import split_of, three_splits
from qamoe_bench.data.source import KEYS, LABELS, RawSplit, Source, check_names

FORMAT = "MultiBench or MulT pickle"
CALLED = {LABELS: "labels"}


def matches(content: object) -> bool:
    """Whether every split that there is has `labels` and no `regression_labels`."""
    splits = [content[n] for n in (*SPLITS, "dev") if n in content] if isinstance(content, dict) else []
    return bool(splits) and all(isinstance(s, dict) and "labels" in s and LABELS not in s for s in splits)


def read(path: Path, content: object) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; names file, split and key.
    """
    splits = tuple(split_of(path, found, name, CALLED) for name, found in three_splits(path, content).items())
    for split in splits:
        check_names(split, KEYS)
    return Source(FORMAT, path, splits, tuple(note for split in splits for note in _without_text(split)))


def _without_text(split: RawSplit) -> list[str]:
    text = split.content.get("text")
    if not isinstance(text, np.ndarray) or text.dtype.kind not in "fiu" or text.ndim != 3:
        return []
    empty = sum(not sample.any() for sample in text)
    many = f"{empty} samples have" if empty > 1 else "1 sample has"
    return [f"{split.name}: {many} no text and stayed, as in MulT; MultiBench drops such."] if empty else []
