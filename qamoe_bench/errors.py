"""Errors that the command line reports without a traceback.

BenchError      a mistake of the user: one line, exit status 2
RunFailed       the run itself failed, for example a training diverged: one line, exit status 1

Every other exception is a bug in this package and keeps its traceback.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_WORD = 400  # characters of a name or path that a message quotes whole
LONGEST_MESSAGE = 2000


class _OneLine(Exception):
    """An error whose message is one line of bounded length, however long the names are that it quotes."""

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())
        if len(line) > LONGEST_WORD:
            line = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: _without_middle(word[0], LONGEST_WORD), line)
        super().__init__(_without_middle(line, LONGEST_MESSAGE))


class BenchError(_OneLine):
    """A mistake of the user; its message is one line that says what was expected, what was given and what to do."""


class RunFailed(_OneLine):
    """A valid run that could not be finished."""


MAX_LISTED = 16  # names that a message lists; of more, those that are most similar
SHOWN_OF_MANY = 6
CUTOFF = 0.55  # more tolerant than difflib's 0.6: names are short, so two wrong letters weigh much
OTHER_WORDS = {
    "accuracy": "acc2_non0 wa", "acc": "acc2_non0 wa", "acc2": "acc2_non0", "f1": "f1_non0 f1_weighted",
    "correlation": "corr", "war": "wa", "uar": "ua", "balanced-accuracy": "ua", "balanced_accuracy": "ua",
    "recall": "ua", "wf1": "f1_weighted", "auc": "auroc", "log-loss": "nll", "cross-entropy": "nll",
    "calibration": "ece",
    "pearson": "corr", "l1": "mae", "gpu": "cuda", "md": "markdown", "tex": "latex", "txt": "terminal",
    "text": "terminal", "plain": "terminal", "video": "vision", "visual": "vision", "acoustic": "audio",
    "language": "text", "noise": "quality-degradation", "missing": "random-missing",
}  # fmt: skip
"""What others call a name, or several, of which the first that is known counts; names are never looked up here."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """The error for an unknown name, which suggests the most similar known one.

    Args:
        kind: Kind of the name, for the message, such as `protocol`.
        name: The unknown name.
        known: All valid names.
    """
    names = sorted(known)
    near = similar_names(name, names)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of those"
    shown = ", ".join(names)
    if near and len(names) > MAX_LISTED:
        closest = get_close_matches(name.casefold(), names, n=SHOWN_OF_MANY, cutoff=0.0)
        shown = f"{', '.join(dict.fromkeys([near[0], *closest]))} and others ({len(names)} in all)"
    return BenchError(f"unknown {kind} {name!r}: expected one of {shown}; {hint}")


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """Known names that an unknown one may stand for, the most likely first.

    Upper case, hyphens and underscores do not count; then other words for a name, names that begin or end like it, and
    those that are spelt like it.
    """
    plain = {_letters(other): other for other in sorted(known)}
    letters = _letters(name)
    if letters in plain:
        return [plain[letters]]
    aliases = [alias for alias in OTHER_WORDS.get(name.casefold(), "").split() if alias in plain.values()]
    if aliases:
        return aliases[:1]
    near = get_close_matches(letters, plain, n=3, cutoff=CUTOFF)
    # Of one beginning there may be many names; the shortest is the plainest.
    begins = [other for other in plain if letters and other.startswith(letters)]
    if len(letters) > 1 and begins:
        near = [min(begins, key=len), *near]
    return [plain[other] for other in dict.fromkeys(near)]


def _without_middle(text: str, length: int) -> str:
    """The text, or its two ends of so many characters in all."""
    return text if len(text) <= length else f"{text[: length * 2 // 3]}…{text[-(length // 3) :]}"


def _letters(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
