"""The level of a corruption, apart from the protocols that use it: they are listed and shown without NumPy."""

import numpy as np
from numpy.typing import NDArray

Level = float | NDArray[np.float32]
"""A level for all samples, or one per sample (training on drawn levels)."""


def is_active(level: Level) -> bool:
    """Whether a level changes any sample; a level of 0 is the identity, to the bit."""
    # For small arrays the method takes half the time of np.any.
    return bool(level.any() if isinstance(level, np.ndarray) else level)
