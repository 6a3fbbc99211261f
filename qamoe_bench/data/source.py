"""The content of a data file before cleaning, under the same keys for every format.

text, audio, vision                              [N, T, D] or [N, D]; a modality may be absent
text_lengths, audio_lengths, vision_lengths      [N], optional: valid frames, 0 where a sample lacks the modality
text_bert                                        [N, 3, L], optional: token ids, attention mask, segments
regression_labels                                [N], [N, 1] or [N, 1, 1]; of several columns [N, C] or [N, C, 2]
id, raw_text                                     N names and N sentences, optional
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES, Task

LABELS = "regression_labels"
BERT_TOKENS = "text_bert"
KEYS = (*MODALITIES, *(f"{m}_lengths" for m in MODALITIES), BERT_TOKENS, LABELS, "id", "raw_text")
"""Keys that are read; all others are named in a note."""

# Lists may be nested as [N][T][D]; numbers lie one level below.
_MAX_NESTING = 4

# Bounds on keys of a hostile file that are quoted in one line.
_MAX_QUOTED_KEYS = 30
_MAX_QUOTED_LETTERS = 40


@dataclass(frozen=True)
class RawSplit:
    """One split as it is stored in the file; reading a key removes it, to free its memory.

    Attributes:
        path: The file.
        name: `train`, `valid` or `test`.
        content: Values by key, with the keys of this module.
        size: Size of the file in bytes; content that would expand to many times more is refused.
        remedy: Advice for a file in another layout, the last part of error messages.
        file_keys: The file's own name of a key, where it differs from the key of this module.
    """

    path: Path
    name: str
    content: dict[object, object]
    size: int
    remedy: str
    file_keys: dict[str, str] = field(default_factory=dict)

    def wrong(self, key: str, expected: str, got: str, remedy: str = "") -> BenchError:
        """The one-line error for a key of this split."""
        return BenchError(
            f"{self.path}: split {self.name!r}, key {self.file_key(key)!r}: expected {expected}, got {got}; "
            f"{remedy or self.remedy}"
        )

    def file_key(self, key: str) -> str:
        """The name of a key in the file."""
        return self.file_keys.get(key, key)

    def numbers(self, key: str, count: int | None = None) -> NDArray[Any]:
        """Remove an array of numbers from the content and return it.

        Args:
            key: Key of the array.
            count: The required number of rows, if it is known already.

        Raises:
            BenchError: The value is no array of numbers, or has another number of rows.
        """
        value = self.content[key]
        array = self.array(key)
        if array.dtype.kind not in "fiu":
            items = {"U": "text", "S": "bytes", "O": "objects"}.get(array.dtype.kind, array.dtype.name)
            raise self.wrong(key, "numbers", f"{kind_of(value)} of {items}")
        if not (array.ndim and len(array)):
            raise self.wrong(key, "at least 2 samples", "none", "add samples or choose another file")
        if count not in (None, len(array)):
            raise self.wrong(key, f"{count} samples as in {self.file_key(LABELS)!r}", str(len(array)))
        return array

    def array(self, key: str) -> NDArray[Any]:
        """Remove a value from the content and return it as an array of any type.

        Raises:
            BenchError: The value is no array, nor rows of one length.
        """
        value = self.content.pop(key)
        # A few bytes can refer to the same list many times; as an array it would fill the memory.
        if not isinstance(value, np.ndarray) and count_leaves(value, _MAX_NESTING) > self.size:
            raise self.wrong(key, "an array", "lists too deep or too repetitive", "store a NumPy array")
        try:
            return np.asarray(value)
        except (ValueError, OverflowError, TypeError):
            raise self.wrong(key, "rows of one length", "rows of several lengths", "pad them with zeros") from None

    def keep(self, rows: NDArray[np.int64], count: int) -> None:
        """Leave some of `count` samples in the content, under every key that has a value for each of them."""
        for key, value in self.content.items():
            if isinstance(value, np.ndarray):
                if value.ndim and len(value) == count:
                    self.content[key] = value[rows]
            elif isinstance(value, list | tuple) and len(value) == count:
                self.content[key] = [value[row] for row in rows]


@dataclass(frozen=True)
class Source:
    """The content of a data file, as a reader returns it.

    Attributes:
        format: Name of the file format.
        path: Path of the file or folder.
        splits: Train, valid and test.
        notes: Decisions of the reader, one sentence each.
        token_model: Language model that made the token ids, as the file names it; empty if it does not.
        task: What a label says, if the format states it; None where labels and options decide.
    """

    format: str
    path: Path
    splits: tuple[RawSplit, ...]
    notes: tuple[str, ...] = ()
    token_model: str = ""
    task: Task | None = None


def kind_of(value: object) -> str:
    """The type of a value, as an error message names it."""
    return "array" if isinstance(value, np.ndarray) else type(value).__name__


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value has elements: a list, a tuple, or an array that has a dimension."""
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def count_leaves(value: object, depth: int) -> float:
    """The number of numbers and characters in nested lists; infinite where they are nested `depth` deep or deeper."""
    # The same list may occur a thousand times, so each is counted once per depth. The values keep the ids alive.
    counts: dict[tuple[int, int], float] = {}

    def count(part: object, levels: int) -> float:
        if isinstance(part, str | bytes):
            return max(1, len(part))
        if isinstance(part, np.ndarray) and not part.dtype.hasobject:
            return part.nbytes if part.dtype.kind in "SU" else part.size
        if not isinstance(part, list | tuple | np.ndarray):
            return 1
        if not levels:
            return math.inf
        if (id(part), levels) not in counts:
            items = part.flat if isinstance(part, np.ndarray) else part
            counts[id(part), levels] = sum(count(item, levels - 1) for item in items)
        return counts[id(part), levels]

    return count(value, depth - 1)


def text_keys(content: Mapping[object, object]) -> list[str]:
    """The keys that are text, shortened to what fits into an error message."""
    return [key[:_MAX_QUOTED_LETTERS] for key in content if isinstance(key, str)][:_MAX_QUOTED_KEYS]


def quoted_keys(content: Mapping[object, object]) -> str:
    """These keys as a quoted list, for an error message."""
    return ", ".join(repr(name) for name in text_keys(content)) or "no names"


def rename_hint(wanted: str, content: Mapping[object, object], remedy: str) -> str:
    """Advice for a missing key: rename a similar one if there is one, otherwise `remedy`."""
    similar = get_close_matches(wanted, text_keys(content), n=1, cutoff=0.5)
    return f"rename {similar[0]!r} to {wanted!r}" if similar else remedy
