"""Samples for a model, in memory that nobody else reads: a model may change its input in place.

Stored samples are shared by all models of a process, and by all conditions. Corrupted samples are new tensors wherever
something was corrupted; elsewhere they are views of the stored ones, which are copied here when a model looks at them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from qamoe_bench.contract import Batch


class UnsharedFeatures(Mapping[str, Tensor]):
    """Features by modality; a view of stored samples is copied at the first access, and so costs nothing if unused."""

    def __init__(self, features: Mapping[str, Tensor], stored: frozenset[int]) -> None:
        """Wrap features.

        Args:
            features: Features, some of which may be views of stored ones.
            stored: Addresses of the memory of stored features, see `memory_of`.
        """
        self._features = features
        self._stored = stored
        self._own: dict[str, Tensor] = {}

    def __getitem__(self, modality: str) -> Tensor:
        if modality not in self._own:
            x = self._features[modality]
            self._own[modality] = x.clone() if _address(x) in self._stored else x
        return self._own[modality]

    def __contains__(self, modality: object) -> bool:
        return modality in self._features

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)


def memory_of(batch: Batch) -> frozenset[int]:
    """Addresses of the memory of the features of stored samples."""
    return frozenset(map(_address, batch.features.values()))


def unshared(batch: Batch, stored: frozenset[int]) -> Batch:
    """The same samples; nothing that is done to them changes stored samples.

    Args:
        batch: Samples, corrupted or not.
        stored: Addresses of the memory of stored features, see `memory_of`.
    """
    # Lengths are always views, and small.
    lengths = {m: x.clone() for m, x in batch.lengths.items()}
    return replace(batch, features=UnsharedFeatures(batch.features, stored), lengths=lengths)


def _address(x: Tensor) -> int:
    # Of the whole memory and not of the view, whose first sample may be any.
    return x.untyped_storage().data_ptr()
