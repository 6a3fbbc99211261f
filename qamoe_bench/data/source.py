"""What a reader finds in a file before anything is mended, in one vocabulary whatever the format.

text, audio, vision                              [N, T, D] or [N, D]; a modality may be absent
text_lengths, audio_lengths, vision_lengths      [N], optional: valid frames, 0 where a sample lacks the modality
text_bert                                        [N, 3, L], optional: token ids, attention mask, segments
regression_labels                                [N], [N, 1] or [N, 1, 1]
id, raw_text                                     N names and N sentences, optional
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

LABELS = "regression_labels"
KEYS = (*MODALITIES, *(f"{m}_lengths" for m in MODALITIES), "text_bert", LABELS, "id", "raw_text")
"""What is read; all else is left alone."""


@dataclass(frozen=True)
class RawSplit:
    """One split as the file has it; what has been read is taken out, to free its memory.

    Attributes:
        path: The file.
        name: `train`, `valid` or `test`.
        content: Key by key, in the vocabulary of this module.
        size: How many bytes the file has; nothing that is read may stand for many times more.
        remedy: What to do about a file in another layout.
        called: What the file calls a key, where it is another name.
    """

    path: Path
    name: str
    content: dict[object, object]
    size: int
    remedy: str
    called: Mapping[str, str] = field(default_factory=dict)

    def wrong(self, key: str, expected: str, got: str, remedy: str = "") -> BenchError:
        """The one-line error for a key of this split."""
        return BenchError(
            f"{self.path}: split {self.name!r}, key {self.called.get(key, key)!r}: expected {expected}, got {got}; "
            f"{remedy or self.remedy}"
        )

    def numbers(self, key: str, count: int | None = None) -> NDArray[Any]:
        """Takes out an array of numbers, with `count` rows if that is known already."""
        value = self.content.pop(key)
        # A few bytes can hold the same list again and again; as an array it would fill the memory.
        if not isinstance(value, np.ndarray) and leaves(value, 4) > self.size:
            raise self.wrong(key, "an array", "lists too deep or too repetitive", "store a NumPy array")
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError, TypeError):
            raise self.wrong(key, "rows of one length", "rows of several lengths", "pad them with zeros") from None
        if array.dtype.kind not in "fiu":
            items = {"U": "text", "S": "bytes", "O": "objects"}.get(array.dtype.kind, array.dtype.name)
            raise self.wrong(key, "numbers", f"{kind_of(value)} of {items}")
        if not (array.ndim and len(array)):
            raise self.wrong(key, "at least 2 samples", "none", "add samples or choose another file")
        if count not in (None, len(array)):
            raise self.wrong(key, f"{count} samples as in {self.called.get(LABELS, LABELS)!r}", str(len(array)))
        return array


@dataclass(frozen=True)
class Source:
    """What a reader found in a file.

    Attributes:
        format: What kind of file it is, in words.
        path: Where it lies.
        splits: Train, valid and test.
        notes: What the reader decided, one sentence each.
    """

    format: str
    path: Path
    splits: tuple[RawSplit, ...]
    notes: tuple[str, ...] = ()


def kind_of(value: object) -> str:
    """The type of a value, as a message calls it."""
    return "array" if isinstance(value, np.ndarray) else type(value).__name__


def leaves(value: object, depth: int) -> float:
    """How many numbers and characters nested lists stand for; infinite where they are nested `depth` deep or deeper."""
    counted: dict[tuple[int, int], float] = {}  # the same list may be there a thousand times

    def count(part: object, left: int) -> float:
        if isinstance(part, str | bytes):
            return max(1, len(part))
        if isinstance(part, np.ndarray) and not part.dtype.hasobject:
            return part.nbytes if part.dtype.kind in "SU" else part.size
        if not isinstance(part, list | tuple | np.ndarray):
            return 1
        if not left:
            return math.inf
        if (id(part), left) not in counted:
            items = part.flat if isinstance(part, np.ndarray) else part
            counted[id(part), left] = sum(count(item, left - 1) for item in items)
        return counted[id(part), left]

    return count(value, depth - 1)


def names_in(content: Mapping[object, object]) -> list[str]:
    """The keys that are text, as many and as much of them as a message can bear."""
    return [k[:40] for k in content if isinstance(k, str)][:30]


def listed(content: Mapping[object, object]) -> str:
    """These names, for a message."""
    return ", ".join(repr(name) for name in names_in(content)) or "no names"


def check_names(split: RawSplit, keys: tuple[str, ...]) -> None:
    """Refuses a split without labels or features, or with a key that is nearly one of `keys`.

    A misspelt key would be an absent one, and nobody would notice.
    """
    content = split.content
    if LABELS not in content:
        raise split.wrong(LABELS, "labels", listed(content), hint(LABELS, content, split.remedy))
    if not any(m in content for m in MODALITIES):
        got = listed(content)
        raise split.wrong("text", "at least one of text, audio and vision", got, hint("text", content, split.remedy))
    for key in names_in(content):
        near = get_close_matches(key.lower(), [k for k in keys if k not in content], n=1, cutoff=0.8)
        if near and key not in keys:
            raise split.wrong(near[0], "this name", repr(key), f"rename it to {near[0]!r}, or to something else")


def hint(wanted: str, content: Mapping[object, object], remedy: str) -> str:
    """What to do about a name that is not there."""
    near = get_close_matches(wanted, names_in(content), n=1, cutoff=0.5)
    return f"rename {near[0]!r} to {wanted!r}" if near else remedy
