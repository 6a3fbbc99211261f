"""One modality of one split: finite frames, valid lengths, and padding at the back.

Dimension legend: N samples, T frames, D features of a frame, L tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.readers.numbers import is_whole
from qamoe_bench.data.source import RawSplit

Frames = NDArray[np.floating[Any]]

# No recording has so many frames.
_MAX_LENGTH = 2**40


@dataclass
class ModalityPart:
    """Features of one modality in one split.

    Attributes:
        frames: Finite features [N, T, D].
        filled: Whether a frame of the file has any value other than zero [N, T].
        stored_lengths: Number of valid frames [N]; None if the file does not store it.
        not_finite: How many values were -inf, +inf and NaN, in this order [3].
        cut_lengths: How many stored lengths exceed the frames, and count as all frames.
        whole: Whether all values are whole numbers, which features seldom are.
    """

    frames: Frames
    filled: NDArray[np.bool_]
    stored_lengths: NDArray[np.int64] | None
    not_finite: NDArray[np.int64]
    cut_lengths: int
    whole: bool

    def lengths(self) -> NDArray[np.int64]:
        """Number of valid frames [N] of features that are padded at the back."""
        if self.stored_lengths is not None:
            return self.stored_lengths
        _, after = margins(self.filled)
        return np.asarray(self.filled.shape[1] - after)

    def move_padding_to_back(self) -> int:
        """Move padding from the front to the back; returns the number of samples that had any."""
        if self.stored_lengths is None:
            padding, _ = margins(self.filled)
        else:
            padding = self.filled.shape[1] - self.stored_lengths
        rows = np.flatnonzero((padding > 0) & self.filled.any(axis=1))
        for row in rows:
            self.frames[row] = np.roll(self.frames[row], -padding[row], axis=0)  # (T, D)
            self.filled[row] = np.roll(self.filled[row], -padding[row])  # (T,)
        if self.stored_lengths is None:
            # In a file that pads at the front, a zero frame at the end is data; it must not count as padding now.
            self.stored_lengths = self.filled.shape[1] - padding
        return len(rows)

    def clear_padding(self) -> int:
        """Set all frames beyond the length to zero; returns the number of those that were not."""
        beyond = np.arange(self.filled.shape[1]) >= self.lengths()[:, None]  # (N, T)
        self.frames[beyond] = 0
        return int((beyond & self.filled).sum())


def margins(filled: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of zero frames before the first filled one and after the last, per sample.

    Args:
        filled: Whether a frame has any value other than zero [N, T].

    Returns:
        Two arrays [N]; both are T for a sample without any filled frame.
    """
    frames = filled.shape[1]
    empty = ~filled.any(axis=1)  # (N,)
    before = filled.argmax(axis=1)  # index of the first filled frame
    after = filled[:, ::-1].argmax(axis=1)
    return np.where(empty, frames, before), np.where(empty, frames, after)


def front_votes(filled: NDArray[np.bool_], stored_lengths: NDArray[np.int64] | None) -> int:
    """How many more samples seem to be padded at the front than at the back.

    Args:
        filled: Whether a frame has any value other than zero [N, T].
        stored_lengths: Number of valid frames [N], if the file stores it.
    """
    frames = filled.shape[1]
    before, after = margins(filled)  # (N,) each
    if stored_lengths is None:
        # Only samples with zeros on exactly one side say anything about the side of the padding.
        front = (before > 0) & (after == 0)
        back = (after > 0) & (before == 0)
        return int(front.sum() - back.sum())
    padding = frames - stored_lengths
    padded = (padding > 0) & (before < frames)  # empty samples look padded at both sides
    back = padded & (after >= padding)
    front = padded & ~back & (before >= padding)
    return int(front.sum() - back.sum())


def take_part(split: RawSplit, modality: str, count: int, tokens: NDArray[np.int32] | None) -> ModalityPart:
    """Remove one modality from the content of a split and return its features.

    Args:
        split: The split; loses the features and lengths of the modality.
        modality: Name of the modality.
        count: Number of samples, N.
        tokens: Token ids, attention mask and segments [N, 3, L], if the file has them.

    Returns:
        Features in float16 if they are stored so, otherwise in float32.

    Raises:
        BenchError: Features or lengths have an impossible shape or value.
    """
    array = split.numbers(modality, count)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise split.wrong(modality, "shape [N, T, D] or [N, D] without an axis of size 0", f"shape {array.shape}")
    dtype = np.float16 if array.dtype == np.float16 else np.float32
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are set to zero as such
        # The copy is needed, since arrays of the file are read-only.
        frames: Frames = np.asarray(array.astype(dtype, order="C")).reshape(count, -1, array.shape[-1])  # (N, T, D)
    # Before values that are not finite become zero, so that such frames still count as filled.
    filled: NDArray[np.bool_] = np.any(frames, axis=2)  # (N, T)
    not_finite = _zero_not_finite(frames)
    lengths = _stored_lengths(split, modality, filled, tokens)
    if lengths is None:
        return ModalityPart(frames, filled, None, not_finite, 0, is_whole(frames))
    # Extraction scripts cut the frames and keep the lengths before the cut.
    too_long = int((lengths > filled.shape[1]).sum())
    return ModalityPart(frames, filled, np.minimum(lengths, filled.shape[1]), not_finite, too_long, is_whole(frames))


def _zero_not_finite(frames: Frames) -> NDArray[np.int64]:
    """Set values that are not finite to zero, in place; returns how many were -inf, +inf and NaN [3]."""
    counts = np.zeros(3, np.int64)
    for sample in frames:  # one at a time, since masks of a whole split are large
        bad = ~np.isfinite(sample)  # (T, D)
        if bad.any():
            values = sample[bad]
            counts += [(values == -np.inf).sum(), (values == np.inf).sum(), np.isnan(values).sum()]
            sample[bad] = 0
    return counts


def _stored_lengths(
    split: RawSplit, modality: str, filled: NDArray[np.bool_], tokens: NDArray[np.int32] | None
) -> NDArray[np.int64] | None:
    """Number of valid frames [N] from the key `<modality>_lengths`, or for text from the attention mask."""
    count, frames = filled.shape
    key = f"{modality}_lengths"
    if split.content.get(key) is None:
        return _mask_lengths(tokens, filled) if modality == "text" and tokens is not None else None
    stored = split.numbers(key, count)
    if stored.size != count:
        raise split.wrong(key, "one length per sample", f"shape {stored.shape}")
    stored = stored.reshape(-1)  # (N,)
    is_valid = (stored >= 0) & (stored < _MAX_LENGTH) & (stored == np.floor(stored))  # false for NaN
    bad = np.flatnonzero(~is_valid)
    if len(bad):
        expected = f"whole lengths from 0 to {frames}, the frames of {modality!r}"
        got = f"{stored[bad[0]]} in row {bad[0]} ({len(bad)} such in all)"
        raise split.wrong(key, expected, got, f"remove {split.file_key(key)!r}, so that padding with zeros decides")
    return stored.astype(np.int64)


def _mask_lengths(tokens: NDArray[np.int32], filled: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Lengths [N] from the attention mask; None if the mask does not fit features that have no padding themselves.

    The tokens of `text_bert` may differ from those of the features, so zero padding in the features has precedence.

    Args:
        tokens: Token ids, attention mask and segments [N, 3, L].
        filled: Whether a frame of text has any value other than zero [N, T].
    """
    padded = not (filled[:, 0].all() and filled[:, -1].all())
    if padded or tokens.shape[2] != filled.shape[1]:
        return None
    mask = tokens[:, 1]  # (N, L)
    lengths: NDArray[np.int64] = mask.sum(axis=1).astype(np.int64)
    expected = np.arange(filled.shape[1]) < lengths[:, None]  # ones followed by zeros, (N, L)
    return lengths if (mask == expected).all() and lengths.min() > 0 else None
