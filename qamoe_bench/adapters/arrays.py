"""A batch as NumPy arrays, for functions of any other library.

Dimension legend: B samples, T frames, D feature width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from qamoe_bench.contract import Batch


@dataclass(frozen=True)
class ArrayBatch:
    """Samples as a function sees them: the content of a `Batch` in arrays of its own, which it may change.

    Attributes:
        features: Per modality the frames (B, T, D), padded at the end with exact zeros; a frame that a corruption
            removed is exactly zero too, and a missing modality is all zeros. The order is text, audio, vision.
        lengths: Per modality the number of valid frames of each sample (B,), which no corruption changes.
    """

    features: Mapping[str, Float[NDArray[np.float32], "B _ _"]]
    lengths: Mapping[str, Int[NDArray[np.int64], " B"]]

    @property
    def size(self) -> int:
        """B."""
        return len(next(iter(self.lengths.values())))

    def mask(self, modality: str) -> Bool[NDArray[np.bool_], "B T"]:
        """True at valid frames, False at padding."""
        frames = self.features[modality].shape[1]
        return np.asarray(np.arange(frames) < self.lengths[modality][:, None])

    def present(self, modality: str) -> Bool[NDArray[np.bool_], " B"]:
        """False for samples whose modality is missing, that is, all zeros."""
        return np.asarray(self.features[modality].any(axis=(1, 2)))

    def mean(self, modality: str) -> Float[NDArray[np.float32], "B D"]:
        """The mean over valid frames; zeros for samples without any."""
        frames = np.maximum(self.lengths[modality], 1)[:, None].astype(np.float32)  # (B, 1)
        mean: NDArray[np.float32] = self.features[modality].sum(axis=1) / frames  # padding is exactly zero
        return mean


def as_arrays(batch: Batch) -> ArrayBatch:
    """A batch on any device as arrays."""

    def copied(values: Mapping[str, Any], dtype: type) -> dict[str, NDArray[Any]]:
        # Copies, because a function that changed its input would change the samples of all later models.
        return {m: np.array(values[m].cpu().numpy(), dtype) for m in batch.modalities}

    return ArrayBatch(copied(batch.features, np.float32), copied(batch.lengths, np.int64))
