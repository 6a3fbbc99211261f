"""A folder of CMU-MultimodalSDK's computational sequences (`.csd`), aligned to words.

    <root>/data/<video>/features     [n, D]
                        intervals    [n, 2], start and end in seconds

One file has the labels (one per segment of a video), one the words or their vectors, others audio and vision. A frame
of audio and vision is the mean over all that overlap the word; words of a segment are those that overlap it. Segments
are called `video[n]`, as the SDK calls them after alignment. Pauses (`sp`) are left out where words are known, and
segments without any word.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.padding import MOST_PADDING, padded
from qamoe_bench.data.readers.folds import folds_of
from qamoe_bench.data.readers.hdf5 import Group, opened
from qamoe_bench.data.readers.intervals import Track
from qamoe_bench.data.source import LABELS, RawSplit, Source
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

FORMAT = "CMU-MultimodalSDK sequences"
REMEDY = "fetch the sequences again"
PAUSE = "sp"
ROLES: Mapping[str, tuple[str, ...]] = {
    "labels": ("label",),
    "text": ("wordvector", "glove", "bert"),
    "words": ("timestampedwords", "words"),
    "audio": ("covarep", "opensmile", "acoustic", "audio"),
    "vision": ("facet", "openface", "visual", "video"),
}
"""By what part of its name a sequence is known; the first that is found is taken."""


def read(folder: Path) -> Source:
    """The splits of a folder.

    Raises:
        BenchError: A file cannot be read or trusted, or one that is needed is not there.
    """
    paths = sorted(folder.glob("*.csd"))
    with ExitStack() as stack:
        files = {path.name: _root(path, stack.enter_context(opened(path))) for path in paths}
        chosen, notes = _roles(folder, {name: f"{name} {root}" for name, (root, _) in files.items()})
        groups = {role: files[name][1] for role, name in chosen.items()}
        have = _Sequences(groups, {role: frozenset(group) for role, group in groups.items()})
        videos = have.videos["labels"]
        folds = folds_of(folder, videos)
        if outside := len(videos.difference(*folds.values())):
            notes.append(f"{outside} of {len(videos)} videos are in no fold and were left out.")
        size, counted = sum(path.stat().st_size for path in paths), Counter[str]()
        splits = [_split(folder, name, folds[name], have, size, counted) for name in SPLITS]
    counted["columns"] *= counted["columns"] > 1
    notes += [note.format(counted[kind]) for kind, note in NOTES.items() if counted[kind]]
    return Source(FORMAT, folder, tuple(splits), tuple(notes))


NOTES = {
    "columns": "labels: of {} columns the first, sentiment, was taken.",
    "empty": "{} segments hold no word and were left out.",
    "infinite": "{} values of audio and vision were not finite and counted as 0 in the means over words.",
}


def _root(path: Path, file: Group) -> tuple[str, Group]:
    """Name and data of the one sequence in a file."""
    names = [*file]
    if len(names) != 1:
        raise BenchError(f"{path}: expected one sequence, got {len(names)}; {REMEDY}")
    return names[0], file.group(names[0]).group("data")


def _roles(folder: Path, names: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The file that plays each role, and a note on those that play none."""
    chosen: dict[str, str] = {}
    left = {name: full.lower().replace("_", "").replace(" ", "") for name, full in names.items()}
    for role, words in ROLES.items():
        for word in words:
            if role not in chosen and (found := [name for name, full in left.items() if word in full]):
                chosen[role] = found[0]
                left.pop(found[0])
    if "labels" not in chosen or not {"text", "words"} & chosen.keys():
        lacking = "labels" if "labels" not in chosen else "words or word vectors"
        have = ", ".join(names)[:200]
        raise BenchError(f"{folder}: expected a sequence of {lacking}, got {have}; put that .csd file there too")
    if not {"text", "audio", "vision"} & chosen.keys():
        raise BenchError(
            f"{folder}: expected features of text, audio or vision, got {', '.join(names)[:200]}; add some"
        )
    notes = [f"{role}: read from {name}." for role, name in chosen.items()]
    notes += [f"{name} plays no part and was left out." for name in left]
    if "text" not in chosen:
        notes.append(
            "text: there are words and no features of them; 'data encode' makes some, and --fine-tune reads words."
        )
    return chosen, notes


class _Samples:
    """What the segments of a split come to."""

    def __init__(self, split: RawSplit, modalities: tuple[str, ...]) -> None:
        self.split = split
        self.frames: dict[str, list[NDArray[np.float32]]] = {m: [] for m in modalities}
        self.ids, self.labels, self.raw_text = list[str](), list[float](), list[str]()
        self._values = 0

    def reserve(self, values: int, video: str) -> None:
        """Refuse what would take many times more memory than the files are large."""
        self._values += values
        if self._values * 4 > MOST_PADDING * self.split.size:
            raise self.split.wrong("intervals", "intervals that hardly overlap", f"many in video {video[:40]!r}")

    def finished(self) -> RawSplit:
        """The split with all that was added."""
        split = self.split
        if not self.ids:
            raise split.wrong("labels", "segments of the videos of this split", "none")
        for modality, frames in self.frames.items():
            split.content[modality] = padded(split, modality, frames)
            split.content[f"{modality}_lengths"] = np.array([len(x) for x in frames])
        split.content.update({LABELS: np.array(self.labels), "id": self.ids, "raw_text": self.raw_text})
        return split


@dataclass(frozen=True)
class _Sequences:
    """The sequence of each role, with the videos that it has."""

    groups: Mapping[str, Group]
    videos: Mapping[str, frozenset[str]]

    def tracks(self, split: RawSplit, video: str) -> dict[str, Track]:
        """What there is of a video."""
        return {r: _track(split, g, r, video) for r, g in self.groups.items() if video in self.videos[r]}


def _split(
    folder: Path, name: str, fold: Sequence[str], have: _Sequences, size: int, counted: Counter[str]
) -> RawSplit:
    modalities = tuple(m for m in MODALITIES if m in have.groups)
    samples = _Samples(RawSplit(folder, name, {}, size, REMEDY), modalities)
    for video in dict.fromkeys(fold):
        if video in have.videos["labels"]:
            _add_video(samples, video, have.tracks(samples.split, video), counted)
    return samples.finished()


def _add_video(samples: _Samples, video: str, tracks: Mapping[str, Track], counted: Counter[str]) -> None:
    """Add the segments of one video."""
    labels, words = tracks["labels"], tracks.get("words")
    reference, said = _without_pauses(tracks.get("text"), words)
    counted["columns"] = max(counted["columns"], labels.values.shape[1])
    aligned = {}
    for modality in samples.frames:
        if (track := tracks.get(modality)) is not None:
            samples.reserve(track.overlaps(reference) + len(reference) * track.values.shape[1], video)
            counted["infinite"] += int((~np.isfinite(track.values)).sum())
            aligned[modality] = reference.values.astype(np.float32) if modality == "text" else track.means(reference)
    width = sum(frames.shape[1] for frames in aligned.values())
    for row, (first, last) in enumerate(zip(*reference.overlapping(labels), strict=True)):
        if first == last:
            counted["empty"] += 1
            continue
        samples.reserve(int(last - first) * width, video)
        for modality, frames in samples.frames.items():
            frames.append(aligned[modality][first:last] if modality in aligned else np.zeros((0, 0), np.float32))
        samples.ids.append(f"{video}[{labels.order[row]}]")
        samples.labels.append(float(labels.values[row, 0]))
        samples.raw_text.append(" ".join(said[first:last]))


def _without_pauses(vectors: Track | None, words: Track | None) -> tuple[Track, list[str]]:
    """The words to align to, and each as text; empty texts where only vectors are known."""
    if words is None or (vectors is not None and len(vectors) != len(words)):
        reference = vectors if vectors is not None else Track.of(np.zeros((0, 1)), np.zeros((0, 2)))
        return reference, [""] * len(reference)
    said = words.text()
    keep = np.array([word != PAUSE for word in said], bool)
    reference = (vectors if vectors is not None else words).rows(keep)
    return reference, [word for word, kept in zip(said, keep, strict=True) if kept]


def _track(split: RawSplit, sequence: Group, role: str, video: str) -> Track:
    group = sequence.group(video)
    values = group.array("features", "SU" if role == "words" else "fiu")
    intervals = group.array("intervals", "fiu")
    if values.ndim != 2 or intervals.shape != (len(values), 2) or 0 in values.shape:
        got = f"shapes {values.shape} and {intervals.shape} in video {video[:40]!r}"
        raise split.wrong(role, "features [n, D] and intervals [n, 2]", got)
    return Track.of(values, intervals.astype(np.float64))
