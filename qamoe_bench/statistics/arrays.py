"""The array type that statistics and analyses share; shapes are documented where it is used."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
