"""The role of each `.csd` file in a folder: labels, words, or features of a modality."""

from collections.abc import Mapping
from pathlib import Path

from qamoe_bench.data.readers.sample_tuples import NO_TEXT_FEATURES
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

ROLES: Mapping[str, tuple[str, ...]] = {
    "labels": ("label",),
    "text": ("wordvector", "glove", "bert"),
    "words": ("timestampedwords", "words"),
    "audio": ("covarep", "opensmile", "acoustic", "audio"),
    "vision": ("facet", "openface", "visual", "video"),
}
"""Parts of names by which the sequence of a role is recognised, the most preferred first."""

# Letters of a list of file names in an error message.
_MAX_LISTED_LETTERS = 200


def roles_of(folder: Path, roots: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Assign the files of a folder to roles.

    Args:
        folder: The folder, for error messages.
        roots: Name of the sequence in each file, by the name of the file.

    Returns:
        The file of each role, and notes on the assignment, one sentence each.

    Raises:
        BenchError: There are no labels, no words or no features.
    """
    # Both names count, since files are often renamed.
    unassigned = {file: _normalised(f"{file} {root}") for file, root in roots.items()}
    chosen = _take_roles(unassigned)
    _check_roles(folder, chosen, ", ".join(roots)[:_MAX_LISTED_LETTERS])

    notes = [f"{role}: read from {file}." for role, file in chosen.items()]
    notes += [f"{file} has no known role and was left out." for file in unassigned]
    if "text" not in chosen:
        notes.append(NO_TEXT_FEATURES)
    return chosen, notes


def _take_roles(unassigned: dict[str, str]) -> dict[str, str]:
    """The file of each role; removes it from the normalised names, so that no file has two roles."""
    chosen = {}
    for role, parts in ROLES.items():
        file = _first_match(unassigned, parts)
        if file is not None:
            chosen[role] = file
            del unassigned[file]
    return chosen


def _normalised(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _first_match(names: Mapping[str, str], parts: tuple[str, ...]) -> str | None:
    """The first file whose normalised name contains the most preferred part."""
    for part in parts:
        for file, name in names.items():
            if part in name:
                return file
    return None


def _check_roles(folder: Path, chosen: Mapping[str, str], files: str) -> None:
    """Refuse a folder that is not enough for a data set."""
    missing = None
    if "labels" not in chosen:
        missing = "labels"
    elif "text" not in chosen and "words" not in chosen:
        missing = "words or word vectors"  # segments are sequences of words
    if missing:
        raise BenchError(f"{folder}: expected a sequence of {missing}, got {files}; put that .csd file there too")
    if not any(m in chosen for m in MODALITIES):
        raise BenchError(f"{folder}: expected features of text, audio or vision, got {files}; add some")
