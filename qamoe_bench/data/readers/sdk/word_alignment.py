"""Sequences over whole videos, aligned to words.

A frame of audio or vision is the mean over everything that overlaps the word; the words of a segment are those that
overlap it. Segments are named `video[n]`, as in the SDK after alignment. Pauses (`sp`) are dropped if words are known,
and so are segments without any word. A segment lacks a modality if no frame of it overlaps with its words.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.samples import SampleList, fill
from qamoe_bench.data.readers.sdk.intervals import Track
from qamoe_bench.data.readers.sdk.sequences import Sequences, entries_by_video
from qamoe_bench.data.source import RawSplit
from qamoe_bench.errors import BenchError

PAUSE = "sp"
"""The SDK's word for a pause between words."""

# Most that the duration of a sequence may differ from that of the labels: at 25 frames a second it is off by 25.
_MAX_TIME_RATIO = 10.0


def read_by_words(sequences: Sequences, folds: Mapping[str, Sequence[str]]) -> tuple[list[RawSplit], list[str]]:
    """The splits of sequences whose labels are entries of whole videos.

    Args:
        sequences: The sequences.
        folds: The videos of each split.

    Returns:
        Train, valid and test, and notes, one sentence each.

    Raises:
        BenchError: There are no words, an array cannot be read, or the sequences use different units of time.
    """
    if "text" not in sequences.roles and "words" not in sequences.roles:
        got = ", ".join(sequences.names.values())
        raise BenchError(
            f"{sequences.path}: expected a sequence of words or word vectors, got {got:.200}; "
            "put that file there too, since segments are sequences of words"
        )
    reader = _WordReader(sequences)
    lists = [reader.split(name, folds[name]) for name in SPLITS]
    reader.check_times()
    # After the check, because without it a split may have no samples for that reason.
    notes = fill(lists)
    return [samples.split for samples in lists], [*reader.notes(), *notes]


class _WordReader:
    """Reads one video after the other, and counts what it has to decide."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences
        self._entries = {role: entries_by_video(arrays.entries) for role, arrays in sequences.roles.items()}
        self._seconds: dict[str, float] = dict.fromkeys(sequences.roles, 0.0)  # summed last ends of videos, by role
        self._label_seconds = dict(self._seconds)  # the same of the labels of these videos
        self._lacking: dict[str, list[str]] = {}  # videos by role
        self._label_columns = 1
        self._without_words = 0
        self._not_finite = 0

    def split(self, name: str, fold: Sequence[str]) -> SampleList:
        """The segments of the videos of a fold."""
        split = RawSplit(self._sequences.path, name, {}, self._sequences.size, "fetch the sequences again")
        samples = SampleList(split, self._sequences.modalities)
        for video in dict.fromkeys(fold):  # a fold may name a video twice
            if video in self._entries["labels"]:
                self._add_video(samples, video)
        return samples

    def _add_video(self, samples: SampleList, video: str) -> None:
        tracks = self._tracks(video)
        if "labels" not in tracks:  # it has the video, but no segments of it
            return
        labels = tracks["labels"]
        words = tracks.get("words")
        reference = _without_pauses(tracks.get("text"), words)
        self._label_columns = max(self._label_columns, labels.values.shape[1])
        aligned, covered = self._aligned(samples, video, tracks, reference)
        width = sum(frames.shape[1] for frames in aligned.values())

        first_words, last_words = reference.overlapping(labels)  # one entry per segment
        # Before the segments are collected: they may overlap, so that a word counts many times.
        samples.reserve(int((last_words - first_words).sum()) * max(1, width), video)
        texts = _transcripts(samples, video, words, labels)
        for row, (first, last) in enumerate(zip(first_words, last_words, strict=True)):
            if first == last:
                self._without_words += 1
                continue
            frames = {m: x[first:last] for m, x in aligned.items() if covered[m][first:last].any()}
            name = f"{video}[{labels.order[row]}]"
            # Of several columns the first is the sentiment; the others are emotions.
            samples.add(name, float(labels.values[row, 0]), texts[row], frames)

    def _tracks(self, video: str) -> dict[str, Track]:
        """The tracks of a video by role; a role is absent if its sequence lacks the video, or has no rows of it."""
        tracks = {}
        for role, arrays in self._sequences.roles.items():
            track = arrays.track(self._entries[role][video]) if video in self._entries[role] else None
            if track:  # neither None nor without rows
                tracks[role] = track
            else:
                self._lacking.setdefault(role, []).append(video)
        for role, track in tracks.items():
            if "labels" in tracks:
                self._seconds[role] += float(track.end.max())
                self._label_seconds[role] += float(tracks["labels"].end.max())
        return tracks

    def _aligned(
        self, samples: SampleList, video: str, tracks: Mapping[str, Track], reference: Track
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
        """Features [n, D] of the modalities that a video has, a row per word, and which words have any frame [n]."""
        aligned = {}
        covered = {}
        for modality in samples.frames:
            track = tracks.get(modality)
            if track is None:
                continue
            # Before anything is computed: hostile intervals may overlap in more pairs than memory can hold.
            samples.reserve(track.overlaps(reference) + len(reference) * track.values.shape[1], video)
            self._not_finite += int((~np.isfinite(track.values)).sum())
            if modality == "text":
                with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to 0
                    aligned[modality] = reference.values.astype(np.float32)
                covered[modality] = np.ones(len(reference), bool)
            else:
                aligned[modality] = track.means(reference)
                first, last = track.overlapping(reference)
                covered[modality] = last > first
        return aligned, covered

    def check_times(self) -> None:
        """Refuse sequences whose times are in another unit than those of the labels."""
        for role, seconds in self._seconds.items():
            expected = self._label_seconds[role]
            ratio = seconds / expected if expected > 0 else 1.0
            if not 1 / _MAX_TIME_RATIO <= ratio <= _MAX_TIME_RATIO:
                raise BenchError(
                    f"{self._sequences.path}: expected intervals in seconds, got {self._sequences.names[role]}, which "
                    f"ends {ratio:.3g} times as late as {self._sequences.names['labels']}; divide the intervals of one "
                    "of them by its frame rate"
                )

    def notes(self) -> list[str]:
        """One sentence for each kind of decision."""
        notes = []
        for role, videos in self._lacking.items():
            quoted = ascii(videos[0])[1:-1][:40]
            notes.append(f"{role}: videos that {self._sequences.names[role]} lacks: {len(videos)}, such as {quoted}.")
        if self._label_columns > 1:
            notes.append(f"labels: of {self._label_columns} columns the first, sentiment, was taken.")
        if self._without_words:
            notes.append(f"{self._without_words} segments contain no word and were left out.")
        if self._not_finite:
            notes.append(
                f"{self._not_finite} values of audio and vision were not finite and counted as 0 in the means over "
                "words."
            )
        return notes


def _without_pauses(vectors: Track | None, words: Track | None) -> Track:
    """The track to align to: word vectors if there are some, otherwise words.

    Pauses are dropped from vectors that correspond to the words one to one; others have none, as those of CMU-MOSEI.
    """
    if words is not None and (vectors is None or len(vectors) == len(words)):
        return (vectors if vectors is not None else words).rows(_spoken(words))
    return vectors if vectors is not None else Track.sorted_by_start(np.zeros((0, 1)), np.zeros((0, 2)))


def _spoken(words: Track) -> NDArray[np.bool_]:
    """Which words are no pauses [n]."""
    return np.array([text != PAUSE for text in words.text()], bool)


def _transcripts(samples: SampleList, video: str, words: Track | None, labels: Track) -> list[str]:
    """The words of each segment as text; empty texts if no words are known."""
    if words is None:
        return [""] * len(labels)
    words = words.rows(_spoken(words))
    texts = words.text()
    first, last = words.overlapping(labels)
    samples.reserve(int((last - first).sum()), video)
    return [" ".join(texts[start:stop]) for start, stop in zip(first, last, strict=True)]
