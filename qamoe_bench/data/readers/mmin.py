"""Folders of MMIN's data sets, IEMOCAP and MSP-IMPROV: features by utterance in HDF5, and targets of several folds.

    A/<name>.h5, V/<name>.h5, L/<name>.h5     [T, D] of each utterance by its name: audio, vision and text
    target/<fold>/{trn,val,tst}_label.npy     [N, C] one-hot (IEMOCAP), or [N] numbers of classes (MSP-IMPROV)
    target/<fold>/{trn,val,tst}_int2name.npy  [N] or [N, 1], the names

Of the folds the first is read; the path of another one, `<folder>/target/<fold>`, chooses it. The statistics in
`comparE_mean_std.h5` are not needed, since models get those of the training split. The repository does not name the
classes. Layout as in AIM3-RUC/MMIN @ 2f22403, data/multimodal_dataset.py.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.names import with_dialogue
from qamoe_bench.data.readers.numpy_files import numbers_in, texts_in
from qamoe_bench.data.readers.samples import SampleList, fill
from qamoe_bench.data.readers.sdk.hdf5 import Group, opened
from qamoe_bench.data.source import RawSplit, Source
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import Task

FORMAT = "MMIN folder"
_FOLDERS = {"text": "L", "audio": "A", "vision": "V"}
_SPLITS = {"train": "trn", "valid": "val", "test": "tst"}
_STATISTICS = "_mean_std"
_REMEDY = "extract the features again"


def matches(path: Path) -> bool:
    """Whether a folder is that of a data set or of one of its folds."""
    root = _root(path)
    return root is not None and (root != path or (path / "target").is_dir())


def _root(path: Path) -> Path | None:
    """The folder that holds features and `target`; None if there is none here."""
    place = path.absolute()
    candidates = [path, *([place.parent.parent] if place.parent.name == "target" else [])]
    return next((root for root in candidates if any((root / name).is_dir() for name in _FOLDERS.values())), None)


def read(path: Path) -> Source:
    """The splits of one fold.

    Raises:
        BenchError: Targets or features are missing or cannot be read.
    """
    root = _root(path)
    assert root is not None  # or the folder would not match
    fold, notes = _fold(path, root)
    targets = {name: _targets(fold, short) for name, short in _SPLITS.items()}
    files = {m: file for m, name in _FOLDERS.items() if (file := _features_file(root / name)) is not None}
    if not files:
        raise BenchError(f"{root}: expected features in A/, V/ or L/ as .h5, got none; put them there")
    size = sum(file.stat().st_size for file in files.values())
    lists = [SampleList(RawSplit(path, name, {}, size, _REMEDY), [*files]) for name in targets]
    frames = {modality: _frames(file, targets) for modality, file in files.items()}
    for samples, (names, labels) in zip(lists, targets.values(), strict=True):
        for name, label in zip(names, labels, strict=True):
            own = {modality: of[name] for modality, of in frames.items() if name in of}
            samples.add(with_dialogue(name), label, "", own)
    notes += [f"{m}: read from {file.parent.name}/{file.name}." for m, file in files.items()] + fill(lists)
    # One-hot columns say themselves that they are classes.
    task = Task("classes") if all(labels.ndim == 1 for _, labels in targets.values()) else None
    return Source(FORMAT, path, tuple(samples.split for samples in lists), tuple(notes), task=task)


def _fold(path: Path, root: Path) -> tuple[Path, list[str]]:
    """The folder of the targets, and a note if there are others."""
    if path != root:
        return path, []
    folds = sorted((p for p in (root / "target").iterdir() if p.is_dir()), key=lambda p: (len(p.name), p.name))
    if not folds:
        raise BenchError(f"{root / 'target'}: expected a folder for each fold, such as 1/, got none; put one there")
    if len(folds) == 1:
        return folds[0], []
    other = folds[1]
    return folds[0], [
        f"labels: of {len(folds)} folds the first was read, target/{folds[0].name}; the path {other} reads another."
    ]


def _targets(fold: Path, short: str) -> tuple[list[str], NDArray[np.float64]]:
    """The names of the samples of a split, and their labels [N] or [N, C]."""
    labels = numbers_in(fold / f"{short}_label.npy").astype(np.float64)
    names = texts_in(fold / f"{short}_int2name.npy")
    if names.ndim == 2 and names.shape[1] == 1:
        names = names[:, 0]
    if names.ndim != 1 or labels.ndim not in (1, 2) or len(names) != len(labels) or not len(names):
        got = f"shapes {names.shape!s:.40} and {labels.shape!s:.40}"
        raise BenchError(f"{fold}: expected as many names as labels in {short}_*.npy, got {got}; save them again")
    return [str(name) for name in names.tolist()], labels


def _features_file(folder: Path) -> Path | None:
    """The file of features of one modality; None if there is none."""
    if not folder.is_dir():
        return None
    files = [file for file in sorted(folder.glob("*.h5")) if _STATISTICS not in file.name and file.name[0] != "."]
    if len(files) > 1:
        got = " and ".join(ascii(file.name)[1:-1][:60] for file in files[:3])
        raise BenchError(f"{folder}: expected one file of features, got {got}; keep one there and move the others away")
    return files[0] if files else None


def _frames(file: Path, targets: dict[str, tuple[list[str], NDArray[np.float64]]]) -> dict[str, NDArray[np.float32]]:
    """The frames [T, D] of all utterances that a file has."""
    wanted = dict.fromkeys(name for names, _ in targets.values() for name in names)
    with opened(file) as root:
        return {name: _frames_of(root, file, name) for name in wanted if name in root}


def _frames_of(root: Group, file: Path, name: str) -> NDArray[np.float32]:
    array = root.array(name)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise BenchError(f"{file}: {name[:40]!r}: expected shape [T, D], got {array.shape!s:.60}; {_REMEDY}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to 0
        return array.astype(np.float32)
