"""Protocols: named lists of conditions on the reliability spectrum.

A protocol is a set of corruption steps whose levels are numbers or names of *variables*, and a list of points that say
what the variables are: the grid of its axes, or points given one by one. A `Condition` is one point with every number
filled in. `protocols/README.md` describes the files, `qamoe_bench.protocol.parse` reads them. Nothing here needs torch.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = 1

Level = float | NDArray[np.float32]
"""A level for all samples, or one per sample (training on the spectrum)."""


@dataclass(frozen=True)
class Step:
    """One corruption with its levels filled in.

    Attributes:
        kind: A name in `qamoe_bench.protocol.kinds.CORRUPTION_KINDS`.
        levels: Level per modality; a modality that is not named is left alone.
        options: Every option of the kind.
    """

    kind: str
    levels: Mapping[str, Level]
    options: Mapping[str, bool]


@dataclass(frozen=True)
class Condition:
    """One point of a protocol: its name, its place on the axes (none where points are named), and its steps."""

    name: str
    levels: Mapping[str, float]
    steps: tuple[Step, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of what is done to samples; the name does not count. Levels must be numbers."""
        return hashlib.sha256(json.dumps([asdict(s) for s in self.steps], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Protocol:
    """A named sweep.

    Attributes:
        name: Name of the file.
        title: One line for tables.
        source: Where the definition comes from.
        definition: The sentence that defines it.
        axes: Rising levels of each axis; empty where points are given one by one.
        points: Name and variables of each point; empty where there are axes.
        corruptions: `kind`, `levels` per modality (numbers or variables) and `options` of each step.
        draws: Independent draws of the corruption per condition and seed.
    """

    name: str
    title: str
    source: str
    definition: str
    axes: Mapping[str, tuple[float, ...]]
    points: Mapping[str, Mapping[str, float]]
    corruptions: tuple[Mapping[str, Any], ...]
    draws: int = 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that determines the corrupted samples; prose and name do not count."""
        meaning = {
            "schema": SCHEMA,
            "axes": dict(self.axes),
            "points": [dict(variables) for variables in self.points.values()],
            "corruptions": [dict(c) for c in self.corruptions],
            "draws": self.draws,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Every point; of a grid the first axis is the slowest."""
        if self.points:
            return tuple(Condition(name, {}, self.steps(variables)) for name, variables in self.points.items())
        grid = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        return tuple(Condition(_name(point), point, self.steps(point)) for point in grid)

    def steps(self, variables: Mapping[str, Level]) -> tuple[Step, ...]:
        """The steps at a point; a variable may be an array with one level per sample."""
        return tuple(
            Step(
                kind=c["kind"],
                levels={m: variables[v] if isinstance(v, str) else v for m, v in c["levels"].items()},
                options=c["options"],
            )
            for c in self.corruptions
        )


def _name(point: Mapping[str, float]) -> str:
    return ",".join(f"{axis}={value:g}" for axis, value in point.items()) or "clean"
