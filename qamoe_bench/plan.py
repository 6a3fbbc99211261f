"""From what a user asks for to a list of jobs: one job per training, with all cells that need it.

Everything that determines a number goes into the keys made here: data, model source and settings, training, engine
source, library versions, kind of device. Thread count does not, for every job computes on one thread.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.environment import engine_digest, versions
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.kinds import KINDS
from qamoe_bench.presets import find_preset
from qamoe_bench.protocol import Protocol
from qamoe_bench.protocol_file import load_protocol
from qamoe_bench.record import ORACLE, Cell, digest_of
from qamoe_bench.registry import ModelRef, find_model
from qamoe_bench.train import REGIMES, TrainConfig, fingerprint


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


@dataclass(frozen=True)
class Job:
    """One training (or none, for the oracle) and the cells that come from it; small enough to send to a worker.

    Attributes:
        model: The model, or None for the oracle.
        overrides: Fields of the model's configuration.
        regime: Training regime; empty for the oracle.
        seed: Of everything random.
        training: Settings of the loop.
        weights: Key of the weights.
        data: Name or path of the data set.
        device: Where to compute.
        cells: Cell and protocol, pair by pair.
    """

    model: ModelRef | None
    overrides: Mapping[str, Any]
    regime: str
    seed: int
    training: TrainConfig
    weights: str
    data: str
    device: str
    cells: tuple[tuple[Cell, Protocol], ...]

    @property
    def name(self) -> str:
        """How progress and errors call it."""
        return " ".join(filter(None, (self.model.name if self.model else ORACLE, self.regime, str(self.seed))))


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
        BenchError: for anything in the request that does not exist.
    """
    models = [find_model(name) for name in _distinct(request.models)]
    protocols = [load_protocol(name) for name in _distinct(request.protocols)]
    names = [p.name for p in protocols]
    if twice := [n for n in names if names.count(n) > 1]:
        raise BenchError(f"two protocols are called {twice[0]!r}: expected one each; rename your file")
    for regime in request.regimes:
        if regime not in REGIMES:
            raise unknown_name("regime", regime, REGIMES)
    preset, device = find_preset(request.preset), find_device(request.device)
    for ref in models:
        ref.builder()  # a model that cannot be imported is found before hours of work
    data = open_dataset(request.data)
    for protocol in protocols:
        _check_tokens(protocol, data)
    engine = {"engine": engine_digest(), "versions": versions(), "device": device, "data": data.digest}
    jobs = [
        _job(request, preset.training, preset.models.get(ref.name, {}), ref, regime, seed, data, engine, protocols)
        for seed in _distinct(request.seeds)
        for regime in _distinct(request.regimes)
        for ref in models
    ]
    if data.oracle is not None:
        jobs += [
            _job(request, preset.training, {}, None, "", seed, data, engine, covered)
            for seed in _distinct(request.seeds)
            if (covered := [p for p in protocols if all(map(data.oracle.covers, p.conditions))])
        ]
    keys = [cell.key for job in jobs for cell, _ in job.cells]
    return Plan(f"{data.name}-{digest_of(keys)[:12]}", tuple(jobs), _manifest(request, data, protocols, keys, engine))


def _check_tokens(protocol: Protocol, data: Dataset) -> None:
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


def _job(
    request: Request,
    training: TrainConfig,
    overrides: Mapping[str, Any],
    model: ModelRef | None,
    regime: str,
    seed: int,
    data: Dataset,
    engine: Mapping[str, Any],
    protocols: list[Protocol],
) -> Job:
    name = model.name if model else ORACLE
    made_by = {"model": name, **engine}
    if model:
        made_by |= {
            "source": model.digest(), "overrides": dict(overrides), "regime": regime,
            "corruption": fingerprint(regime), "training": asdict(training),
        }  # fmt: skip
    recipe = digest_of(made_by)[:20]
    cells = tuple((Cell(data.name, data.digest, p.name, p.digest, name, regime, recipe, seed), p) for p in protocols)
    weights = digest_of([recipe, seed])[:20]
    device = str(engine["device"])
    return Job(model, overrides, regime, seed, training, weights, request.data, device, cells)


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
