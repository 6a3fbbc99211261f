"""Random streams addressed by words, so that order, batching and worker never change a draw.

`stream(1111, "video$_$3", "audio", "frame")` is the same sequence wherever and whenever it is opened: the words are
hashed into the 128-bit key of a Philox counter-based generator (Salmon et al., SC 2011).
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def key(*words: object) -> int:
    """128 bits that identify the words; types matter, so 1 and "1" differ."""
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=16).digest(), "little")


def stream(*words: object) -> np.random.Generator:
    """The random stream that belongs to the words."""
    return np.random.Generator(np.random.Philox(key=key(*words)))


def torch_seed(*words: object) -> int:
    """A seed for a torch generator, from the same words."""
    return key(*words) % 2**63


@contextmanager
def seeded(*words: object) -> Iterator[None]:
    """Torch's global randomness (initialisation, dropout) fixed by the words inside, untouched outside."""
    import torch  # here, for the rest of this module serves where there is none

    with torch.random.fork_rng():
        # Not torch.manual_seed: without CUDA it keeps a stack trace of every call, which costs more than a small model.
        torch.default_generator.manual_seed(torch_seed(*words))
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(torch_seed(*words))
        yield
