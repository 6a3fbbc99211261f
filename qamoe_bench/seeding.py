"""Random streams addressed by words, so that no draw depends on order, batching or worker.

`stream(1111, "video$_$3", "audio", "frame")` is the same sequence in every process: the words are hashed into the
128-bit key of a counter-based Philox generator (Salmon et al., SC 2011).
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def key(*words: object) -> int:
    """128 bits that identify the words; their types count, so 1 and "1" differ."""
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=16).digest(), "little")


def stream(*words: object) -> np.random.Generator:
    """A generator at the start of the stream of these words."""
    return np.random.Generator(np.random.Philox(key=key(*words)))


def torch_seed(*words: object) -> int:
    """A seed for a torch generator, between 0 and 2^63 - 1."""
    return key(*words) % 2**63  # non-negative, and within torch's range of seeds


@contextmanager
def seeded(*words: object) -> Iterator[None]:
    """Seed torch's global generators (initialisation, dropout) from the words, and restore their state afterwards."""
    import torch  # imported here because the rest of this module is used where torch is not installed

    # Generators of GPUs are touched only where CUDA is in use already. Otherwise a computation on the CPU would start
    # CUDA on every GPU, which takes seconds and hundreds of megabytes on each.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(gpus):
        # Not torch.manual_seed: without CUDA it keeps a stack trace of every call, which costs more than a small model.
        torch.default_generator.manual_seed(torch_seed(*words))
        if gpus:
            torch.cuda.manual_seed_all(torch_seed(*words))
        yield


@contextmanager
def global_randomness_restored() -> Iterator[None]:
    """Restore the global generators of Python and NumPy, which models of users may draw from; torch's are `seeded`."""
    python = random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
