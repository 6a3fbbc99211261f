"""Folders with a file of features for each utterance, as GCNet, MoMKE, SDR-GNN and MERBench read them.

    features/<extractor>/<utterance>.npy      [D], or [T, D] for frames
    features/<extractor>/<utterance>/*.npy    the same, a file for each frame
    *_features_raw_?way.pkl or label*.npz     labels, see `utterance_labels.py`

The name of an extractor tells the modality (`extractors.py`). An utterance is missing a modality if the folder has no
file of it, or one of zeros only, as extractors write where they detect nothing.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.pickles import safe_pickle
from qamoe_bench.data.readers.extractors import modality_of
from qamoe_bench.data.readers.numpy_files import numbers_in
from qamoe_bench.data.readers.samples import SampleList, fill
from qamoe_bench.data.readers.utterance_labels import (
    UtteranceLabels,
    UtterancesBySplit,
    has_corpora,
    is_list_by_video,
    utterances_of_archive,
    utterances_of_list,
)
from qamoe_bench.data.source import RawSplit, Source
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

FORMAT = "folder of features by utterance"
FEATURES = "features"
LABEL_FILES = ("*_features_raw_*.pkl", "label*.npz")

_LAYOUT = "features/<extractor>/<utterance>.npy"
_SUFFIX = ".npy"


def is_folder_of_utterances(folder: Path) -> bool:
    """Whether a folder has the features or the labels of this layout."""
    return bool(_label_files(folder)) or (folder / FEATURES).is_dir()


def matches(content: object) -> bool:
    """Whether a pickle has labels in GCNet's list."""
    return is_list_by_video(content)


def is_label_archive(path: Path) -> bool:
    """Whether a file has labels in MERBench's archive."""
    return has_corpora(path)


def labels_alone(path: Path) -> BenchError:
    """The error for a file of labels without features."""
    folder = path.parent
    remedy = "" if (folder / FEATURES).is_dir() else f"put {_LAYOUT} there, and "
    return BenchError(f"{path}: expected features with labels, got labels alone; {remedy}give the folder {folder}")


def read(path: Path) -> Source:
    """The splits of a folder.

    Raises:
        BenchError: Features or labels are missing, or cannot be read.
    """
    labels, notes = _labels(path)
    utterances = labels.splits
    folders, more_notes = _feature_folders(path)
    features = {m: _FeatureFolder(folder) for m, folder in folders.items()}

    frames = {}
    for name in SPLITS:
        for utterance in utterances[name]:
            frames[utterance.name] = {m: x for m, files in features.items() if len(x := files.frames(utterance.name))}
    size = sum(files.bytes_read for files in features.values())
    lists = []
    for name in SPLITS:
        samples = SampleList(RawSplit(path, name, {}, size, "extract the features again"), [*features])
        for utterance in utterances[name]:
            samples.add(utterance.id or utterance.name, utterance.label, utterance.sentence, frames.pop(utterance.name))
        lists.append(samples)
    notes += [*labels.notes, *more_notes, *_unlabelled(features, utterances), *fill(lists)]
    return Source(FORMAT, path, tuple(samples.split for samples in lists), tuple(notes), task=labels.task)


def _label_files(folder: Path) -> list[Path]:
    """The files of labels in a folder; pickles first, since they have transcripts too."""
    files = [file for pattern in LABEL_FILES for file in sorted(folder.glob(pattern))]
    return [file for file in files if not file.name.startswith(".")]


def _labels(folder: Path) -> tuple[UtteranceLabels, list[str]]:
    """The labels of a folder, and notes."""
    files = _label_files(folder)
    if not files:
        expected = f"labels next to {FEATURES}/ (GCNet's ..._features_raw_2way.pkl or MERBench's label.npz)"
        raise BenchError(f"{folder}: expected {expected}, got none; put one of them there")
    chosen = files[0]
    same_kind = [file.name for file in files if file.suffix == chosen.suffix]
    if len(same_kind) > 1:
        got = " and ".join(same_kind[:3])
        raise BenchError(f"{folder}: expected one file of labels, got {got}; move the others out of the folder")
    notes = [f"labels: read from {chosen.name}."]
    notes += [f"{file.name} was not read, since {chosen.name} has the labels too." for file in files[1:]]
    if chosen.suffix == ".npz":
        return utterances_of_archive(chosen), notes
    return utterances_of_list(chosen, safe_pickle.load(chosen)), notes


def _feature_folders(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The folder of each modality, and notes on those that were not read."""
    place = folder / FEATURES
    if not place.is_dir():
        raise BenchError(f"{folder}: expected {_LAYOUT} next to the labels, got no {FEATURES}/; put the features there")
    names = sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith("."))
    by_modality: dict[str, list[str]] = {m: [] for m in MODALITIES}
    notes = []
    for name in names:
        modality = modality_of(name)
        if modality is None:
            notes.append(f"{FEATURES}/{ascii(name)[1:-1][:60]} names no known extractor and was left out.")
        else:
            by_modality[modality].append(name)
    for modality, several in by_modality.items():
        if len(several) > 1:
            got = " and ".join(ascii(name)[1:-1][:60] for name in several[:4])
            raise BenchError(
                f"{place}: expected one folder of features for {modality}, got {got}; keep one of them there and move "
                "the others away"
            )
    folders = {m: place / several[0] for m, several in by_modality.items() if several}
    if not folders:
        got = ", ".join(ascii(name)[1:-1][:40] for name in names[:6]) or "none"
        raise BenchError(
            f"{place}: expected folders named after an extractor, such as deberta-large-4-UTT, got {got}; rename them "
            "to text, audio and vision"
        )
    return folders, [*(f"{m}: read from {FEATURES}/{path.name}." for m, path in folders.items()), *notes]


class _FeatureFolder:
    """The features of one modality.

    Args:
        folder: The folder of its files.

    Attributes:
        names: The utterances that it has.
        bytes_read: Size of all files read so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Names come from the folder and never from the labels, so that no label can point to a file outside of it.
        self._files = {entry.name: entry.is_dir() for entry in os.scandir(folder) if not entry.name.startswith(".")}
        self.names = {name if is_dir else name.removesuffix(_SUFFIX) for name, is_dir in self._files.items()}
        self.bytes_read = 0

    def frames(self, utterance: str) -> NDArray[np.float32]:
        """Frames [T, D] of an utterance; without frames if the folder has none, or only zeros.

        Raises:
            BenchError: A file cannot be read, or its array has another shape.
        """
        if f"{utterance}{_SUFFIX}" in self._files:
            paths = [self._folder / f"{utterance}{_SUFFIX}"]
        elif self._files.get(utterance):
            paths = sorted(p for p in (self._folder / utterance).glob(f"*{_SUFFIX}") if not p.name.startswith("."))
        else:
            paths = []
        parts = [part for part in map(self._frames_in, paths) if len(part)]
        if not any(part.any() for part in parts):
            return np.zeros((0, 0), np.float32)
        if len({part.shape[1] for part in parts}) > 1:
            raise BenchError(f"{paths[0].parent}: expected frames of one width, got several; extract them again")
        return np.concatenate(parts)

    def _frames_in(self, path: Path) -> NDArray[np.float32]:
        """Frames [T, D] in one file."""
        array = numbers_in(path)
        self.bytes_read += path.stat().st_size
        if array.ndim < 2:
            array = array.reshape(1, -1)
        while array.ndim > 2 and array.shape[0] == 1:  # the axis of a batch
            array = array[0]
        if array.ndim != 2:
            raise BenchError(f"{path}: expected shape [D] or [T, D], got {array.shape!s:.60}; extract it again")
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to 0
            frames = array.astype(np.float32)
        return frames if frames.size else np.zeros((0, 0), np.float32)


def _unlabelled(features: Mapping[str, _FeatureFolder], utterances: UtterancesBySplit) -> list[str]:
    """A note on utterances that have features and no label, if there are some."""
    labelled = {utterance.name for parts in utterances.values() for utterance in parts}
    others = set().union(*(files.names for files in features.values())) - labelled
    return [f"{len(others)} utterances have no label and were left out."] if others else []
