"""From what a user asks for to a plan, with everything checked that can be checked before hours of work."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from qamoe_bench.config import configure
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.evaluation.sweep import EvalConfig
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import ModelRef, find_model
from qamoe_bench.run.plan import AS_USUAL, Job, Plan, Recipe, engine_of, lay_out, row_digest, weights_digest
from qamoe_bench.run.presets import find_preset
from qamoe_bench.store.cell import GIVEN, ORACLE, Cell
from qamoe_bench.training.building import build_model
from qamoe_bench.training.checkpoint import load_weights
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import REGIMES


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


def plan(request: Request, *, elsewhere: bool = False) -> Plan:
    """Check a request and lay it out; the same request on the same code and data makes the same plan.

    Args:
        request: What is asked for.
        elsewhere: Whether other machines compute it, so that the device need not be here.

    Raises:
        BenchError: for anything in the request that does not exist or does not go together.
    """
    protocols = _protocols(request)
    device = find_device(request.device, elsewhere=elsewhere)
    recipes = _recipes(request)
    for recipe in recipes:
        recipe.model.builder()  # before the data are read, for that may take long
    data = open_dataset(request.data, request.fine_tune)
    for protocol in protocols:
        check_tokens(protocol, data)
    for recipe in recipes:  # a mistake in settings or weights is found before hours of work
        model = build_model(recipe.model.builder(), recipe.settings, data.spec, 0, recipe.model.name)
        if recipe.checkpoint:
            load_weights(model, Path(recipe.checkpoint))
    engine = engine_of(device, data)
    seeds = _distinct(request.seeds)
    rows = [_Row(r, weights_digest(r, engine), row_digest(r, engine)) for r in recipes]
    jobs = [job for seed in seeds for row in rows for job in _jobs(row, seed, request, data, device, protocols)]
    if data.oracle is not None and (covered := [p for p in protocols if all(map(data.oracle.covers, p.conditions))]):
        digest = weights_digest(None, engine)
        for seed in seeds:
            jobs += _jobs(_Row(None, digest, digest), seed, request, data, device, covered)
    return lay_out(jobs, _manifest(request, data, protocols, recipes, engine))


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
            settings={**ref.card().presets.get(request.preset, {}), **ref.settings},
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
        if CORRUPTION_KINDS[corruption["kind"]].numeric and (ids := set(corruption["levels"]) & set(data.token_ids)):
            raise BenchError(
                f"protocol {protocol.name!r}: {corruption['kind']!r} computes with features, and {min(ids)} of "
                f"{data.name!r} holds token ids; use a protocol that loses or replaces tokens"
            )


def find_device(name: str, *, elsewhere: bool = False) -> str:
    """`cpu` or `cuda`; `auto` is cuda where there is one. One that is elsewhere cannot be seen from here."""
    if name not in ("auto", "cpu", "cuda"):
        raise unknown_name("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not elsewhere and not torch.cuda.is_available():
        raise BenchError("device 'cuda': no CUDA device is available; use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _source(data: str) -> str:
    """A name as it is, or a path in words that hold in every process."""
    return str(Path(data).absolute()) if data and Path(data).exists() else data


def _distinct(values: tuple[Any, ...]) -> list[Any]:
    return list(dict.fromkeys(values))


@dataclass(frozen=True)
class _Row:
    """What becomes a row of tables: a recipe (None for the oracle), and the digests of its weights and of all of it."""

    recipe: Recipe | None
    weights: str
    digest: str


def _jobs(row: _Row, seed: int, request: Request, data: Dataset, device: str, protocols: list[Protocol]) -> list[Job]:
    """The jobs of a row under one seed, one for each protocol."""
    recipe = row.recipe
    model, regime = (recipe.model.name, recipe.regime) if recipe else (ORACLE, "")
    evaluation = recipe.evaluation if recipe else AS_USUAL
    where = _source(request.data), _source(request.fine_tune), device
    jobs = []
    for protocol in protocols:
        cell = Cell(data.name, data.digest, protocol.name, protocol.digest, model, regime, row.digest, seed)
        evaluations = {} if evaluation == AS_USUAL else {cell.key: evaluation}
        jobs.append(Job(recipe, row.weights, seed, *where, ((cell, protocol),), evaluations))
    return jobs


def _manifest(
    request: Request, data: Dataset, protocols: list[Protocol], recipes: list[Recipe], engine: Mapping[str, Any]
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
        "models": {recipe.model.name: _code(recipe.model) for recipe in recipes},
        "engine": dict(engine),
    }


def _code(model: ModelRef) -> dict[str, Any]:
    code = model.code()
    return {"source": code.digest, "distributions": code.versions, "uncovered": [*code.uncovered]}
