"""Sequences of different lengths as one array padded at the back."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.source import RawSplit

MAX_EXPANSION = 50
"""How many times larger than its file an array may become by padding: one long sequence among many short ones."""

FLOAT32_BYTES = 4


def padded(split: RawSplit, key: str, sequences: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Sequences [T_n, D] as one array [N, T, D], padded with zeros.

    Args:
        split: The split that they belong to, for error messages and the size of the file.
        key: The key that they belong to, for error messages.
        sequences: One per sample; an empty one represents a sample that lacks the modality.

    Raises:
        BenchError: The widths differ, or the array would be many times larger than the file.
    """
    widths = {frames.shape[1] for frames in sequences if len(frames)}
    longest = max(1, max(map(len, sequences), default=0))
    if len(widths) != 1:
        got = " and ".join(map(str, sorted(widths)[:3])) or "no frames"
        raise split.wrong(key, "frames of one width", got, "extract all samples in the same way")
    width = widths.pop()
    if len(sequences) * longest * width * FLOAT32_BYTES > MAX_EXPANSION * split.size:
        got = f"{longest} frames in one of {len(sequences)} samples"
        raise split.wrong(key, "sequences of comparable lengths", got, "cut the longest ones")
    array = np.zeros((len(sequences), longest, width), np.float32)  # (N, T, D)
    for row, frames in zip(array, sequences, strict=True):
        if len(frames):  # one without frames may have another width
            row[: len(frames)] = frames
    return array
