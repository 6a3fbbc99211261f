"""Folders that the field shares: those that are read, and one line for each of the others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qamoe_bench.data.readers import mintrec, mmin, several_files, utterances
from qamoe_bench.data.readers.layouts import in_layout
from qamoe_bench.data.readers.sdk import csd
from qamoe_bench.data.source import Source
from qamoe_bench.errors import BenchError

_HDF5_SUFFIXES = (".hdf5", ".h5")

# How many entries of an unknown folder are looked at and how many are listed.
_MAX_ENTRIES = 10_000
_MAX_LISTED = 8
_MAX_LETTERS = 40


@dataclass(frozen=True)
class _UnreadableLayout:
    """A known layout that cannot be read.

    Attributes:
        matches: Whether a folder with these entries, up to two levels deep, is in this layout.
        expected: What a data set needs.
        got: The layout, and what it has instead.
        remedy: What to do.
    """

    matches: Callable[[set[str]], bool]
    expected: str
    got: str
    remedy: str


def _is_cross_modal_bert(entries: set[str]) -> bool:
    names = {entry.rpartition("/")[2] for entry in entries}
    return {"train.tsv", "dev.tsv", "test.tsv"} <= names


def _is_ur_funny(entries: set[str]) -> bool:
    names = {entry.rpartition("/")[2] for entry in entries}
    return "humor_label_sdk.pkl" in names or {"data_folds.pkl", "covarep_features_sdk.pkl"} <= names


_UNREADABLE = (
    _UnreadableLayout(
        _is_ur_funny,
        "features, labels and splits in one file",
        "the layout of UR-FUNNY, with a pickle for each of them",
        "use MultiBench's humor.pkl, or write train, valid and test with text, audio, vision, labels and id",
    ),
    _UnreadableLayout(
        _is_cross_modal_bert,
        "features, words and labels in one file",
        "the layout of Cross-Modal-BERT, with audio in a pickle, and words and labels in train.tsv, dev.tsv, test.tsv",
        "write a pickle in MMSA's layout: for train, valid and test a dict of audio [N, T, D], raw_text and "
        "regression_labels",
    ),
)


def read(path: Path) -> Source:
    """The splits of a folder in any shared layout.

    Raises:
        BenchError: The folder is in none of them, or its content cannot be read.
    """
    files = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if any(file.suffix == csd.SUFFIX for file in files):
        return csd.read(path)
    if utterances.is_folder_of_utterances(path):
        return utterances.read(path)
    if mmin.matches(path):
        return mmin.read(path)
    if mintrec.matches(path):
        return mintrec.read(path)
    hdf5_files = [file for file in files if file.suffix in _HDF5_SUFFIXES and file.is_file()]
    if len(hdf5_files) > 1:
        got = " and ".join(file.name for file in hdf5_files[:3])
        raise BenchError(f"{path}: expected one HDF5 file, got {got}; give the path of one of them")
    if hdf5_files:
        return csd.read_file(hdf5_files[0])
    entries = set(islice(_entries(path), _MAX_ENTRIES))
    for unread in _UNREADABLE:
        if unread.matches(entries):
            raise BenchError(f"{path}: expected {unread.expected}, got {unread.got}; {unread.remedy}")
    by_split = several_files.split_files(path)
    if by_split:
        return in_layout(several_files.joined_splits(path, by_split))
    pickles = several_files.files_in(path)
    if len(pickles) > 1:
        return several_files.joined_modalities(path, pickles)
    if pickles:
        return in_layout(several_files.read_objects(pickles[0]))
    raise _unknown(path, files)


def _entries(path: Path) -> Iterator[str]:
    """The entries of a folder and of the folders in it, by their paths below it."""
    for entry in path.iterdir():
        yield entry.name
        if entry.is_dir():
            for inner in entry.iterdir():
                yield f"{entry.name}/{inner.name}"


def _unknown(path: Path, files: list[Path]) -> BenchError:
    """The error for a folder in no known layout, with what it contains."""
    listed = [ascii(file.name)[1:-1][:_MAX_LETTERS] + ("/" if file.is_dir() else "") for file in files[:_MAX_LISTED]]
    more = f" and {len(files) - _MAX_LISTED} more" if len(files) > _MAX_LISTED else ""
    got = (", ".join(listed) or "an empty one") + more
    return BenchError(
        f"{path}: expected a folder written by 'qamoe-bench data convert', a folder of .csd files, or one with "
        f"features/<extractor>/<utterance>.npy and labels, got {got}; {_remedy(path, files)}"
    )


def _remedy(path: Path, files: list[Path]) -> str:
    """Advice for a folder in no known layout: the folder that was probably meant, if it holds this one or is in it."""
    if path.name == utterances.FEATURES and utterances.is_folder_of_utterances(path.parent):
        return f"give the folder {path.parent}"
    folders = [file for file in files if file.is_dir()][:_MAX_LISTED]
    with_sequences = [folder for folder in folders if any(folder.glob(f"*{csd.SUFFIX}"))]
    if len(with_sequences) > 1:  # the SDK's server has folders language, acoustic, visual and labels
        names = ", ".join(ascii(folder.name)[1:-1][:_MAX_LETTERS] + "/" for folder in with_sequences)
        return f"put the .csd files of {names} into one folder, or give the path of one of these if it has all"
    known = with_sequences or [folder for folder in folders if utterances.is_folder_of_utterances(folder)]
    return f"give the folder {known[0]}" if known else "give the path of a data file"
