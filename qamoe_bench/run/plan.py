"""Types of planned work: a recipe describes weights, a job is a recipe under one seed, and a plan is many jobs.

Everything that determines a number is part of the keys that are made here: data, model source and settings, training,
engine source, library versions and kind of device. The thread count is not, because every job computes on one thread.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.digest import array_facts
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.evaluation.sweep import EvalConfig
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.provenance.engine import engine_digest
from qamoe_bench.provenance.environment import versions
from qamoe_bench.registry import ModelRef
from qamoe_bench.run.limits import limit_content
from qamoe_bench.store.cell import Cell, digest_of
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import DrawnLevels, Exposure, OneCondition

DEFAULT_EVALUATION = EvalConfig()
DIGEST_LENGTH = 20
"""Hexadecimal digits of the digests below: 80 bits, so collisions within one store are out of reach."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a model's weights and predictions, except data, engine and seed.

    Attributes:
        model: The model.
        settings: Fields of its configuration.
        regime: Training regime; `given` for weights that the user brings.
        training: Settings of the training loop.
        evaluation: Settings of the evaluation.
        checkpoint: File of the user's weights; empty where the model is trained.
        exposure: What the weights are trained on; None where each condition has its own, and for a checkpoint.
    """

    model: ModelRef
    settings: Mapping[str, Any]
    regime: str
    training: TrainConfig
    evaluation: EvalConfig = DEFAULT_EVALUATION
    checkpoint: str = ""
    exposure: Exposure | None = None

    @property
    def content(self) -> dict[str, Any]:
        """Everything that determines the predictions, as plain values."""
        return {"weights": self.weights_content, "model": self.model.name, "evaluation": asdict(self.evaluation)}

    @property
    def weights_content(self) -> dict[str, Any]:
        """Everything that determines the weights, as plain values."""
        origin: dict[str, Any]
        if self.checkpoint:
            # The content of the file and not its path, which may hold other weights later.
            origin = {"checkpoint": hashlib.sha256(Path(self.checkpoint).read_bytes()).hexdigest()}
        else:
            origin = {"training": asdict(self.training)}
        code = self.model.code()
        # The names of these fields are part of every stored key: renaming one invalidates all results.
        return {
            "model": self.model.trained_name,
            "source": code.digest,
            "distributions": dict(code.versions),
            "settings": dict(self.settings),
            "regime": self.regime,
            "corruption": self.exposure.digest if isinstance(self.exposure, DrawnLevels) else "",
            **origin,
        }

    def exposure_for(self, condition: Condition) -> Exposure:
        """What the weights that predict under a condition are trained on."""
        # `matched`: a specialist; with `given` weights the condition is a part of the key only.
        return self.exposure or OneCondition(condition)


@dataclass(frozen=True)
class Job:
    """Weights under one seed (or a limit) and the cells evaluated with them; small enough to send to a worker.

    Attributes:
        recipe: Description of the weights; None for the oracle and other limits, which have none.
        digest: Digest of the weights' part of the recipe together with data and engine.
        seed: Of everything random.
        data: Name or path of the data set.
        fine_tune: Language model that is trained with the rest and reads the raw text; empty for none.
        reading: How the data file is read.
        device: Where to compute.
        cells: Cell and protocol, pair by pair.
        evaluations: Settings of the evaluation by key of a cell, where they are not the defaults.
        diagnoses_selection: Whether the test metrics of every epoch are recorded apart, see
            `qamoe_bench.store.selection`; part of no key.
        cell_timeout: How many seconds a cell may take, its training included; 0 for ever. Part of no key.
    """

    recipe: Recipe | None
    digest: str
    seed: int
    data: str
    fine_tune: str
    reading: ReadingOptions
    device: str
    cells: tuple[tuple[Cell, Protocol], ...]
    evaluations: Mapping[str, EvalConfig] = field(default_factory=dict)
    diagnoses_selection: bool = False
    cell_timeout: float = 0.0

    @property
    def has_own_model(self) -> bool:
        """Whether the model is the user's own code, which may do anything to the process that runs it."""
        return self.recipe is not None and not self.recipe.model.is_built_in

    @property
    def owner(self) -> str:
        """The file of the user's own code that the job runs; empty for a built-in model and the oracle."""
        if self.recipe is None or not self.has_own_model:
            return ""
        return f"{self.recipe.model.folder}:{self.recipe.model.module}"

    def evaluation(self, cell: Cell) -> EvalConfig:
        """Settings of the evaluation of a cell."""
        return self.evaluations.get(cell.key, DEFAULT_EVALUATION)

    def weights_key(self, condition: Condition) -> str:
        """Key of the weights that predict under a condition; only specialists have one per condition."""
        assert self.recipe is not None
        return _digest([self.digest, self.seed, self.recipe.exposure_for(condition).digest])

    @property
    def training_ids(self) -> list[str]:
        """Identifiers of its trainings: one, or one per condition for specialists."""
        if self.recipe is None or self.recipe.regime != "matched":
            return [f"{self.digest}-{self.seed}"]
        return [self.weights_key(condition) for _, protocol in self.cells for condition in protocol.conditions]


@dataclass(frozen=True)
class Plan:
    """Every job of a run on one data set.

    Attributes:
        run_id: Name of the run.
        jobs: Its jobs.
        manifest: Content of its manifest.
        refused: Models without jobs, because they ended or hung the process when they were imported or built; each with
            the reason.
        notes: Decisions about the request that bear on its results, one sentence each.
    """

    run_id: str
    jobs: tuple[Job, ...]
    manifest: Mapping[str, Any] = field(repr=False)
    refused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        return [cell for job in self.jobs for cell, _ in job.cells]


def with_diagnosis(plan: Plan) -> Plan:
    """The plan with the test metrics of every epoch of its trainings recorded apart."""
    # The oracle and weights that the user brings are not trained here.
    jobs = [replace(job, diagnoses_selection=job.recipe is not None and not job.recipe.checkpoint) for job in plan.jobs]
    return replace(plan, jobs=tuple(jobs))


def engine_content(device: str, data: Dataset) -> dict[str, Any]:
    """Everything that determines a number in addition to the recipe and the seed."""
    content = {"engine": engine_digest(), "versions": versions(), "device": device, "data": data.digest}
    if data.token_ids:
        # A tokenizer's settings lie in several files, of which most change nothing; what they make of the texts counts.
        content["tokens"] = _digest_of_tokens(data)
    return content


def _digest_of_tokens(data: Dataset) -> str:
    """Digest of all token ids of a data set, and of the id of a lost token."""
    facts: dict[str, Any] = {"lost": dict(data.token_ids)}
    for name, split in data.splits.items():
        facts[name] = {modality: array_facts(split.features[modality])["sha256"] for modality in data.token_ids}
    return _digest(facts)


def weights_digest(recipe: Recipe, engine: Mapping[str, Any]) -> str:
    """Digest of the weights' part of a recipe together with data and engine."""
    return _digest({**recipe.weights_content, **engine})


def limit_digest(name: str, engine: Mapping[str, Any]) -> str:
    """Digest of everything that determines the predictions of the oracle, or of another limit."""
    return _digest({**limit_content(name), **engine})


def job_digest(job: Job, engine: Mapping[str, Any]) -> str:
    """The digest that a job gets from the code and data here; its own is that of the machine that planned it."""
    if job.recipe is None:
        return limit_digest(job.cells[0][0].model, engine)
    return weights_digest(job.recipe, engine)


def recipe_digests(recipe: Recipe, engine: Mapping[str, Any]) -> tuple[str, str]:
    """Digests of the weights' part of a recipe and of the whole recipe, each together with data and engine."""
    content = recipe.content  # computed once for both, because it follows all imports of the model
    return _digest({**content["weights"], **engine}), _digest({**content, **engine})


def _digest(content: object) -> str:
    return digest_of(content)[:DIGEST_LENGTH]
