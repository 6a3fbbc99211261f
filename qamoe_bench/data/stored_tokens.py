"""The token ids of a file, under `text_bert`, in one shape; what cannot be used is left out with a note.

Dimension legend: N samples, L tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.readers.sample_tuples import NO_TEXT_FEATURES
from qamoe_bench.data.source import BERT_TOKENS, RawSplit

StoredTokens = NDArray[np.int32]

TOKENS_ONLY = "text: there are token ids and no features of them; 'data encode' adds some, --fine-tune reads them."

# Letters of a model's name that are kept of an untrusted file.
_MAX_MODEL_LETTERS = 100

# Token ids, attention mask and segments.
_ROWS = 3


def take_tokens(raw: Sequence[RawSplit], counts: Mapping[str, int], notes: list[str]) -> dict[str, StoredTokens | None]:
    """Remove the token ids from the content of all splits and return them [N, 3, L]; None for all if one has none.

    Args:
        raw: The splits of a file.
        counts: Number of samples of each split, N.
        notes: Gets a sentence if token ids were turned, or left out.

    Raises:
        BenchError: A split has token ids for another number of samples.
    """
    if not any(split.content.get(BERT_TOKENS) is not None for split in raw):
        return dict.fromkeys(counts)
    arrays: dict[str, StoredTokens | None] = {}
    for split in raw:
        if split.content.get(BERT_TOKENS) is None:
            return _left_out(raw, counts, f"{split.name} has none", notes)
        array = split.array(BERT_TOKENS)
        if array.dtype.kind in "fiub" and array.ndim and len(array) != counts[split.name]:
            expected = f"{counts[split.name]} samples as there are labels"
            raise split.wrong(BERT_TOKENS, expected, str(len(array)), f"store the {BERT_TOKENS} of each sample")
        reason = _unusable(array)
        if reason:
            return _left_out(raw, counts, f"{split.name} has {reason}", notes)
        if array.shape[1] != _ROWS:
            array = array.transpose(0, 2, 1)  # (N, L, 3) to (N, 3, L)
            _note_once(notes, f"{BERT_TOKENS}: shape [N, L, 3] was turned to [N, 3, L].")
        # The copy is needed, since arrays of the file are read-only.
        arrays[split.name] = np.array(array, np.int32, order="C")
    return arrays


def _left_out(
    raw: Sequence[RawSplit], counts: Mapping[str, int], reason: str, notes: list[str]
) -> dict[str, StoredTokens | None]:
    """No token ids for any split, with a note."""
    for split in raw:
        split.content.pop(BERT_TOKENS, None)
    notes.append(
        f"{BERT_TOKENS}: left out, because {reason}; it is read as ids, attention mask and segments in shape [N, 3, L]."
    )
    return dict.fromkeys(counts)


def _note_once(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


def _unusable(array: NDArray[Any]) -> str:
    """What keeps an array from being token ids, attention mask and segments; empty if nothing does."""
    if array.dtype.kind not in "fiub":
        return "no numbers"
    if array.ndim != 3 or _ROWS not in array.shape[1:] or 0 in array.shape:
        return f"shape {array.shape}"
    if array.shape[1] == array.shape[2]:
        # With three tokens the two axes look alike, and ids may be as small as a mask's 0 and 1.
        return f"the ambiguous shape {array.shape}"
    ids, mask = (array[:, 0], array[:, 1]) if array.shape[1] == _ROWS else (array[..., 0], array[..., 1])  # (N, L)
    # Some files store them as float; comparisons with NaN are false.
    is_id = (ids >= 0) & (ids < 2**31) & (ids == np.floor(ids))
    if not bool(is_id.all()):
        return "ids that are no whole numbers from 0"
    if not bool(np.isin(mask, (0, 1)).all()):
        return "an attention mask of other values than 0 and 1"
    return ""


def stated_token_model(content: object) -> str:
    """The language model that a pickle names for its token ids, as MMSA-FET's `config` does; empty if it names none."""
    for key in ("config", "text"):
        content = content.get(key) if isinstance(content, dict) else None
    model = content.get("pretrained") if isinstance(content, dict) else None
    return model[:_MAX_MODEL_LETTERS] if isinstance(model, str) and model.isprintable() else ""


def is_same_model(stated: str, name: str) -> bool:
    """Whether a stated model, by name or folder, is the one with this name: `models/bert_base_x` is `bert-base-x`."""
    last_part = stated.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last_part.lower().replace("_", "-") == name.lower().replace("_", "-")


def text_note(raw: Sequence[RawSplit], has_tokens: bool, notes: Sequence[str]) -> list[str]:
    """A note on words or token ids without features, which no model reads unasked; none if there is nothing to say.

    Args:
        raw: The splits, whose transcripts were not removed yet.
        has_tokens: Whether there are usable token ids.
        notes: Notes so far; the reader of a file of words adds its own.
    """
    if any("text" in split.content for split in raw) or NO_TEXT_FEATURES in notes:
        return []
    if has_tokens:
        return [TOKENS_ONLY]
    has_words = all(split.content.get("raw_text") is not None for split in raw)
    return [NO_TEXT_FEATURES] if has_words else []
