"""Errors that the command line reports without a traceback.

BenchError      a mistake of the user: one line, exit status 2
RunFailed       the run itself failed, for example a training diverged: one line, exit status 1

Every other exception is a bug in this package and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """A mistake of the user; its message is one line that says what was expected, what was given and what to do."""


class RunFailed(Exception):
    """A valid run that could not be finished."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """The error for an unknown name, which suggests the most similar known one.

    Args:
        kind: Kind of the name, for the message, such as `protocol`.
        name: The unknown name.
        known: All valid names.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    # More tolerant than difflib's 0.6: names are short, so two wrong letters weigh much.
    hint = f"did you mean {near[0]!r}?" if near else "choose one of those"
    return BenchError(f"unknown {kind} {name!r}: expected one of {', '.join(names)}; {hint}")
