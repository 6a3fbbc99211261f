"""MIntRec's folder: intents of utterances in three tables, and features of the segments in a pickle by modality.

    train.tsv, dev.tsv, test.tsv     a head, then season, episode, clip, text, label, ...
    audio_data/*.pkl                 {"<season>_<episode>_<clip>": [T, 768]}
    video_data/*.pkl                 the same with [T, 1, 256]
    text_data/*.pkl                  the same with [T, 768]; optional, since MIntRec encodes words while it trains

A season with its episode takes the place of a video in the names of samples. Layout as in thuiar/MIntRec @ 2fef2c2,
data/base.py, data/audio_pre.py and data/video_pre.py.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.known_classes import MINTREC
from qamoe_bench.data.names import ID_SEPARATOR
from qamoe_bench.data.readers.sample_tuples import NO_TEXT_FEATURES
from qamoe_bench.data.readers.samples import SampleList, fill
from qamoe_bench.data.readers.several_files import files_in, read_objects
from qamoe_bench.data.source import RawSplit, Source, count_leaves
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import Task

FORMAT = "MIntRec folder"
_TABLES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
_FOLDERS = {"text": "text_data", "audio": "audio_data", "vision": "video_data"}
_COLUMNS = 5

# Nesting of features: by segment, frame, and an axis of size 1.
_MAX_NESTING = 4


@dataclass(frozen=True)
class _Segment:
    """One row of a table."""

    parts: tuple[str, str, str]
    text: str
    label: str

    @property
    def key(self) -> str:
        """Its name in the pickles."""
        return "_".join(self.parts)

    @property
    def id(self) -> str:
        """The name of the sample, with season and episode as its video."""
        return f"{self.parts[0]}_{self.parts[1]}{ID_SEPARATOR}{self.parts[2]}"


def matches(path: Path) -> bool:
    """Whether a folder has the tables and a folder of features."""
    has_tables = all((path / name).is_file() for name in _TABLES.values())
    return has_tables and any((path / name).is_dir() for name in _FOLDERS.values())


def read(path: Path) -> Source:
    """The splits of a folder.

    Raises:
        BenchError: A table or the features cannot be read.
    """
    tables = {name: _table(path / file) for name, file in _TABLES.items()}
    features = {m: _features(path / name) for m, name in _FOLDERS.items() if (path / name).is_dir()}
    size = sum(bytes_read for bytes_read, _ in features.values())
    lists = []
    for name, segments in tables.items():
        samples = SampleList(RawSplit(path, name, {}, size, "extract the features again"), [*features])
        for segment in segments:
            frames = {m: _frames(path, of[segment.key]) for m, (_, of) in features.items() if segment.key in of}
            samples.add(segment.id, segment.label, segment.text, frames)
        lists.append(samples)
    notes = fill(lists)
    if "text" not in features:
        notes.insert(0, NO_TEXT_FEATURES)
    labels = {segment.label for segments in tables.values() for segment in segments}
    task = Task("classes", MINTREC if labels <= set(MINTREC) else ())
    return Source(FORMAT, path, tuple(samples.split for samples in lists), tuple(notes), task=task)


def _table(path: Path) -> list[_Segment]:
    """The segments in a table, without its head."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise BenchError(f"{path}: expected a table in UTF-8, got another file; fetch it again") from error
    segments = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) < _COLUMNS:
            raise BenchError(
                f"{path}: expected season, episode, clip, text and label in row {number}, got {len(row)} columns; "
                "separate them by tabs"
            )
        segments.append(_Segment((row[0], row[1], row[2]), row[3], row[4]))
    if not segments:
        raise BenchError(f"{path}: expected a head and rows, got no rows; fetch it again")
    return segments


def _features(folder: Path) -> tuple[int, Mapping[object, object]]:
    """The size of the pickle in a folder, and the features of each segment in it."""
    files = files_in(folder)
    if len(files) != 1:
        got = " and ".join(ascii(file.name)[1:-1][:60] for file in files[:3]) or "none"
        raise BenchError(f"{folder}: expected one pickle of features, got {got}; keep one there")
    contents = read_objects(files[0])
    if not isinstance(contents.value, dict):
        raise BenchError(f"{files[0]}: expected a dict of features by segment, got another; fetch it again")
    # The same list may occur many times, which would fill the memory as arrays.
    if count_leaves(list(contents.value.values()), _MAX_NESTING) > contents.size:
        raise BenchError(f"{files[0]}: expected features of each segment, got the same ones many times; fetch it again")
    return contents.size, contents.value


def _frames(path: Path, value: object) -> NDArray[np.float32]:
    """Frames [T, D] of a segment, which are stored as an array or as a list of frames."""
    try:
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to 0
            array = np.asarray(value if isinstance(value, np.ndarray | Sequence) else None, np.float32)
    except (ValueError, TypeError, OverflowError):
        array = np.zeros(1, np.float32)
    if array.size == 0:
        return np.zeros((0, 0), np.float32)
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 2:
        raise BenchError(f"{path}: expected features in shape [T, D] or [T, 1, D], got another; extract them again")
    return array
