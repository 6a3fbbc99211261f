"""What can go wrong, as a family.

BenchError      the user's mistake: one line, exit status 2
RunFailed       the run itself failed (a training diverged): one line, exit status 1

Everything else is a bug in this package and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """The user's mistake, said in one line: what was expected, what came, what to do."""


class RunFailed(Exception):
    """A run that was asked for correctly and could not be finished."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """The error for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of those"
    return BenchError(f"unknown {kind} {name!r}: expected one of {', '.join(names)}; {hint}")
