"""A folder of several pickles: one file per split, or one file per modality beside the one with the labels.

    train.pkl, dev.pkl, test.pkl         MISA, MMIM, BBFN, UniMSE and others; also train_data.pkl, mosi_train.pkl, ...
    base.pkl, audio.pkl, vision.pkl      MMSA's --feature_A and --feature_V: all splits in each file, joined by id

Nothing is joined by position. A sample that a file of a modality lacks is a sample without this modality.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qamoe_bench.data.contents import Contents, contents_of
from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.file_kinds import START_BYTES, check_is_data
from qamoe_bench.data.names import stored_names
from qamoe_bench.data.readers import arrays
from qamoe_bench.data.readers.keys import SYNONYMS, rename_keys
from qamoe_bench.data.readers.splits import named, role_of, splits_present, three_splits
from qamoe_bench.data.source import LABELS, RawSplit, Source, is_list
from qamoe_bench.data.unpacking import unpacked
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

_SUFFIXES = (".pkl", ".pickle", ".p", ".pt", ".pth", ".gz")


def files_in(folder: Path) -> list[Path]:
    """The files of a folder that may hold arrays, hidden ones left out."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [path for path in paths if path.suffix.lower() in _SUFFIXES]


def read_objects(path: Path) -> Contents:
    """The objects in a pickle or a file of torch, compressed or not.

    Raises:
        BenchError: It is none, or damaged.
    """
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    check_is_data(path, start)
    with unpacked(path, start) as inner:
        contents = contents_of(inner)
    return Contents(path, contents.size, contents.value, contents.notes)


# One file per split.


def split_files(folder: Path) -> dict[str, Path] | None:
    """The file of each split, if the files are named so; None if they are not.

    Raises:
        BenchError: Two files have the name of one split.
    """
    chosen: dict[str, Path] = {}
    for path in files_in(folder):
        name = _split_in(path.name)
        if name is None:
            continue
        if name in chosen:
            raise BenchError(
                f"{folder}: expected one file for the split {name!r}, got {chosen[name].name} and {path.name}; put the "
                "files of one data set into a folder of their own"
            )
        chosen[name] = path
    return chosen or None


def _split_in(file_name: str) -> str | None:
    """The split that one of the words in a file's name means."""
    words = re.split(r"[^a-z]+", file_name.partition(".")[0].lower())
    meant = {role_of(word) for word in words} - {None}
    return meant.pop() if len(meant) == 1 else None


def joined_splits(folder: Path, files: Mapping[str, Path]) -> Contents:
    """The contents of the files as one dict of splits.

    Raises:
        BenchError: The file of a split is missing or damaged.
    """
    for name in SPLITS:
        if name not in files:
            present = ", ".join(path.name for path in files.values())
            raise BenchError(f"{folder}: expected a file for the split {name!r}, got {present}; add {name}.pkl")
    value: dict[str, object] = {}
    size = 0
    notes: list[str] = []
    for name in SPLITS:
        contents = read_objects(files[name])
        value[name] = _only_split(contents.value, name)
        size += contents.size
        notes += contents.notes
    return Contents(folder, size, value, (*notes, *_left_out(folder, files.values())))


def _only_split(value: object, name: str) -> object:
    """The split in a file that holds a dict with nothing but this split."""
    present = splits_present(value)
    return present[name] if list(present) == [name] else value


def _left_out(folder: Path, used: Any) -> list[str]:
    """A note on the files of a folder that are not read."""
    names = {path.name for path in used}
    others = [
        path.name for path in sorted(folder.iterdir()) if path.name not in names and not path.name.startswith(".")
    ]
    return [f"Files not read: {named(others)}."] if others else []


# One file per modality.


def joined_modalities(folder: Path, paths: Sequence[Path]) -> Source:
    """The splits of the file with labels, with modalities of the other files joined by id.

    Raises:
        BenchError: Not exactly one file has labels, two files have the same modality, or ids are missing.
    """
    files = {path: read_objects(path) for path in paths}
    base = [path for path, contents in files.items() if _has_labels(contents.value)]
    if len(base) != 1:
        names = [path.name for path in base or paths]
        raise BenchError(
            f"{folder}: expected one file with labels, got {named(names)}; give the path of one file, or keep one file "
            "with labels in the folder"
        )
    source = arrays.read(files[base[0]])
    notes = list(source.notes)
    sizes = sum(contents.size for contents in files.values())
    splits = [_in_folder(split, folder, sizes) for split in source.splits]
    taken: dict[str, Path] = {}
    for path in paths:
        if path != base[0]:
            notes += _join(splits, files[path], base[0], taken)
    return Source("one pickle per modality", folder, tuple(splits), (*notes, *_left_out(folder, paths)))


def _in_folder(split: RawSplit, folder: Path, size: int) -> RawSplit:
    return RawSplit(folder, split.name, split.content, size, split.remedy, split.file_keys)


def _has_labels(value: object) -> bool:
    """Whether the splits of a file have labels, under any name."""
    names = {LABELS, *SYNONYMS[LABELS]}
    for split in splits_present(value).values():
        if isinstance(split, dict) and any(isinstance(key, str) and key.lower() in names for key in split):
            return True
    return False


def _join(splits: Sequence[RawSplit], contents: Contents, base: Path, taken: dict[str, Path]) -> list[str]:
    """Add the modalities of a file to the splits of another one; gives notes, one sentence each."""
    parts, notes = three_splits(contents)
    lacking = dict.fromkeys(MODALITIES, 0)
    for split in splits:
        other = RawSplit(contents.path, split.name, _as_dict(contents, parts[split.name]), contents.size, _REMEDY)
        # Labels of the base stand in, so that the keys can be checked.
        other.content[LABELS] = np.zeros(_samples_of(other))
        notes += [f"{contents.path.name}: {note}" for note in rename_keys(other)]
        del other.content[LABELS]
        rows = _rows_by_id(split, other)
        for modality in [m for m in MODALITIES if m in other.content]:
            _check_free(split, modality, contents.path, base, taken)
            if modality in split.content:
                notes.append(f"{modality}: not read from {base.name}, because {contents.path.name} has it too.")
            _take(split, other, modality, rows)
            lacking[modality] += int((rows < 0).sum())
        unread = [key for key in other.content if key not in ("id", *MODALITIES)]
        if unread:
            notes.append(f"{contents.path.name}: not read: {named(unread)}.")
    for modality, count in lacking.items():
        if taken.get(modality) == contents.path:
            notes.append(f"{modality}: read from {contents.path.name}, joined by id; {count} samples lack it.")
    return list(dict.fromkeys(notes))


_REMEDY = "store a dict of splits, each with a modality and the key 'id'"


def _as_dict(contents: Contents, value: object) -> dict[object, object]:
    if not isinstance(value, dict):
        raise BenchError(f"{contents.path}: expected a dict of arrays per split, got another; {_REMEDY}")
    return dict(value)


def _samples_of(split: RawSplit) -> int:
    ids = split.content.get("id")
    if not is_list(ids):
        raise split.wrong("id", "ids to join the file by", "none", "store the ids of the samples under 'id'")
    return len(ids)


def _rows_by_id(split: RawSplit, other: RawSplit) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The row of each sample of a split in another file [N]; -1 where it lacks the sample.

    Raises:
        BenchError: One of the files has no ids or the same id twice, or they share no sample.
    """
    ours = stored_names(split, split.content.get("id"), _samples_of(split))
    theirs = stored_names(other, other.content["id"], _samples_of(other))
    if len(set(theirs)) < len(theirs) or len(set(ours)) < len(ours):
        raise other.wrong("id", "different ids", "the same id several times", "make them unique in both files")
    rows = {name: row for row, name in enumerate(theirs)}
    places = np.array([rows.get(name, -1) for name in ours])
    if not theirs or not ours:
        raise other.wrong("id", "ids of samples", "none", "store the ids of the samples under 'id'")
    if (places < 0).all():
        got = f"{theirs[0]!r:.40} and {ours[0]!r:.40}"
        raise other.wrong("id", "ids as in the file with labels", got, "write the ids of both files alike")
    return places


def _check_free(split: RawSplit, modality: str, path: Path, base: Path, taken: dict[str, Path]) -> None:
    """Decide which file a modality is read from: the one whose name says it, or the only one that has it."""
    rival = taken.setdefault(modality, path)
    if rival == path and (modality not in split.content or _names_modality(path.name, modality)):
        return
    other = rival if rival != path else base
    raise BenchError(
        f"{split.path}: expected {modality} in one file, got it in {other.name} and {path.name}; remove one of them "
        f"from the folder, or name the one that is meant {modality}.pkl"
    )


def _names_modality(file_name: str, modality: str) -> bool:
    words = re.split(r"[^a-z]+", file_name.partition(".")[0].lower())
    if {modality, *SYNONYMS[modality]}.intersection(words):
        return True
    return words[-2:] == ["feature", modality[0]]  # MMSA's feature_T, feature_A and feature_V


def _take(split: RawSplit, other: RawSplit, modality: str, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """Put the samples of a modality into the order of the split; zeros where the file lacks one."""
    arrays.pad_sequences(other)
    values = other.numbers(modality, _samples_of(other))
    present = rows >= 0
    ordered = values[np.maximum(rows, 0)]  # a copy
    ordered[~present] = 0
    split.content[modality] = ordered
    key = f"{modality}_lengths"
    split.content.pop(key, None)
    if other.content.get(key) is not None:
        lengths = other.numbers(key, _samples_of(other))
        split.content[key] = np.where(present, lengths.reshape(-1)[np.maximum(rows, 0)], 0)
