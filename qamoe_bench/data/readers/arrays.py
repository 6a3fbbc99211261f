"""Dicts of arrays by split, `{"train" | "valid" | "test": {key: array}}`, as most of the field shares features.

    text, audio, vision      [N, T, D] or [N, D], or N arrays [T_n, D] that are not padded
    regression_labels        [N], [N, 1] or [N, 1, 1]; `labels` in files of MulT and MultiBench
    id                       N names, or [N, 3] of video, start and end; optional

MMSA's files for MOSI, MOSEI, SIMS and SIMSv2 are in this layout, and so are those of MMSA-FET, of Self-MM's DataPre, of
MulT and MultiBench (GloVe vectors, padding at the front) and of LMF. MultiBench drops samples without any text, MulT
keeps them; they are kept here. MultiBench's UR-FUNNY and MUStARD are known by their widths (300, 81, 371: its
examples/affect), and their two labels are classes. Other names of keys are in `keys.py`, and those of splits in
`splits.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.contents import Contents
from qamoe_bench.data.known_classes import MUSTARD, UR_FUNNY
from qamoe_bench.data.padding import padded
from qamoe_bench.data.readers.keys import rename_keys
from qamoe_bench.data.readers.splits import three_splits
from qamoe_bench.data.source import LABELS, RawSplit, Source, is_list, kind_of
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES, Task

FORMAT = "MMSA pickle"
_FORMAT_OF_MULT = "MultiBench or MulT pickle"
# Of MUStARD and UR-FUNNY in MultiBench; its other files have other widths of audio and vision.
_FUNNY_WIDTHS = {"text": 300, "audio": 81, "vision": 371}
_REMEDY = "write the file again in MMSA's layout"


def matches(value: object) -> bool:
    """Always true: this is the fallback layout, because its error messages describe the expected layout."""
    return True


def read(contents: Contents) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; the message names file, split and key.
    """
    parts, notes = three_splits(contents)
    splits = []
    for name, value in parts.items():
        split = _split(contents, name, value)
        notes += rename_keys(split)
        pad_sequences(split)
        splits.append(split)
    of_mult = all(split.file_keys.get(LABELS) == "labels" for split in splits)
    if of_mult:
        notes += [note for split in splits for note in _without_text(split)]
    file_format = _FORMAT_OF_MULT if of_mult else FORMAT
    task = _task_of_multibench(splits) if of_mult else None
    return Source(file_format, contents.path, tuple(splits), tuple(dict.fromkeys(notes)), task=task)


def _task_of_multibench(splits: Sequence[RawSplit]) -> Task | None:
    """The classes of UR-FUNNY (0 and 1) and MUStARD (-1 and 1), which alone have these widths; None for other files."""
    labels: set[float] = set()
    for split in splits:
        for modality, width in _FUNNY_WIDTHS.items():
            array = split.content.get(modality)
            if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[2] != width:
                return None
        stored = split.content.get(LABELS)
        if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "iuf":
            return None
        labels |= set(np.unique(stored).tolist())
    if labels == {0.0, 1.0}:
        return Task("classes", UR_FUNNY)
    return Task("classes", MUSTARD) if labels == {-1.0, 1.0} else None


def pad_sequences(split: RawSplit) -> None:
    """Pad modalities that are stored as one array per sample, in place, and store their lengths."""
    for modality in MODALITIES:
        sequences = _sequences(split.content.get(modality))
        if sequences is None:
            continue
        split.content[modality] = padded(split, modality, sequences)
        split.content.setdefault(f"{modality}_lengths", np.array([len(frames) for frames in sequences]))


def _split(contents: Contents, name: str, value: object) -> RawSplit:
    """One split of a file, with the keys of the file."""
    if not isinstance(value, dict):
        raise BenchError(f"{contents.path}: split {name!r}: expected a dict of arrays, got {kind_of(value)}; {_REMEDY}")
    # A new dict, since reading removes keys and two splits of a file may be the same object.
    return RawSplit(contents.path, name, dict(value), contents.size, _REMEDY)


def _sequences(value: object) -> list[NDArray[np.float32]] | None:
    """Arrays [T_n, D] of several lengths as a list; None for anything else."""
    if isinstance(value, np.ndarray) and (value.dtype.kind != "O" or value.ndim != 1):
        return None
    items: Sequence[Any] = list(value) if is_list(value) else []
    if not items or not all(_is_sequence(item) for item in items):
        return None
    if len({len(item) for item in items}) == 1:  # as one array
        return None
    return [_frames(item) for item in items]


def _is_sequence(item: object) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind in "fiu" and (item.ndim == 2 or item.size == 0)


def _frames(item: NDArray[Any]) -> NDArray[np.float32]:
    """Frames [T, D] in float32; an array without values is a sample that lacks the modality."""
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to zero
        return item.astype(np.float32) if item.size else np.zeros((0, 0), np.float32)


def _without_text(split: RawSplit) -> list[str]:
    """A note on samples without any text, if there are some."""
    text = split.content.get("text")
    if not isinstance(text, np.ndarray) or text.dtype.kind not in "fiu" or text.ndim != 3:
        return []  # cleaning refuses it
    empty = sum(not sample.any() for sample in text)
    if not empty:
        return []
    return [f"{split.name}: samples without text: {empty}. They are kept, as in MulT; MultiBench drops them."]
