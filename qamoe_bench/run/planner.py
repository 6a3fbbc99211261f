"""From requests to plans, with every check that does not need hours of computation made first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qamoe_bench.adapters.module import AdaptedModule
from qamoe_bench.config import configure
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.recordings import Recordings, recorded_corruption
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.evaluation.sweep import EvalConfig
from qamoe_bench.evaluation.test_set import SPLIT
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.provenance.location import is_file
from qamoe_bench.registry import ModelRef, find_model
from qamoe_bench.run.guard import OWN_MODEL_TIMEOUT_S, PLANNING_TIMEOUT_S
from qamoe_bench.run.limits import check_law, coverage_notes, covered_protocols, is_limit
from qamoe_bench.run.merge import make_plan, merge_plans
from qamoe_bench.run.plan import (
    DEFAULT_EVALUATION,
    Job,
    Plan,
    Recipe,
    engine_content,
    limit_digest,
    recipe_digests,
)
from qamoe_bench.run.presets import find_preset
from qamoe_bench.run.request import MAX_CELLS, LocatedRequest, Request, error_location, too_many_cells
from qamoe_bench.run.task_models import able_models
from qamoe_bench.run.trials import Trials
from qamoe_bench.store.cell import GIVEN, ORACLE, Cell
from qamoe_bench.training.building import build_model
from qamoe_bench.training.checkpoint import load_weights
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN, REGIMES, SPECTRUM, Exposure, sweep_of

DEVICES = ("auto", "cpu", "cuda")


def plan_all(
    requests: Sequence[LocatedRequest], *, remote: bool = False, cell_timeout: float | None = None
) -> list[Plan]:
    """One plan for each data set; a cell that several requests contain is planned once.

    Args:
        requests: As of a study file or the command line.
        remote: See `plan`.
        cell_timeout: See `plan`.

    Raises:
        BenchError: as `plan` does, with the place in the study file.
    """
    # With a language model, or read otherwise, the same file gives other samples, so it counts as another data set.
    by_data: dict[tuple[str, str, ReadingOptions], list[LocatedRequest]] = {}
    for located in requests:
        request = located.request
        by_data.setdefault((request.data, request.fine_tune, request.reading), []).append(located)
    plans = []
    for group in by_data.values():
        parts = [_plan_located(located, remote, cell_timeout) for located in group]
        plans.append(merge_plans(parts, [located.request for located in group]))
    return plans


def _plan_located(located: LocatedRequest, remote: bool, cell_timeout: float | None) -> Plan:
    with error_location(located.location, "data"):
        _open(located.request)  # cached, so `plan` does not read it again
    with error_location(located.location):
        return plan(located.request, remote=remote, cell_timeout=cell_timeout)


def plan(request: Request, *, remote: bool = False, cell_timeout: float | None = None) -> Plan:
    """Check a request and plan it; the same request on the same code and data gives the same plan.

    Args:
        request: What to evaluate.
        remote: Whether other machines compute it, so that this one need not have the device.
        cell_timeout: How many seconds a cell may take, and planning each of its models; by default without a limit for
            built-in models and with a generous one for others.

    Raises:
        BenchError: for anything in the request that does not exist, or that cannot be combined.
    """
    # Cheap checks first: names, then imports of models, then the data, then the combination of all.
    protocols = _load_protocols(request)
    cells = math.prod(map(len, (request.protocols, request.models, request.regimes, request.seeds)))
    if cells > MAX_CELLS:
        raise too_many_cells(cells)
    _check_regimes(request, protocols)
    device = find_device(request.device, remote=remote)
    trial = Trials(PLANNING_TIMEOUT_S if cell_timeout is None else cell_timeout)
    # Models are imported first, since reading the data may take minutes.
    recipes = trial.passing(_make_recipes(request), "its import", lambda recipe: recipe.model.builder())
    data = _open(request)
    check_law(request.models, data)
    able = able_models(recipes, request.from_groups, data)
    for protocol in protocols:
        check_tokens(protocol, data)
        if "sweep" in request.regimes and not request.checkpoint:
            check_tokens(protocol.training_protocol, data)
    recorded = {p.name: recorded_corruption(p, data, Recordings(data, SPLIT)) for p in protocols if p.files}
    calls: dict[str, dict[str, str]] = {}

    def check(recipe: Recipe) -> None:
        model = _check_recipe(recipe, data)
        if isinstance(model, AdaptedModule):
            calls[recipe.model.name] = {"call": model.call.sentence}

    recipes = trial.passing(able.recipes, "building it", check)
    engine = engine_content(device, data)
    jobs = [_with_timeout(job, cell_timeout) for job in _make_jobs(request, data, protocols, recipes, engine)]
    manifest = _manifest(request, data, protocols, recipes, engine, calls)
    for name, sentences in recorded.items():
        manifest["protocols"][name]["recorded"] = sentences
    notes = (*able.notes, *coverage_notes(request.models, protocols, covered_protocols(data, protocols)))
    if not jobs and not trial.refused:
        raise BenchError(f"{notes[-1]}; name a protocol that it covers, such as random-missing, or a model")
    return replace(make_plan(jobs, manifest), refused=trial.refused, notes=notes)


def _with_timeout(job: Job, cell_timeout: float | None) -> Job:
    default = OWN_MODEL_TIMEOUT_S if job.has_own_model else 0.0
    return replace(job, cell_timeout=default if cell_timeout is None else cell_timeout)


def _open(request: Request) -> Dataset:
    return open_dataset(request.data, request.fine_tune, request.reading)


def _load_protocols(request: Request) -> list[Protocol]:
    protocols = [load_protocol(name) for name in _distinct(request.protocols)]
    names = [protocol.name for protocol in protocols]
    # Cells are filed under the name of their protocol, so it has to be unique.
    for name in names:
        if names.count(name) > 1:
            raise BenchError(f"two protocols are called {name!r}: expected one each; rename your file")
    return protocols


def _check_regimes(request: Request, protocols: Sequence[Protocol]) -> None:
    """Refuse to train on corruptions that cannot be drawn for training samples."""
    for protocol in () if request.checkpoint else protocols:
        trained_on = {"sweep": protocol.training_protocol, "matched": protocol}
        for regime in request.regimes:
            if regime in trained_on and trained_on[regime].files:
                other = ", or name another protocol in its [training]" if regime == "sweep" else ""
                raise BenchError(
                    f"protocol {protocol.name!r}: expected a regime that does not train on its corruption, since its "
                    f"levels are files, got {regime!r}; use --regime clean or spectrum{other}"
                )


def _make_recipes(request: Request) -> list[Recipe]:
    """One recipe for each regime and model."""
    models = [find_model(name) for name in _distinct(request.models) if not is_limit(name)]
    preset = find_preset(request.preset)
    if request.checkpoint:
        if len(models) != 1:
            raise BenchError(f"--checkpoint: expected one --model whose weights these are, got {len(models)}; name one")
        if not is_file(Path(request.checkpoint)):
            raise BenchError(f"checkpoint {request.checkpoint!r}: expected a safetensors file; no such file")
    for regime in request.regimes:
        if regime not in REGIMES:
            raise unknown_name("regime", regime, REGIMES)
    return [
        Recipe(
            model=ref,
            # Settings in the name of a model take precedence over the preset.
            settings={**ref.card().presets.get(request.preset, {}), **ref.settings},
            regime=regime,
            training=configure(TrainConfig, {**asdict(preset.training), **ref.training}),
            evaluation=configure(EvalConfig, ref.evaluation),
            checkpoint=request.checkpoint,
        )
        for regime in ([GIVEN] if request.checkpoint else _distinct(request.regimes))
        for ref in models
    ]


def _check_recipe(recipe: Recipe, data: Dataset) -> nn.Module:
    """Build the model, and load its checkpoint, so that a mistake in them ends the command before any training."""
    check_modalities(recipe.model, data)
    # Any seed will do: this model is thrown away.
    model = build_model(recipe.model, recipe.settings, data.spec, data.examples, 0)
    if recipe.checkpoint:
        load_weights(model, Path(recipe.checkpoint), named=False)
    return model


def check_modalities(model: ModelRef, data: Dataset) -> None:
    """Refuse a model that requires text if the data have words or token ids of it and no features.

    Its row would look like that of a model which reads the text.

    Raises:
        BenchError: with the commands that make the text readable.
    """
    if "text" not in model.card().requires or "text" in data.spec.modalities:
        return
    splits = data.splits.values()
    has_words = any(split.raw_text for split in splits)
    if has_words or any(split.tokens is not None for split in splits):
        raise BenchError(
            f"model {model.name!r}: expected features of text, got {'words' if has_words else 'token ids'} without "
            f"features in {data.name!r}; give a language model with --fine-tune, which reads them, add features with "
            "'qamoe-bench data encode', or leave the model out"
        )


def check_tokens(protocol: Protocol, data: Dataset) -> None:
    """Refuse a protocol whose corruptions compute with numbers if the data hold token ids there."""
    for corruption in protocol.corruptions:
        if not kind_named(corruption["kind"]).numeric:
            continue
        token_modalities = set(corruption["levels"]) & set(data.token_ids)
        if token_modalities:
            raise BenchError(
                f"protocol {protocol.name!r}: {corruption['kind']!r} computes with features, and "
                f"{min(token_modalities)} of {data.name!r} holds token ids; use a protocol that loses or replaces "
                "tokens"
            )


def find_device(name: str, *, remote: bool = False) -> str:
    """The device that a name means: `auto` is `cuda` if this machine has it, else `cpu`.

    Args:
        name: `auto`, `cpu` or `cuda`.
        remote: Whether other machines compute, whose devices this one cannot see.

    Raises:
        BenchError: for an unknown name, or for `cuda` on a machine without it.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    if name == "cuda" and not remote and not torch.cuda.is_available():
        raise BenchError("device 'cuda': no CUDA device is available; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def _absolute(data: str) -> str:
    """A path that means the same in every process; a name as it is."""
    return str(Path(data).absolute()) if data and Path(data).exists() else data


def _distinct(values: tuple[Any, ...]) -> list[Any]:
    return list(dict.fromkeys(values))  # in order, in contrast to a set


@dataclass(frozen=True)
class _Row:
    """A row of result tables: a recipe (None for a limit), the digest of its weights, and that of all of it."""

    model: str
    recipe: Recipe | None
    weights: str
    digest: str
    protocols: Sequence[Protocol]

    @property
    def regime(self) -> str:
        return self.recipe.regime if self.recipe else ""

    @property
    def evaluation(self) -> EvalConfig:
        return self.recipe.evaluation if self.recipe else DEFAULT_EVALUATION


def _rows(recipe: Recipe, protocols: Sequence[Protocol], engine: Mapping[str, Any]) -> list[_Row]:
    """The row of a recipe, or one for each protocol in the regime `sweep`, whose weights depend on it."""

    def row(exposure: Exposure | None, protocols: Sequence[Protocol]) -> _Row:
        exposed = replace(recipe, exposure=exposure)
        return _Row(recipe.model.name, exposed, *recipe_digests(exposed, engine), protocols)

    if recipe.regime == "sweep":
        return [row(sweep_of(protocol), [protocol]) for protocol in protocols]
    common: dict[str, Exposure] = {"clean": CLEAN, "spectrum": SPECTRUM}  # neither `matched` nor given weights have one
    return [row(common.get(recipe.regime), protocols)]


def _make_jobs(
    request: Request, data: Dataset, protocols: list[Protocol], recipes: list[Recipe], engine: Mapping[str, Any]
) -> list[Job]:
    """The jobs of every seed and recipe, then those of the limits; one job per protocol, still to be merged."""
    seeds = _distinct(request.seeds)
    rows = [row for recipe in recipes for row in _rows(recipe, protocols, engine)]
    jobs: list[Job] = []
    # Seeds are the outer loop: a worker keeps the draws of one seed, and they are the same for all models.
    for seed in seeds:
        for row in rows:
            jobs += _jobs_of_row(row, seed, request, data, engine["device"])
    # The oracle is computed wherever there is one, other limits if they are named.
    limits = dict.fromkeys([ORACLE, *filter(is_limit, request.models)])
    if covered := covered_protocols(data, protocols):
        digests = {name: limit_digest(name, engine) for name in limits}
        rows = [_Row(name, None, digest, digest, covered) for name, digest in digests.items()]
        for seed in seeds:
            for row in rows:
                jobs += _jobs_of_row(row, seed, request, data, engine["device"])
    return jobs


def _jobs_of_row(row: _Row, seed: int, request: Request, data: Dataset, device: str) -> list[Job]:
    """The jobs of a row under one seed, one for each protocol."""
    jobs = []
    for protocol in row.protocols:
        cell = Cell(data.name, data.digest, protocol.name, protocol.digest, row.model, row.regime, row.digest, seed)
        job = Job(
            recipe=row.recipe,
            digest=row.weights,
            seed=seed,
            data=_absolute(request.data),
            fine_tune=_absolute(request.fine_tune),
            reading=request.reading,
            device=device,
            cells=((cell, protocol),),
            evaluations={} if row.evaluation == DEFAULT_EVALUATION else {cell.key: row.evaluation},
        )
        jobs.append(job)
    return jobs


def _manifest(
    request: Request,
    data: Dataset,
    protocols: list[Protocol],
    recipes: list[Recipe],
    engine: Mapping[str, Any],
    calls: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """The record of a run, `run.json`: everything about it that is known before it starts.

    Args:
        request: The request.
        data: The data set.
        protocols: Its protocols.
        recipes: Its models and regimes.
        engine: See `engine_content`.
        calls: How the forward pass of each adapted model is called, by name of the model.
    """
    return {
        "request": asdict(request),
        "data": {
            "name": data.name,
            "digest": data.digest,
            "samples": {name: len(split) for name, split in data.splits.items()},
            "widths": dict(data.spec.widths),
            "notes": list(data.notes),
        },
        "protocols": {protocol.name: _describe_protocol(protocol) for protocol in protocols},
        "models": {
            recipe.model.name: {**_describe_code(recipe.model), **calls.get(recipe.model.name, {})}
            for recipe in recipes
        },
        "engine": dict(engine),
    }


def _describe_protocol(protocol: Protocol) -> dict[str, Any]:
    return {
        "digest": protocol.digest,
        "title": protocol.title,
        "source": protocol.source,
        "definition": protocol.definition,
        "training": protocol.training_sentence,
    }


def _describe_code(model: ModelRef) -> dict[str, Any]:
    code = model.code()
    described = {"source": code.digest, "distributions": code.versions, "uncovered": [*code.uncovered]}
    # Only where there are any, which is seldom.
    return {**described, "changed": [*model.changed_by_import]} if model.changed_by_import else described
