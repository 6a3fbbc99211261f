"""Protocols: named lists of conditions on the reliability spectrum.

A protocol is a set of corruption steps whose levels are numbers or names of *variables*, and a list of points that set
the variables: the grid of its axes, or points given one by one. A `Condition` is one point with every number
filled in. `protocols/README.md` describes the files, `qamoe_bench.protocol.parse` reads them. Nothing here needs torch.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qamoe_bench.protocol.kinds import FILES, Option
from qamoe_bench.protocol.level_files import LevelFile
from qamoe_bench.protocol.training import TrainingDraw
from qamoe_bench.vocabulary import MODALITIES

if TYPE_CHECKING:
    from qamoe_bench.protocol.level import Level

SCHEMA = 1  # of protocol files; part of every digest


@dataclass(frozen=True)
class Step:
    """One corruption with its levels filled in.

    Attributes:
        kind: A name in `qamoe_bench.protocol.kinds.CORRUPTION_KINDS`.
        levels: Level per modality; a modality that is not named is not corrupted.
        options: Every option of the kind; of `files`, SHA-256 of the file of each level.
        files: Where the files of these digests are; empty for other kinds.
    """

    kind: str
    levels: "Mapping[str, Level]"
    options: Mapping[str, Option]
    files: Mapping[str, LevelFile] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """One point of a protocol.

    Attributes:
        name: Its name, unique within the protocol.
        levels: Its level on each axis; empty where points are named.
        steps: The corruptions, in order.
    """

    name: str
    levels: Mapping[str, float]
    steps: tuple[Step, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the steps, without the name and the places of files; levels must be numbers."""
        steps = [{"kind": s.kind, "levels": dict(s.levels), "options": dict(s.options)} for s in self.steps]
        return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()

    def map_levels(self, change: "Callable[[str, Level], Level]") -> "Condition":
        """The condition with other levels, each made from its modality and the level that it has here."""
        steps = []
        for step in self.steps:
            steps.append(replace(step, levels={m: change(m, level) for m, level in step.levels.items()}))
        return replace(self, steps=tuple(steps))


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
        original: What the original does at test time and in training; empty for a protocol of our own.
        training: How the regime `sweep` draws the corruption of training samples.
        trains_on: The protocol that the regime `sweep` trains on instead of this one; None for this one.
        files: Where the data files of its levels are, by SHA-256; empty where all corruptions are drawn.
    """

    name: str
    title: str
    source: str
    definition: str
    axes: Mapping[str, tuple[float, ...]]
    points: Mapping[str, Mapping[str, float]]
    corruptions: tuple[Mapping[str, Any], ...]
    draws: int = 1
    original: str = ""
    training: TrainingDraw = field(default_factory=TrainingDraw)
    trains_on: "Protocol | None" = None
    files: Mapping[str, LevelFile] = field(default_factory=dict)

    @property
    def training_protocol(self) -> "Protocol":
        """The protocol that the regime `sweep` trains on."""
        return self.trains_on or self

    @property
    def training_sentence(self) -> str:
        """What the regime `sweep` trains on, and who trains in this way."""
        trained_on = self.training_protocol
        if trained_on.files:
            return "not possible, since its levels are files, which corrupt no new samples"
        place = f"on {trained_on.name}" if self.trains_on else "on this protocol"
        draw = trained_on.training.sentence(trained_on.axes, len(trained_on.points))
        source = f" ({trained_on.training.source})" if trained_on.training.source else ""
        return f"{place}, {draw}{source}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that determines the corrupted test samples, without prose, name and training."""
        # The digest is part of every stored result: a change here makes all of them stale.
        meaning = {
            "schema": SCHEMA,
            "axes": dict(self.axes),
            # The names of points are left out: renaming one changes no sample.
            "points": [dict(variables) for variables in self.points.values()],
            "corruptions": [dict(c) for c in self.corruptions],
            "draws": self.draws,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Every point; in a grid the first axis changes slowest."""
        if self.points:
            return tuple(Condition(name, {}, self.steps(variables)) for name, variables in self.points.items())
        grid = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        return tuple(Condition(_name(point), point, self.steps(point)) for point in grid)

    def steps(self, variables: "Mapping[str, Level]") -> tuple[Step, ...]:
        """The steps at a point; a variable may be an array with one level per sample."""
        return self.steps_by_modality(dict.fromkeys(MODALITIES, variables))

    def steps_by_modality(self, variables: "Mapping[str, Mapping[str, Level]]") -> tuple[Step, ...]:
        """The steps where the variables have other values in each modality."""
        steps = []
        for corruption in self.corruptions:
            # A string is the name of a variable, anything else a level.
            levels = {m: variables[m][v] if isinstance(v, str) else v for m, v in corruption["levels"].items()}
            files = self.files if corruption["kind"] == FILES else {}
            steps.append(Step(corruption["kind"], levels, corruption["options"], files))
        return tuple(steps)


def _name(point: Mapping[str, float]) -> str:
    """The name of a point of a grid, such as `lambda=0.1,eta=0.2`; `clean` without axes."""
    return ",".join(f"{axis}={value:g}" for axis, value in point.items()) or "clean"
