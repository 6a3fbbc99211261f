"""The corruption that a model is trained under.

Regimes: `clean` trains on the samples as the data set has them; `spectrum` corrupts every batch by the protocol
`mixed`, with λ and η drawn from U(0, 1); `sweep` corrupts by the evaluated protocol itself, with levels drawn over its
range, or as its file says; `matched` trains one specialist per condition of a protocol, only on that condition.

Dimension legend: B samples of a batch.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.protocol.training import TrainingDraw
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.vocabulary import MODALITIES

REGIMES = ("clean", "spectrum", "sweep", "matched")
SPECTRUM_PROTOCOL = "mixed"


@dataclass(frozen=True)
class OneCondition:
    """The same condition for all samples."""

    condition: Condition

    def draw(self, size: int, levels: np.random.Generator, config: TrainConfig) -> Condition:
        """The condition, whatever the batch."""
        return self.condition

    @property
    def is_clean(self) -> bool:
        """Whether nothing is corrupted, so that every pass over the samples shows the same."""
        return not self.condition.steps

    @property
    def digest(self) -> str:
        """Identifies the exposure; part of the key of a training."""
        return self.condition.digest


@dataclass(frozen=True)
class DrawnLevels:
    """The corruptions of a protocol, with levels that are drawn for each sample.

    Attributes:
        protocol: The protocol.
        training: How levels are drawn.
        digest: Identifies the exposure; part of the key of a training.
    """

    protocol: Protocol
    training: TrainingDraw
    digest: str

    def draw(self, size: int, levels: np.random.Generator, config: TrainConfig) -> Condition:
        """A condition with one level per sample of a batch of this size, or one for all, as the configuration says."""
        count = size if config.levels_per == "sample" else 1
        if self.training.levels == "shared":
            point = self._point(count, levels)
            spared = dict.fromkeys(MODALITIES, self._untouched(count, levels))
            drawn = Condition("drawn", {}, self.protocol.steps(point))
        else:
            points = {m: self._point(count, levels) for m in MODALITIES}
            spared = {m: self._untouched(count, levels) for m in MODALITIES}
            drawn = Condition("drawn", {}, self.protocol.steps_by_modality(points))
        return _spare(drawn, spared) if self.training.untouched else drawn

    def _point(self, count: int, levels: np.random.Generator) -> dict[str, Level]:
        """Values of all variables, (B,) each."""
        if self.protocol.points:
            points = list(self.protocol.points.values())
            which = levels.integers(len(points), size=count)
            return {v: np.array([p[v] for p in points], np.float32)[which] for v in points[0]}
        return {axis: self._level(axis, count, levels) for axis in self.protocol.axes}

    def _level(self, axis: str, count: int, levels: np.random.Generator) -> Level:
        if axis not in self.training.ranges:
            return levels.choice(np.array(self.protocol.axes[axis], np.float32), size=count)
        low, high = self.training.ranges[axis]
        # Python numbers keep the array in float32, and 0 + 1 · u is u to the bit.
        return low + (high - low) * levels.random(count, dtype=np.float32)

    def _untouched(self, count: int, levels: np.random.Generator) -> NDArray[np.bool_]:
        """Which samples stay as they are, (B,)."""
        if not self.training.untouched:  # and no random number is used
            return np.zeros(count, np.bool_)
        return levels.random(count) < self.training.untouched

    @property
    def is_clean(self) -> bool:
        """Whether nothing is corrupted, so that every pass over the samples shows the same."""
        return not self.protocol.corruptions


Exposure = OneCondition | DrawnLevels
"""What a model is trained under."""

CLEAN = OneCondition(Condition("clean", {}, ()))


def _spare(condition: Condition, spared: Mapping[str, NDArray[np.bool_]]) -> Condition:
    """The condition with level 0, which changes nothing, for the spared samples of each modality."""
    return condition.map_levels(lambda m, level: np.where(spared[m], np.float32(0), np.float32(level)))


def _make_spectrum() -> DrawnLevels:
    protocol = load_protocol(SPECTRUM_PROTOCOL)
    # The protocol's digest alone, so that this exposure differs from a sweep of the protocol over its own range.
    return DrawnLevels(protocol, TrainingDraw(ranges=dict.fromkeys(protocol.axes, (0.0, 1.0))), protocol.digest)


SPECTRUM = _make_spectrum()


def sweep_of(protocol: Protocol) -> DrawnLevels:
    """The exposure of the regime `sweep` for the evaluation of a protocol."""
    trained_on = protocol.training_protocol
    content = {"protocol": trained_on.digest, **trained_on.training.content}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return DrawnLevels(trained_on, trained_on.training, digest)
