"""Samples for a model, in memory that nobody else reads: a model may change its input in place.

Stored samples are shared by all models of a process, and by all conditions. Corrupted samples are new tensors wherever
something was corrupted; elsewhere they are views of the stored ones, which are copied here when a model looks at them.
"""

from dataclasses import replace

from torch import Tensor

from qamoe_bench.contract import Batch
from qamoe_bench.on_access import OnAccess


def memory_of(batch: Batch) -> frozenset[int]:
    """Addresses of the memory of the features of stored samples."""
    return frozenset(map(_address, batch.features.values()))


def unshared(batch: Batch, stored: frozenset[int]) -> Batch:
    """The same samples; nothing that is done to them changes stored samples.

    Args:
        batch: Samples, corrupted or not.
        stored: Addresses of the memory of stored features, see `memory_of`.
    """

    def own(modality: str) -> Tensor:
        x = batch.features[modality]
        return x.clone() if _address(x) in stored else x

    # Lengths are always views, and small.
    lengths = {m: x.clone() for m, x in batch.lengths.items()}
    return replace(batch, features=OnAccess(batch.features, own), lengths=lengths)


def _address(x: Tensor) -> int:
    # Of the whole memory and not of the view, whose first sample may be any.
    return x.untyped_storage().data_ptr()
