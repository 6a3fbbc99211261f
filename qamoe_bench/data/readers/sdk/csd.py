"""CMU-MultimodalSDK's computational sequences: a folder with a file (`.csd`) for each, or one HDF5 file of all.

    <file>.csd:   <root>/data/<entry>/...                 also the SDK's deployed folders, such as final_aligned
    mosi.hdf5:    <sequence>/<entry>/...                  as MultiBench stores them

One sequence has the labels, others the words or their vectors, audio and vision; `roles.py` decides which.
`sequences.py` describes entries, `word_alignment.py` reads whole videos, and `segments.py` segments.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from qamoe_bench.data.readers.sdk.folds import folds_of
from qamoe_bench.data.readers.sdk.hdf5 import Group, opened
from qamoe_bench.data.readers.sdk.roles import RoleRemedies, role_notes, roles_of
from qamoe_bench.data.readers.sdk.segments import are_segments, read_segments, videos_of
from qamoe_bench.data.readers.sdk.sequences import EntryArrays, Sequences, has_text
from qamoe_bench.data.readers.sdk.word_alignment import read_by_words
from qamoe_bench.data.source import Source
from qamoe_bench.errors import BenchError

FORMAT = "CMU-MultimodalSDK sequences"
SUFFIX = ".csd"

_IN_A_FOLDER = RoleRemedies(
    missing="put that .csd file there too", several="keep one of them and move the others out of the folder"
)
_IN_A_FILE = RoleRemedies(
    missing="name its groups as MultiBench does: words, text, audio, vision, labels",
    several="delete all but one from the file (h5py: del file[name])",
)


def read(folder: Path) -> Source:
    """The splits of a folder of `.csd` files.

    Raises:
        BenchError: A file cannot be read or is not safe to read, or a required one is missing.
    """
    # Systems leave hidden files behind that have the name of a sequence.
    paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
    with ExitStack() as stack:
        # All files stay open, since every video is read from each of them in turn.
        roots = {}
        groups = {}
        for path in paths:
            roots[path.name], groups[path.name] = _only_sequence(path, stack.enter_context(opened(path)))
        size = sum(path.stat().st_size for path in paths)
        return _read_groups(folder, size, roots, groups, _IN_A_FOLDER)


def _only_sequence(path: Path, file: Group) -> tuple[str, Group]:
    """Name and data of the one sequence in a file."""
    names = list(file)
    if len(names) != 1:
        got = f"{len(names)}; fetch it again, or give the path of this file if it has all of them"
        raise BenchError(f"{path}: expected one sequence, got {got}")
    return names[0], file.group(names[0]).group("data")


def read_file(path: Path) -> Source:
    """The splits of one HDF5 file with a group for each sequence.

    Raises:
        BenchError: The file cannot be read or is not safe to read, or has other content.
    """
    with opened(path) as file:
        names = [name for name in file if file.child(name) is not None]
        if not names:
            first = next(iter(file), "")
            got = f"arrays such as {ascii(first)[1:-1]:.40}" if first else "an empty file"
            raise BenchError(
                f"{path}: expected a group for each sequence of a data set, got {got}; give a file or folder that has "
                "labels and all modalities"
            )
        if len(names) == 1 and "data" in file.group(names[0]):
            raise BenchError(
                f"{path}: expected all sequences of a data set, got {ascii(names[0])[:40]} alone; give the folder "
                f"{path.parent}, with the .csd files of the others in it"
            )
        groups = {}
        for name in names:
            group = file.group(name)
            groups[name] = group.group("data") if "data" in group else group
        roots = {name: name for name in names}
        return _read_groups(path, path.stat().st_size, roots, groups, _IN_A_FILE)


def _read_groups(
    path: Path, size: int, roots: Mapping[str, str], groups: Mapping[str, Group], remedies: RoleRemedies
) -> Source:
    """The splits of sequences in open files."""
    names = _by_kind_of_values(roles_of(path, roots, remedies), groups)
    notes = role_notes(names, roots)
    roles = {role: EntryArrays(groups[name], is_text=role == "words") for role, name in names.items()}
    sequences = Sequences(path, size, roles, names)
    segmented = are_segments(sequences)
    videos = videos_of(roles["labels"].entries) if segmented else roles["labels"].entries
    folds = folds_of(path, videos)
    outside = frozenset(videos).difference(*folds.values())
    if outside:
        notes.append(f"{len(outside)} of {len(videos)} videos are in no fold and were left out.")
    splits, more = (read_segments if segmented else read_by_words)(sequences, folds)
    return Source(FORMAT, path, tuple(splits), (*notes, *more))


def _by_kind_of_values(names: Mapping[str, str], groups: Mapping[str, Group]) -> dict[str, str]:
    """The same roles, with text for words and numbers for text features, whatever their names are."""
    by_kind = {role: name for role, name in names.items() if role not in ("words", "text")}
    misnamed: dict[str, str] = {}
    for role in ("words", "text"):
        if role in names:
            kind = "words" if has_text(groups[names[role]]) else "text"
            (by_kind if kind == role else misnamed)[kind] = names[role]
    return {**misnamed, **by_kind}
