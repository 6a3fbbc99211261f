"""Samples of different lengths that a reader collects one by one, and their conversion to padded arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.padding import FLOAT32_BYTES, MAX_EXPANSION, padded
from qamoe_bench.data.source import LABELS, RawSplit

_NO_FRAMES = np.zeros((0, 0), np.float32)


class SampleList:
    """The samples of one split.

    Args:
        split: The split, without content yet.
        modalities: The modalities of the data set.
    """

    def __init__(self, split: RawSplit, modalities: Sequence[str]) -> None:
        self.split = split
        self.frames: dict[str, list[NDArray[np.float32]]] = {m: [] for m in modalities}
        self.ids: list[str] = []
        self.labels: list[Any] = []
        self.raw_text: list[str] = []
        self._reserved_values = 0

    def reserve(self, values: int, name: str) -> None:
        """Count values before they are computed.

        Args:
            values: How many will be computed.
            name: The video or sample that they belong to, for the message.

        Raises:
            BenchError: In total they would take much more memory than the files.
        """
        self._reserved_values += values
        if self._reserved_values * FLOAT32_BYTES > MAX_EXPANSION * self.split.size:
            raise self.split.wrong("features", "samples that share few frames", f"many that do, such as {name[:40]!r}")

    def add(self, name: str, label: Any, text: str, frames: Mapping[str, NDArray[np.float32]]) -> None:
        """Add a sample.

        Args:
            name: Its name.
            label: Its label: a number, the name of a class, or one number per column.
            text: Its transcript, which may be empty.
            frames: Its frames [T, D] by modality; one without frames, or that is absent, is missing.
        """
        for modality, rows in self.frames.items():
            rows.append(frames.get(modality, _NO_FRAMES))
        self.ids.append(name)
        self.labels.append(label)
        self.raw_text.append(text)


def fill(lists: Sequence[SampleList]) -> list[str]:
    """Write the samples of all splits as the contents of the splits.

    Returns:
        A note on each modality that some samples lack.

    Raises:
        BenchError: A split has no samples, a modality no frames in any split, or the frames have several widths.
    """
    has_text = any(any(samples.raw_text) for samples in lists)
    for samples in lists:
        if not samples.ids:
            expected = "labels of samples of this split"
            raise samples.split.wrong("labels", expected, "none", "list videos in the folds that have labels")
        samples.split.content[LABELS] = np.array(samples.labels)
        samples.split.content["id"] = samples.ids
        if has_text:
            samples.split.content["raw_text"] = samples.raw_text
    notes = []
    total = sum(len(samples.ids) for samples in lists)
    for modality in tuple(lists[0].frames):
        missing = _fill_modality(lists, modality)
        if missing:
            notes.append(f"{modality}: missing in {missing} of {total} samples, which have no frames of it.")
    return notes


def _fill_modality(lists: Sequence[SampleList], modality: str) -> int:
    """Write one modality of all splits; returns how many samples lack it."""
    missing = 0
    width = max(frames.shape[1] for samples in lists for frames in samples.frames[modality])
    if not width:
        remedy = f"use {modality} of the same samples, or move it away"
        raise lists[0].split.wrong(modality, "frames of at least one sample", "none", remedy)
    for samples in lists:
        frames = samples.frames.pop(modality)
        lengths = np.array([len(rows) for rows in frames])  # (N,)
        missing += int((lengths == 0).sum())
        content = samples.split.content
        # A split whose samples all lack the modality has one frame of padding.
        empty = np.zeros((len(frames), 1, width), np.float32)
        content[modality] = padded(samples.split, modality, frames) if lengths.any() else empty  # (N, T, D)
        content[f"{modality}_lengths"] = lengths
    return missing
