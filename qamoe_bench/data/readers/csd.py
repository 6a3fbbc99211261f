"""A folder of CMU-MultimodalSDK's computational sequences (`.csd`), aligned to words.

    <root>/data/<video>/features     [n, D]
                        intervals    [n, 2], start and end in seconds

One file has the labels (one per segment of a video), one the words or their vectors, others audio and vision. A frame
of audio or vision is the mean over everything that overlaps the word; the words of a segment are those that overlap it.
Segments are named `video[n]`, as in the SDK after alignment. Pauses (`sp`) are dropped if words are known, and so are
segments without any word.

The roles of the files are decided in `csd_roles.py`.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.padding import FLOAT32_BYTES, MAX_EXPANSION, padded
from qamoe_bench.data.readers.csd_roles import roles_of
from qamoe_bench.data.readers.folds import folds_of
from qamoe_bench.data.readers.hdf5 import Group, opened
from qamoe_bench.data.readers.intervals import Track
from qamoe_bench.data.source import LABELS, RawSplit, Source
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

FORMAT = "CMU-MultimodalSDK sequences"
_REMEDY = "fetch the sequences again"

# The SDK's word for a pause between words.
_PAUSE = "sp"


def read(folder: Path) -> Source:
    """The splits of a folder.

    Raises:
        BenchError: A file cannot be read or is not safe to read, or a required one is missing.
    """
    paths = sorted(folder.glob("*.csd"))
    size = sum(path.stat().st_size for path in paths)
    events = _Events()
    with ExitStack() as stack:
        # All files stay open, since every video is read from each of them in turn.
        roots, data = {}, {}
        for path in paths:
            roots[path.name], data[path.name] = _only_sequence(path, stack.enter_context(opened(path)))
        files, notes = roles_of(folder, roots)
        sequences = _Sequences({role: data[name] for role, name in files.items()})
        videos = sequences.videos["labels"]
        folds = folds_of(folder, videos)
        outside = videos.difference(*folds.values())
        if outside:
            notes.append(f"{len(outside)} of {len(videos)} videos are in no fold and were left out.")
        empty = [RawSplit(folder, name, {}, size, _REMEDY) for name in SPLITS]
        splits = [_read_split(split, folds[split.name], sequences, events) for split in empty]
    return Source(FORMAT, folder, tuple(splits), (*notes, *events.notes()))


def _only_sequence(path: Path, file: Group) -> tuple[str, Group]:
    """Name and data of the one sequence in a file."""
    names = list(file)
    if len(names) != 1:
        raise BenchError(f"{path}: expected one sequence, got {len(names)}; {_REMEDY}")
    return names[0], file.group(names[0]).group("data")


@dataclass
class _Events:
    """Counts of what reading had to decide, over all splits.

    Attributes:
        label_columns: Most columns of labels in any video.
        without_words: Segments without any word.
        not_finite: Values of audio and vision that are not finite.
    """

    label_columns: int = 1
    without_words: int = 0
    not_finite: int = 0

    def notes(self) -> list[str]:
        """One sentence for each kind that occurred."""
        notes = []
        if self.label_columns > 1:
            notes.append(f"labels: of {self.label_columns} columns the first, sentiment, was taken.")
        if self.without_words:
            notes.append(f"{self.without_words} segments contain no word and were left out.")
        if self.not_finite:
            notes.append(
                f"{self.not_finite} values of audio and vision were not finite and counted as 0 in the means over "
                "words."
            )
        return notes


class _Sequences:
    """The sequence of each role, with the names of its videos."""

    def __init__(self, groups: Mapping[str, Group]) -> None:
        self._groups = groups
        # Listing the members of a group is slow, so it is done once.
        self.videos = {role: frozenset(group) for role, group in groups.items()}
        self.modalities = tuple(m for m in MODALITIES if m in groups)

    def tracks(self, split: RawSplit, video: str) -> dict[str, Track]:
        """The tracks of a video by role; a role is absent if its sequence lacks the video."""
        tracks = {}
        for role, group in self._groups.items():
            if video in self.videos[role]:
                tracks[role] = _track(split, group, role, video)
        return tracks


def _track(split: RawSplit, sequence: Group, role: str, video: str) -> Track:
    """One video of a sequence."""
    group = sequence.group(video)
    values = group.array("features", "SU" if role == "words" else "fiu")  # (n, D)
    intervals = group.array("intervals", "fiu")  # (n, 2)
    if values.ndim != 2 or intervals.shape != (len(values), 2) or 0 in values.shape:
        got = f"shapes {values.shape} and {intervals.shape} in video {video[:40]!r}"
        raise split.wrong(role, "features [n, D] and intervals [n, 2]", got)
    return Track.sorted_by_start(values, intervals.astype(np.float64))


class _Samples:
    """Collects the segments of a split."""

    def __init__(self, split: RawSplit, modalities: tuple[str, ...]) -> None:
        self.split = split
        self.frames: dict[str, list[NDArray[np.float32]]] = {m: [] for m in modalities}
        self.ids: list[str] = []
        self.labels: list[float] = []
        self.raw_text: list[str] = []
        self._reserved_values = 0

    def reserve(self, values: int, video: str) -> None:
        """Count values before they are computed, and refuse what would take much more memory than the files."""
        self._reserved_values += values
        if self._reserved_values * FLOAT32_BYTES > MAX_EXPANSION * self.split.size:
            raise self.split.wrong("intervals", "intervals that hardly overlap", f"many in video {video[:40]!r}")

    def finished(self) -> RawSplit:
        """The split with all segments as its content."""
        split = self.split
        if not self.ids:
            raise split.wrong("labels", "segments of the videos of this split", "none")
        for modality, frames in self.frames.items():
            split.content[modality] = padded(split, modality, frames)  # (N, T, D)
            split.content[f"{modality}_lengths"] = np.array([len(x) for x in frames])  # (N,)
        split.content[LABELS] = np.array(self.labels)
        split.content["id"] = self.ids
        split.content["raw_text"] = self.raw_text
        return split


def _read_split(split: RawSplit, fold: Sequence[str], sequences: _Sequences, events: _Events) -> RawSplit:
    """Fill an empty split with the segments of the videos of its fold."""
    samples = _Samples(split, sequences.modalities)
    for video in dict.fromkeys(fold):  # a fold may name a video twice
        if video in sequences.videos["labels"]:
            _add_video(samples, video, sequences.tracks(split, video), events)
    return samples.finished()


def _add_video(samples: _Samples, video: str, tracks: Mapping[str, Track], events: _Events) -> None:
    """Add the segments of one video."""
    labels = tracks["labels"]
    reference, words = _without_pauses(tracks.get("text"), tracks.get("words"))
    events.label_columns = max(events.label_columns, labels.values.shape[1])
    aligned = _aligned(samples, video, tracks, reference, events)
    width = sum(frames.shape[1] for frames in aligned.values())

    first_words, last_words = reference.overlapping(labels)  # one entry per segment
    for row, (first, last) in enumerate(zip(first_words, last_words, strict=True)):
        if first == last:
            events.without_words += 1
            continue
        samples.reserve(int(last - first) * width, video)  # segments may overlap, so a word can count many times
        for modality, frames in samples.frames.items():
            # Without frames the sample lacks the modality.
            frames.append(aligned[modality][first:last] if modality in aligned else np.zeros((0, 0), np.float32))
        samples.ids.append(f"{video}[{labels.order[row]}]")
        samples.labels.append(float(labels.values[row, 0]))  # sentiment; the other columns are emotions
        samples.raw_text.append(" ".join(words[first:last]))


def _aligned(
    samples: _Samples, video: str, tracks: Mapping[str, Track], reference: Track, events: _Events
) -> dict[str, NDArray[np.float32]]:
    """Features of the modalities that a video has, with a row per word of the reference [n, D]."""
    aligned = {}
    for modality in samples.frames:
        track = tracks.get(modality)
        if track is None:
            continue
        # Before anything is computed: hostile intervals may overlap in more pairs than memory can hold.
        samples.reserve(track.overlaps(reference) + len(reference) * track.values.shape[1], video)
        events.not_finite += int((~np.isfinite(track.values)).sum())
        aligned[modality] = reference.values.astype(np.float32) if modality == "text" else track.means(reference)
    return aligned


def _without_pauses(vectors: Track | None, words: Track | None) -> tuple[Track, list[str]]:
    """The track to align to, and each of its words as text.

    The texts are empty if only word vectors are known, or if they do not correspond to the words one to one.
    """
    if words is None or (vectors is not None and len(vectors) != len(words)):
        reference = vectors if vectors is not None else Track.sorted_by_start(np.zeros((0, 1)), np.zeros((0, 2)))
        return reference, [""] * len(reference)
    texts = words.text()
    spoken = np.array([text != _PAUSE for text in texts], bool)  # (n,)
    reference = (vectors if vectors is not None else words).rows(spoken)
    return reference, [text for text in texts if text != _PAUSE]
