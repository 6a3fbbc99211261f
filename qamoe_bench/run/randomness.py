"""The global random generators of Python and NumPy, which models of users may draw from; torch's are `seeded`."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def global_randomness_restored() -> Iterator[None]:
    """Restore both generators afterwards, so that what follows draws as if nothing had happened."""
    python = random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
