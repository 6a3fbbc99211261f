"""The role of each sequence of CMU-MultimodalSDK: labels, words, or features of a modality."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qamoe_bench.data.readers.extractors import modality_of, normalised
from qamoe_bench.data.readers.sample_tuples import NO_TEXT_FEATURES
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

PREFERRED: Mapping[str, tuple[str, ...]] = {
    "labels": ("sentiment", "opinion"),
    "words": ("timestampedwords",),
    "text": ("wordvector", "glove"),
    "audio": ("covarep",),
    "vision": ("facet",),
}
"""The roles, with parts of names that decide between several sequences for one, the most preferred first."""

# Letters of a list of names in an error message.
_MAX_LISTED_LETTERS = 200


@dataclass(frozen=True)
class RoleRemedies:
    """Advice for an assignment that fails, which depends on the kind of file.

    Attributes:
        missing: Advice if a sequence is missing.
        several: Advice if there are several sequences for one role.
    """

    missing: str
    several: str


def roles_of(path: Path, roots: Mapping[str, str], remedies: RoleRemedies) -> dict[str, str]:
    """Assign sequences to roles.

    Args:
        path: The file or folder of the sequences, for error messages.
        roots: The sequence's own name, by the name of its file; in a file of several, its own name twice.
        remedies: The last part of error messages.

    Returns:
        The sequence of each role, by its key in `roots`.

    Raises:
        BenchError: There are no labels of sentiment, no words, no features, or several sequences for one role.
    """
    candidates: dict[str, list[str]] = {role: [] for role in PREFERRED}
    for name, root in roots.items():
        role = _role(name, root)
        if role is not None:
            candidates[role].append(name)
    chosen = {}
    for role, names in candidates.items():
        best = _preferred(role, {name: normalised(f"{name} {roots[name]}") for name in names})
        if len(best) > 1:
            raise BenchError(f"{path}: expected one sequence for {role}, got {_printable(best)}; {remedies.several}")
        if best:
            chosen[role] = best[0]
    _check_roles(path, chosen, roots, remedies.missing)
    return chosen


def _role(name: str, root: str) -> str | None:
    """The role that the names of a sequence name."""
    both = normalised(f"{name} {root}")
    if "label" in both or "sentiment" in both or "opinion" in both:
        return None if _is_emotions(name) or _is_emotions(root) else "labels"
    if ("word" in both or "transcript" in both or "rawtext" in both) and "vec" not in both and "embed" not in both:
        return "words"
    # A file name such as `CMU_MOSEI_VisualFacet42.csd` and its root `FACET 4.2` name the same modality.
    return modality_of(both)


def _is_emotions(name: str) -> bool:
    return "emotion" in normalised(name) and "sentiment" not in normalised(name)


def _preferred(role: str, names: Mapping[str, str]) -> list[str]:
    """Those of several sequences, given by normalised names, that have the most preferred part in their names."""
    for part in PREFERRED[role]:
        best = [key for key, name in names.items() if part in name]
        if best:
            return best
    return list(names)


def _check_roles(path: Path, chosen: Mapping[str, str], roots: Mapping[str, str], remedy: str) -> None:
    """Refuse what is not enough for a data set."""
    missing = None
    if "labels" not in chosen:
        missing = "a sequence of sentiment labels"
    elif not any(m in chosen for m in MODALITIES):
        missing = "features of text, audio or vision"
    if missing:
        raise BenchError(f"{path}: expected {missing}, got {_printable(roots)}; {remedy}")


def role_notes(chosen: Mapping[str, str], roots: Mapping[str, str]) -> list[str]:
    """A sentence on each sequence: for what it was read, or why it was not.

    Args:
        chosen: The sequence of each role.
        roots: All sequences, as for `roles_of`.
    """
    notes = [f"{role}: read from {name}." for role, name in chosen.items()]
    for name in roots:
        if name not in chosen.values():
            other = chosen.get(_role(name, roots[name]) or "")
            reason = f"was not read, since {other} was" if other else "has no known role and was left out"
            notes.append(f"{name} {reason}.")
    if "text" not in chosen:
        notes.append(NO_TEXT_FEATURES)
    return notes


def _printable(names: Iterable[str]) -> str:
    """Names of a hostile file as a short list of printable characters."""
    return ascii(", ".join(names))[1:-1][:_MAX_LISTED_LETTERS]
