"""Computational sequences of CMU-MultimodalSDK in HDF5 files: arrays over time, by video or by segment of a video.

    <sequence>/<entry>/features     [n, D] or [n]
                       intervals    [n, 2], start and end in seconds; may be absent where entries are segments

An entry is a whole video, `video`, or a part of one, `video[2]` or `video_2`. `word_alignment.py` reads sequences whose
labels are entries of whole videos, `segments.py` those whose labels are entries of segments.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.readers.sdk.hdf5 import Group
from qamoe_bench.data.readers.sdk.intervals import Track
from qamoe_bench.vocabulary import MODALITIES

# Names of parts of videos: the SDK's own after alignment, and those of MultiBench.
_BRACKETED = re.compile(r"(.+)\[([0-9]{1,9})\]", re.DOTALL)
_UNDERSCORED = re.compile(r"(.+)_([0-9]{1,9})", re.DOTALL)


def part_of_video(entry: str) -> tuple[str, int] | None:
    """Video and number of an entry such as `video[2]` or `video_2`; None for an entry without a number."""
    match = _BRACKETED.fullmatch(entry) or _UNDERSCORED.fullmatch(entry)
    return (match[1], int(match[2])) if match else None


def entries_by_video(entries: Iterable[str]) -> dict[str, list[str]]:
    """The entries of each video in the order of their numbers.

    Only brackets name parts here: where entries are whole videos, `video_2` is one of them.
    """
    numbered: dict[str, list[tuple[int, str]]] = {}
    for entry in entries:
        match = _BRACKETED.fullmatch(entry)
        video, number = (match[1], int(match[2])) if match else (entry, 0)
        numbered.setdefault(video, []).append((number, entry))
    return {video: [entry for _, entry in sorted(parts)] for video, parts in numbered.items()}


def has_text(group: Group) -> bool:
    """Whether the features of a sequence are text, by its first entry.

    Args:
        group: The group that has the entries as members.
    """
    entry = next(iter(group), None)
    if entry is None:
        return False
    inner = group.child(entry)
    return group.is_text(entry) if inner is None else inner.is_text("features")


class EntryArrays:
    """One sequence: its arrays by entry.

    Args:
        group: The group that has the entries as members.
        is_text: Whether the features are text, of which the first column is read.

    Attributes:
        entries: Names of the entries.
    """

    def __init__(self, group: Group, *, is_text: bool) -> None:
        self._group = group
        self._is_text = is_text
        # Listing the members of a group is slow, so it is done once.
        self.entries = frozenset(group)

    def track(self, entries: Sequence[str]) -> Track:
        """Features [n, D] and intervals of a video, from the entry of it or from those of its parts; n may be 0.

        Raises:
            BenchError: An array is missing, has another shape or is not safe to read.
        """
        parts = [self._track(entry) for entry in entries]
        if len(parts) == 1:
            return parts[0]
        parts = [part for part in parts if part] or parts[:1]
        widths = {part.values.shape[1] for part in parts}
        if len(widths) > 1:
            raise self._group.wrong(entries[0], "features of one width in all parts of a video", f"{sorted(widths)}")
        intervals = np.concatenate([np.stack([part.start, part.end], 1) for part in parts])  # (n, 2)
        return Track.sorted_by_start(np.concatenate([part.values for part in parts]), intervals)

    def _track(self, entry: str) -> Track:
        group = self._group.group(entry)
        values = self._array(group, "features")
        intervals = group.array("intervals")
        values = values.reshape(-1, 1) if values.ndim == 1 else values
        if values.ndim != 2 or intervals.shape != (len(values), 2) or not values.shape[1]:
            got = f"shapes {values.shape} and {intervals.shape}"
            raise self._group.wrong(entry, "features [n, D] or [n] and intervals [n, 2]", got)
        return Track.sorted_by_start(values, intervals.astype(np.float64))

    def values(self, entry: str) -> NDArray[Any]:
        """Features [n, D] of an entry; of one dimension, they are one row unless there are intervals or they are text.

        Raises:
            BenchError: The array is missing, has another shape or is not safe to read.
        """
        group = self._group.child(entry)  # the entry may be the array itself
        values = self._array(self._group, entry) if group is None else self._array(group, "features")
        if not values.size:
            return np.zeros((0, 1), np.float32)
        if values.ndim < 2:
            is_column = self._is_text or (group is not None and "intervals" in group)
            values = values.reshape(-1, 1) if is_column else values.reshape(1, -1)
        if values.ndim != 2:
            raise self._group.wrong(entry, "features [n, D] or [n]", f"shape {values.shape}")
        return values

    def _array(self, group: Group, name: str) -> NDArray[Any]:
        """Numbers, or text [n]."""
        return np.array(group.texts(name), dtype=object) if self._is_text else group.array(name)


@dataclass(frozen=True)
class Sequences:
    """The sequences of one data set.

    Attributes:
        path: Their file or folder.
        size: Size of the file or files in bytes.
        roles: The sequence of each role: labels, words and the modalities.
        names: The name of the sequence of each role, for messages.
    """

    path: Path
    size: int
    roles: Mapping[str, EntryArrays]
    names: Mapping[str, str]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities in canonical order."""
        return tuple(m for m in MODALITIES if m in self.roles)
