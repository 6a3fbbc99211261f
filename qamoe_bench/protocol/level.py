"""The level of a corruption, apart from the protocols that use it: they are listed and shown without NumPy."""

import numpy as np
from numpy.typing import NDArray

Level = float | NDArray[np.float32]
"""A level for all samples, or one per sample (training on drawn levels)."""
