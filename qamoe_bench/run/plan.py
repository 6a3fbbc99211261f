"""What is to be done, as types: a recipe makes weights, a job is a recipe under one seed, a plan has many.

Everything that determines a number goes into the keys made here: data, model source and settings, training, engine
source, library versions, kind of device. Thread count does not, for every job computes on one thread.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.evaluation.sweep import EvalConfig
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.provenance.environment import engine_digest, versions
from qamoe_bench.registry import ModelRef
from qamoe_bench.store.cell import ORACLE, Cell, digest_of
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN, SPECTRUM, Exposure

AS_USUAL = EvalConfig()


@dataclass(frozen=True)
class Recipe:
    """How a model's weights come about, but for data, engine and seed.

    Attributes:
        model: The model.
        settings: Fields of its configuration.
        regime: Training regime; `given` for weights that the user brings.
        training: Settings of the loop.
        evaluation: How the weights are asked.
        checkpoint: File of the user's weights; empty where they are trained here.
    """

    model: ModelRef
    settings: Mapping[str, Any]
    regime: str
    training: TrainConfig
    evaluation: EvalConfig = AS_USUAL
    checkpoint: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """All that it determines, as plain values."""
        return {"weights": self.weights, "model": self.model.name, "evaluation": asdict(self.evaluation)}

    @property
    def weights(self) -> dict[str, Any]:
        """What determines the weights, as plain values."""
        weights = (
            {"checkpoint": hashlib.sha256(Path(self.checkpoint).read_bytes()).hexdigest()}
            if self.checkpoint
            else {"training": asdict(self.training)}
        )
        corruption = SPECTRUM.digest if self.regime == "spectrum" else ""
        code = self.model.code()
        return {
            "model": self.model.trained_name, "source": code.digest, "distributions": dict(code.versions),
            "settings": dict(self.settings),
            "regime": self.regime, "corruption": corruption, **weights,
        }  # fmt: skip

    def exposure(self, condition: Condition) -> Exposure:
        """What the weights that answer under a condition are trained on."""
        return {"clean": CLEAN, "spectrum": SPECTRUM}.get(self.regime) or Exposure(condition)


@dataclass(frozen=True)
class Job:
    """Weights under one seed (or the oracle) and the cells that come from them; small enough to send to a worker.

    Attributes:
        recipe: How the weights come about; None for the oracle, which has none.
        digest: Digest of the weights' part of the recipe together with data and engine.
        seed: Of everything random.
        data: Name or path of the data set.
        fine_tune: The language model that reads its raw text, if one is trained with the rest.
        device: Where to compute.
        cells: Cell and protocol, pair by pair.
        evaluations: How the weights are asked, by the key of a cell, where that is not as usual.
    """

    recipe: Recipe | None
    digest: str
    seed: int
    data: str
    fine_tune: str
    device: str
    cells: tuple[tuple[Cell, Protocol], ...]
    evaluations: Mapping[str, EvalConfig] = field(default_factory=dict)

    def evaluation(self, cell: Cell) -> EvalConfig:
        """How the weights are asked for a cell."""
        return self.evaluations.get(cell.key, AS_USUAL)

    def weights(self, condition: Condition) -> str:
        """Key of the weights that answer under a condition; under all conditions the same, but for specialists."""
        assert self.recipe is not None
        return digest_of([self.digest, self.seed, self.recipe.exposure(condition).digest])[:20]

    @property
    def trainings(self) -> list[str]:
        """What identifies its trainings: those of specialists by their conditions, and one otherwise."""
        if self.recipe is None or self.recipe.regime != "matched":
            return [f"{self.digest}-{self.seed}"]
        return [self.weights(condition) for _, protocol in self.cells for condition in protocol.conditions]


@dataclass(frozen=True)
class Plan:
    """Every job of a request, the run that they belong to, and what its manifest says."""

    run_id: str
    jobs: tuple[Job, ...]
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        return [cell for job in self.jobs for cell, _ in job.cells]


def sharing(jobs: Iterable[Job]) -> list[Job]:
    """The jobs in order, those that have a training in common made one, with each cell once."""
    found: list[Job | None] = []
    place: dict[str, int] = {}  # of each training, where its job stands
    for new in jobs:
        met = sorted({place[key] for key in new.trainings if key in place})
        parts = [*(part for index in met if (part := found[index]) is not None), new]
        cells = {cell.key: (cell, protocol) for part in parts for cell, protocol in part.cells}
        evaluations = {key: how for part in parts for key, how in part.evaluations.items()}
        joined = replace(parts[0], cells=tuple(cells.values()), evaluations=evaluations)
        for index in met:
            found[index] = None
        place |= dict.fromkeys(joined.trainings, len(found) if not met else met[0])
        if met:
            found[met[0]] = joined
        else:
            found.append(joined)
    return [job for job in found if job is not None]


def lay_out(jobs: Iterable[Job], manifest: Mapping[str, Any]) -> Plan:
    """The plan of some jobs on one data set; those that need the same weights become one, so each is trained once."""
    merged = sharing(jobs)
    keys = [cell.key for job in merged for cell, _ in job.cells]
    name = f"{manifest['data']['name']}-{digest_of(keys)[:12]}"
    return Plan(name, tuple(merged), {**manifest, "cells": keys})


def engine_of(device: str, data: Dataset) -> dict[str, Any]:
    """What determines a number beside the recipe."""
    return {"engine": engine_digest(), "versions": versions(), "device": device, "data": data.digest}


def weights_digest(recipe: Recipe | None, engine: Mapping[str, Any]) -> str:
    """Digest of the weights' part of a recipe (None for the oracle) together with data and engine."""
    return digest_of({**(recipe.weights if recipe else {"model": ORACLE}), **engine})[:20]


def row_digest(recipe: Recipe, engine: Mapping[str, Any]) -> str:
    """Digest of all of a recipe together with data and engine."""
    return digest_of({**recipe.content, **engine})[:20]
