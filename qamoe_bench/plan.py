"""From what a user asks for to a list of jobs: one job per row of a table and seed, with all cells that come from it.

Everything that determines a number goes into the keys made here: data, model source and settings, training, engine
source, library versions, kind of device. Thread count does not, for every job computes on one thread.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from qamoe_bench.building import build_model
from qamoe_bench.checkpoint import load_weights
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.environment import engine_digest, versions
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.kinds import KINDS
from qamoe_bench.nn.config import configure
from qamoe_bench.presets import find_preset
from qamoe_bench.protocol import Condition, Protocol
from qamoe_bench.protocol_file import load_protocol
from qamoe_bench.record import GIVEN, ORACLE, Cell, digest_of
from qamoe_bench.registry import ModelRef, find_model
from qamoe_bench.sweep import EvalConfig
from qamoe_bench.train import CLEAN, REGIMES, SPECTRUM, Exposure, TrainConfig

AS_USUAL = EvalConfig()


@dataclass(frozen=True)
class Request:
    """What a user asks for; names as on the command line."""

    protocols: tuple[str, ...]
    models: tuple[str, ...]
    data: str = "synthetic"
    seeds: tuple[int, ...] = (1111, 1112, 1113)
    regimes: tuple[str, ...] = ("spectrum",)
    preset: str = "quick"
    device: str = "auto"
    checkpoint: str = ""
    fine_tune: str = ""


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
        return {
            "model": self.model.trained_name, "source": self.model.digest(), "settings": dict(self.settings),
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

    @property
    def name(self) -> str:
        """How progress and errors call it."""
        return (
            f"{self.recipe.model.trained_name} {self.recipe.regime} {self.seed}"
            if self.recipe
            else f"{ORACLE} {self.seed}"
        )

    def evaluation(self, cell: Cell) -> EvalConfig:
        """How the weights are asked for a cell."""
        return self.evaluations.get(cell.key, AS_USUAL)

    def weights(self, condition: Condition) -> str:
        """Key of the weights that answer under a condition; under all conditions the same, but for specialists."""
        assert self.recipe is not None
        return digest_of([self.digest, self.seed, self.recipe.exposure(condition).digest])[:20]


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


def plan(request: Request) -> Plan:
    """Check a request and lay it out; the same request on the same code and data makes the same plan.

    Raises:
        BenchError: for anything in the request that does not exist or does not go together.
    """
    protocols = _protocols(request)
    device = find_device(request.device)
    recipes = _recipes(request)
    for recipe in recipes:
        recipe.model.builder()  # before the data are read, for that may take long
    data = open_dataset(request.data, request.fine_tune)
    for protocol in protocols:
        check_tokens(protocol, data)
    for recipe in recipes:  # a mistake in settings or weights is found before hours of work
        model = build_model(recipe.model, recipe.settings, data.spec, seed=0)
        if recipe.checkpoint:
            load_weights(model, Path(recipe.checkpoint))
    engine = {"engine": engine_digest(), "versions": versions(), "device": device, "data": data.digest}
    seeds = _distinct(request.seeds)
    of_weights: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        of_weights.setdefault(digest_of({**recipe.weights, **engine})[:20], []).append(recipe)
    jobs = [
        job
        for seed in seeds
        for digest, same in of_weights.items()
        for job in _jobs(digest, _rows(same, engine), same[0], seed, request, data, device, protocols)
    ]
    if data.oracle is not None and (covered := [p for p in protocols if all(map(data.oracle.covers, p.conditions))]):
        digest = digest_of({"model": ORACLE, **engine})[:20]
        for seed in seeds:
            jobs += _jobs(digest, [_Named(ORACLE, "", digest)], None, seed, request, data, device, covered)
    keys = [cell.key for job in jobs for cell, _ in job.cells]
    return Plan(f"{data.name}-{digest_of(keys)[:12]}", tuple(jobs), _manifest(request, data, protocols, keys, engine))


def _protocols(request: Request) -> list[Protocol]:
    protocols = [load_protocol(name) for name in _distinct(request.protocols)]
    names = [p.name for p in protocols]
    if twice := [n for n in names if names.count(n) > 1]:
        raise BenchError(f"two protocols are called {twice[0]!r}: expected one each; rename your file")
    return protocols


def _recipes(request: Request) -> list[Recipe]:
    models = [find_model(name) for name in _distinct(request.models)]
    preset = find_preset(request.preset)
    if request.checkpoint and len(models) != 1:
        raise BenchError(f"--checkpoint: expected one --model whose weights these are, got {len(models)}; name one")
    if request.checkpoint and not Path(request.checkpoint).is_file():
        raise BenchError(f"checkpoint {request.checkpoint!r}: expected a safetensors file; no such file")
    for regime in request.regimes:
        if regime not in REGIMES:
            raise unknown_name("regime", regime, REGIMES)
    return [
        Recipe(
            model=ref,
            settings={**preset.models.get(ref.base, {}), **ref.settings},
            regime=regime,
            training=configure(TrainConfig, {**asdict(preset.training), **ref.training}),
            evaluation=configure(EvalConfig, ref.evaluation),
            checkpoint=request.checkpoint,
        )
        for regime in ([GIVEN] if request.checkpoint else _distinct(request.regimes))
        for ref in models
    ]


def check_tokens(protocol: Protocol, data: Dataset) -> None:
    """Refuse a protocol that computes with numbers where the data hold token ids."""
    for corruption in protocol.corruptions:
        if KINDS[corruption["kind"]].numeric and (ids := set(corruption["levels"]) & set(data.token_ids)):
            raise BenchError(
                f"protocol {protocol.name!r}: {corruption['kind']!r} computes with features, and {min(ids)} of "
                f"{data.name!r} holds token ids; use a protocol that loses or replaces tokens"
            )


def find_device(name: str) -> str:
    """`cpu` or `cuda`; `auto` is cuda where there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise unknown_name("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise BenchError("device 'cuda': no CUDA device is available; use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _distinct(values: tuple[Any, ...]) -> list[Any]:
    return list(dict.fromkeys(values))


@dataclass(frozen=True)
class _Named:
    """What becomes a row of tables: names of model and regime, digest of all that determines it, how it is asked."""

    model: str
    regime: str
    digest: str
    evaluation: EvalConfig = AS_USUAL


def _rows(recipes: list[Recipe], engine: Mapping[str, Any]) -> list[_Named]:
    return [_Named(r.model.name, r.regime, digest_of({**r.content, **engine})[:20], r.evaluation) for r in recipes]


def _jobs(
    digest: str, rows: list[_Named], recipe: Recipe | None, seed: int, request: Request, data: Dataset, device: str,
    protocols: list[Protocol],
) -> list[Job]:  # fmt: skip
    """The jobs of some weights (or the oracle) under one seed; specialists of each protocol are a job of their own."""
    cells, evaluations = [], {}
    for protocol in protocols:
        for row in rows:
            of = (data.name, data.digest, protocol.name, protocol.digest)
            cell = Cell(*of, row.model, row.regime, row.digest, seed)
            cells.append((cell, protocol))
            if row.evaluation != AS_USUAL:
                evaluations[cell.key] = row.evaluation
    specialists = recipe is not None and recipe.regime == "matched"
    groups = [[c for c in cells if c[1] is p] for p in protocols] if specialists else [cells]
    return [
        Job(recipe, digest, seed, request.data, request.fine_tune, device, tuple(group), evaluations)
        for group in groups
    ]


def _manifest(
    request: Request, data: Dataset, protocols: list[Protocol], keys: list[str], engine: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "request": asdict(request),
        "data": {
            "name": data.name,
            "digest": data.digest,
            "samples": {name: len(split) for name, split in data.splits.items()},
            "widths": dict(data.spec.widths),
            "notes": list(data.notes),
        },
        "protocols": {
            p.name: {"digest": p.digest, "title": p.title, "source": p.source, "definition": p.definition}
            for p in protocols
        },
        "engine": dict(engine),
        "cells": keys,
    }
