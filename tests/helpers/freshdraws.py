"""Fresh draws for a single batch, as `qamoe_bench.corruption.groups` makes them for several."""

import torch
from torch import Tensor

from qamoe_bench.contract import Batch
from qamoe_bench.corruption.draws import FreshNumbers, Purpose, zero_at_padding


class FreshDraws:
    """Draws that are new at every call."""

    def __init__(self, batch: Batch, generator: torch.Generator) -> None:
        self._batch = batch
        self._numbers = FreshNumbers(batch, batch.size, generator)

    def __call__(self, purpose: Purpose, modality: str) -> Tensor:
        """See `qamoe_bench.corruption.draws.Draws`."""
        return zero_at_padding(self._numbers(purpose, modality), purpose, self._batch, modality)
