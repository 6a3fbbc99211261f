"""The samples that models are evaluated on, under any condition of a protocol.

Dimension legend: N samples, K of them in a part, T frames, D feature width.
"""

from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.recordings import Recordings
from qamoe_bench.data.unshared import memory_of, unshared
from qamoe_bench.protocol.level_files import LevelFile
from qamoe_bench.protocol.spec import Condition

SPLIT = "test"
ROWS = 64  # samples whose properties are computed together


class TestSet:
    """A split on a device with the draws of one seed, shared by all models that are evaluated on it.

    Attributes:
        data: The data set.
        split: Name of the split; models are evaluated on `test`.
        ids: Names of the samples.
        target: Labels (N,).
        scatter: Per modality the true noise scale of each sample, where the data set's law is known.
        clean: The samples before corruption.
        seed: Of all draws.
        reference: Statistics and frames of the training split that corruptions use.
    """

    __test__ = False  # the name makes pytest collect the class as a test otherwise

    def __init__(self, data: Dataset, seed: int, device: torch.device, name: str = SPLIT) -> None:
        split = data.splits[name]
        self.data = data
        self.split = name
        self.ids = split.ids
        self.target = split.target.numpy()
        self.scatter = data.reliability.get(name, {})
        self.clean = split.batch().to(device)
        self.seed = seed
        self.reference = data.reference.to(device)
        self._recordings = Recordings(data, SPLIT)
        self._stored = memory_of(self.clean)
        self._device = device

    @cached_property
    def properties(self) -> dict[str, Float[NDArray[np.float32], " N"]]:
        """Properties of the samples before corruption that a quality score may follow instead of quality.

        `length_<modality>` is the number of valid frames, and `energy_<modality>` the mean square of their features in
        units of σ_ref², 0 without frames. Token ids have no energy.
        """
        columns = {f"length_{m}": n.cpu().numpy().astype(np.float32) for m, n in self.clean.lengths.items()}
        for m in self.clean.modalities:
            if m not in self.reference.token_ids:
                # In parts, because features may be mapped from a file that is larger than memory.
                parts = [self._energy(m, slice(i, i + ROWS)) for i in range(0, len(self.ids), ROWS)]
                columns[f"energy_{m}"] = torch.cat(parts).cpu().numpy()
        return columns

    def _energy(self, modality: str, rows: slice) -> Float[torch.Tensor, " K"]:
        batch = Batch({modality: self.clean.features[modality]}, {modality: self.clean.lengths[modality]}).rows(rows)
        scaled = batch.features[modality] / self.reference.std[modality]  # (K, T, D)
        # The mean over valid frames; padding is exactly zero.
        frames = batch.lengths[modality].clamp(min=1)
        energy: torch.Tensor = scaled.square().mean(2).sum(1) / frames
        return energy

    @lru_cache(maxsize=1)  # noqa: B019  # a test set lives as long as its process works on one seed
    def _draws(self, draw: int) -> CommonDraws:
        return CommonDraws(self.seed, self.ids, self.clean, draw)

    def corrupted(self, condition: Condition, rows: slice = slice(None), draw: int = 0) -> Corrupted:
        """Some samples under a condition, with one of the seed's independent draws; a model may change them."""

        def recorded(file: LevelFile, modality: str) -> torch.Tensor:
            # A copy, because frames that are recorded for one condition are kept for all models.
            return self._recordings.frames(file, modality)[rows].to(self._device, copy=True)

        draws = self._draws(draw).rows(rows)
        corrupted = apply_condition(self.clean.rows(rows), condition, draws, self.reference, recorded)
        return replace(corrupted, batch=unshared(corrupted.batch, self._stored))
