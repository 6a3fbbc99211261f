"""Sequences whose entries are segments of videos, as the SDK deploys them after alignment and MultiBench stores them.

The frames of an entry are those of its segment, so that intervals are not needed; the modalities may have different
numbers of frames. A segment that a sequence lacks is missing that modality. Pauses (`sp`) are dropped if words are
known, from every modality that has a frame per word.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.samples import SampleList, fill
from qamoe_bench.data.readers.sdk.sequences import Sequences, part_of_video
from qamoe_bench.data.readers.sdk.word_alignment import PAUSE
from qamoe_bench.data.source import RawSplit
from qamoe_bench.errors import BenchError

_Part = tuple[str, int]  # video, and number of the segment in it


def are_segments(sequences: Sequences) -> bool:
    """Whether the labels are entries of segments: numbered, and with one row each."""
    labels = sequences.roles["labels"]
    if not labels.entries or not all(part_of_video(entry) for entry in labels.entries):
        return False
    # A whole video may be called `video_2`, but it has several labels.
    return all(entry.endswith("]") or len(labels.values(entry)) == 1 for entry in labels.entries)


def videos_of(entries: Iterable[str]) -> set[str]:
    """The names of the videos of segments."""
    parts = map(part_of_video, entries)
    return {part[0] for part in parts if part}


def read_segments(sequences: Sequences, folds: Mapping[str, Sequence[str]]) -> tuple[list[RawSplit], list[str]]:
    """The splits of sequences whose labels are entries of segments.

    Args:
        sequences: The sequences.
        folds: The videos of each split.

    Returns:
        Train, valid and test, and notes, one sentence each.

    Raises:
        BenchError: An array cannot be read, or the labels belong to single words.
    """
    reader = _SegmentReader(sequences)
    lists = [reader.split(name, folds[name]) for name in SPLITS]
    reader.check_words()
    notes = fill(lists)
    return [samples.split for samples in lists], [*reader.notes(), *notes]


class _SegmentReader:
    """Reads one segment after the other, and counts what it has to decide."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences
        # By video and number, since one sequence may say `video[2]` and another `video_2`.
        self._entries: dict[str, dict[_Part, str]] = {}
        for role, arrays in sequences.roles.items():
            self._entries[role] = {part_of_video(entry) or (entry, -1): entry for entry in arrays.entries}
        self._numbers: dict[str, list[int]] = {}  # of the labelled segments of each video
        for video, number in sorted(self._entries["labels"]):
            self._numbers.setdefault(video, []).append(number)
        self._label_columns = 1
        self._pauses = 0
        self._most_words = 0
        self._without_frames = 0

    def split(self, name: str, fold: Sequence[str]) -> SampleList:
        """The segments of the videos of a fold."""
        split = RawSplit(self._sequences.path, name, {}, self._sequences.size, "fetch the sequences again")
        samples = SampleList(split, self._sequences.modalities)
        for video in dict.fromkeys(fold):  # a fold may name a video twice
            for number in self._numbers.get(video, []):
                self._add_segment(samples, (video, number))
        return samples

    def _add_segment(self, samples: SampleList, part: _Part) -> None:
        entry = self._entries["labels"][part]
        labels = self._values("labels", part)
        if labels is None or len(labels) != 1:
            rows = 0 if labels is None else len(labels)
            raise samples.split.wrong("labels", "one row for each segment", f"{rows} in {entry[:40]!r}")
        self._label_columns = max(self._label_columns, labels.shape[1])
        words = self._values("words", part)
        texts = [] if words is None else [str(word) for word in words[:, 0]]
        spoken = np.array([text != PAUSE for text in texts], bool)  # (n,)
        self._pauses += int((~spoken).sum())

        frames = {}
        for modality in samples.frames:
            values = self._values(modality, part)
            if values is None:
                continue
            samples.reserve(values.size, entry)
            with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to 0
                frames[modality] = values.astype(np.float32)
            if len(values) == len(spoken) and (spoken.any() or modality == "text"):
                frames[modality] = frames[modality][spoken]
        self._most_words = max(self._most_words, len(texts), len(frames.get("text", ())))
        if not any(map(len, frames.values())):
            self._without_frames += 1
            return
        sentence = " ".join(text for text in texts if text != PAUSE)
        samples.add(entry, float(labels[0, 0]), sentence, frames)

    def _values(self, role: str, part: _Part) -> NDArray[Any] | None:
        """The values [n, D] of a segment; None if there is no such sequence, or it lacks the segment."""
        entry = self._entries.get(role, {}).get(part)
        return None if entry is None else self._sequences.roles[role].values(entry)

    def check_words(self) -> None:
        """Refuse labels of single words, as they are when labels are aligned to words and not to segments."""
        names = self._sequences.names
        has_words = "words" in names or any(part in names.get("text", "").lower() for part in ("glove", "word"))
        if has_words and self._most_words == 1:
            raise BenchError(
                f"{self._sequences.path}: expected labels of segments, got {names['labels']} with a label for each "
                "word; put the SDK's own file of labels in its place"
            )

    def notes(self) -> list[str]:
        """One sentence for each kind of decision."""
        notes = []
        others = set().union(*(self._entries[m] for m in self._sequences.modalities))
        unlabelled = others - self._entries["labels"].keys()
        if unlabelled:
            quoted = ascii(min(unlabelled)[0])[1:-1][:40]
            notes.append(f"{len(unlabelled)} segments have no label and were left out, such as one of {quoted}.")
        if self._without_frames:
            notes.append(f"{self._without_frames} segments have no frames of any modality and were left out.")
        if self._label_columns > 1:
            notes.append(f"labels: of {self._label_columns} columns the first, sentiment, was taken.")
        if self._pauses:
            notes.append(f"{self._pauses} pauses between words were left out.")
        return notes
