"""The corruption that a model is trained under.

Regimes: `clean` trains on the samples as the data set has them; `spectrum` corrupts every batch by the protocol
`mixed`, with λ and η drawn from U(0, 1); `matched` trains one specialist per condition of a protocol, only on that
condition.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.training.config import TrainConfig

REGIMES = ("clean", "spectrum", "matched")
SPECTRUM_PROTOCOL = "mixed"


@dataclass(frozen=True)
class Exposure:
    """One condition for all samples, or λ and η drawn from U(0, 1).

    Attributes:
        condition: The one condition; None draws from the spectrum.
    """

    condition: Condition | None = None

    def draw(self, size: int, levels: np.random.Generator, config: TrainConfig) -> Condition:
        """The condition of a batch of this size; levels are one per sample, or one for all."""
        if self.condition is not None:
            return self.condition
        protocol = _spectrum()
        count = size if config.levels_per == "sample" else 1
        point = {axis: levels.random(count, dtype=np.float32) for axis in protocol.axes}
        return Condition("spectrum", {}, protocol.steps(point))

    @property
    def is_clean(self) -> bool:
        """Whether nothing is corrupted, so that every pass over the samples shows the same."""
        return self.condition is not None and not self.condition.steps

    @property
    def digest(self) -> str:
        """Identifies the exposure; part of the key of a training."""
        return self.condition.digest if self.condition else _spectrum().digest


@cache
def _spectrum() -> Protocol:
    return load_protocol(SPECTRUM_PROTOCOL)


CLEAN = Exposure(Condition("clean", {}, ()))
SPECTRUM = Exposure()
