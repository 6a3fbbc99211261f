"""The samples that models are evaluated on, under any condition of a protocol."""

from functools import lru_cache

import torch

from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.protocol.spec import Condition

SPLIT = "test"


class TestSet:
    """A test split on a device with the draws of one seed, shared by all models that are evaluated on it.

    Attributes:
        data: The data set.
        ids: Names of the samples.
        target: Labels (N,).
        scatter: Per modality the true noise scale of each sample, where the data set's law is known.
        clean: The samples before corruption.
        seed: Of all draws.
        reference: Statistics and frames of the training split that corruptions use.
    """

    __test__ = False  # the name makes pytest collect the class as a test otherwise

    def __init__(self, data: Dataset, seed: int, device: torch.device) -> None:
        split = data.splits[SPLIT]
        self.data = data
        self.ids = split.ids
        self.target = split.target.numpy()
        self.scatter = data.reliability.get(SPLIT, {})
        self.clean = split.batch().to(device)
        self.seed = seed
        self.reference = data.reference.to(device)

    @lru_cache(maxsize=1)  # noqa: B019  # a test set lives as long as its process works on one seed
    def _draws(self, draw: int) -> CommonDraws:
        return CommonDraws(self.seed, self.ids, self.clean, draw)

    def corrupted(self, condition: Condition, rows: slice = slice(None), draw: int = 0) -> Corrupted:
        """Some samples under a condition, with one of the seed's independent draws."""
        return apply_condition(self.clean.rows(rows), condition, self._draws(draw).rows(rows), self.reference)
