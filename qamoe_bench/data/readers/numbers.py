"""Whole numbers that are no features: indices of words in a vocabulary, or token ids of a language model."""

import numpy as np

# A vocabulary has at least so many words, and intensities such as those of action units are smaller.
_MIN_VOCABULARY = 30

# Larger whole numbers are ids in any shape, such as [N, 3, L] of a tokenizer.
_MIN_TOKEN_ID = 1000

# Values that are looked at first, since almost no features are whole.
_FIRST = 1000


def looks_like_word_ids(value: object) -> bool:
    """Whether an array [N, T], [N, T, 1] or [N, 3, L] holds whole numbers that index a vocabulary."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim not in (2, 3) or not value.size:
        return False
    if not is_whole(value):
        return False
    largest = value.max()
    one_per_frame = value.ndim == 2 or value.shape[2] == 1
    enough = _MIN_VOCABULARY if one_per_frame else _MIN_TOKEN_ID
    return bool(value.min() >= 0 and largest >= enough)


def is_whole(value: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> bool:
    """Whether all values of an array of numbers are whole and finite."""
    if value.dtype.kind in "iu":
        return True
    flat = value.reshape(-1)
    for part in (flat[:_FIRST], flat):
        with np.errstate(invalid="ignore"):
            if not np.equal(part, np.floor(part)).all() or not np.isfinite(part).all():
                return False
    return True
