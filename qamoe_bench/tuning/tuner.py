"""All of a command: searches of several models on several draws, and the settings that they choose together.

The best settings of each draw and the defaults are trained on every draw; those with the lowest mean error over the
draws are chosen. With one draw, they are the best of its search. The defaults are always a candidate.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.run.executors.choice import Execution, OpenExecutor
from qamoe_bench.run.plan import Job
from qamoe_bench.run.planner import plan
from qamoe_bench.run.progress import Advance, ProgressDisplay, ignore_progress
from qamoe_bench.run.request import LocatedRequest, Request, error_location
from qamoe_bench.store.cell import digest_of
from qamoe_bench.store.tuning import TunedModel, readable_name, tuning_folder, write_tuned
from qamoe_bench.tuning.measuring import Subject, model_config, trial_key
from qamoe_bench.tuning.search import Search, run_confirmation, run_search
from qamoe_bench.tuning.space import (
    TRAINING,
    Dimension,
    declared_dimensions,
    joined_dimensions,
    model_dimensions,
    with_default,
)
from qamoe_bench.tuning.suggestions import RANDOM_TRIALS, optuna_version

REGIMES = ("clean", "spectrum")
"""Regimes that train one model on samples which no protocol determines."""
KEY_LENGTH = 12


@dataclass(frozen=True)
class TuningPlan:
    """The searches of one model on one data set in one regime.

    Attributes:
        subject: What is tuned.
        dataset: Name of the data set.
        searches: One per draw.
        folder: See `tuning_folder`.
        key: Part of the name of the file with the chosen settings.
        device: Where trials are computed.
        has_own_model: See `qamoe_bench.run.plan.Job`.
    """

    subject: Subject
    dataset: str
    searches: tuple[Search, ...]
    folder: Path
    key: str
    device: str
    has_own_model: bool

    @property
    def pending(self) -> int:
        """Number of trials that are still to be computed, without confirmations."""
        return sum(search.missing for search in self.searches)


@dataclass(frozen=True)
class TuningOutcome:
    """The result of a command.

    Attributes:
        tuned: The chosen settings, in the order of the plans.
        failures: Reasons of the models that could not be tuned.
    """

    tuned: Sequence[tuple[TuningPlan, TunedModel]]
    failures: Sequence[str]


def tuning_plans(
    requests: Sequence[LocatedRequest], root: Path, trials: int, draws: int, cell_timeout: float | None = None
) -> list[TuningPlan]:
    """Check requests and plan a search for each model, regime and draw.

    Args:
        requests: As of a study file or the command line; their protocols and seeds are those of the evaluation.
        root: Results folder.
        trials: Trainings of each search, that of the defaults included.
        draws: Number of draws.
        cell_timeout: See `qamoe_bench.run.planner.plan`; for one trial.

    Raises:
        BenchError: If something in a request does not exist, cannot be combined or cannot be tuned, or if Optuna is
            not installed.
        RunFailed: If a user's own model ends or hangs the process.
    """
    version = optuna_version()
    plans = []
    for located in requests:
        with error_location(located.location):
            for subject, job in _subjects(located.request, cell_timeout):
                space = _space(subject, job)
                plans.append(_plan(subject, job, space, (root, trials, draws, version)))
    if not plans:
        raise BenchError("tune: expected a model that is trained, got predictors that know the data's law; name one")
    return plans


def run_tuning(plans: Sequence[TuningPlan], execution: Execution, display: ProgressDisplay) -> TuningOutcome:
    """Compute all trials that are missing, choose settings and record them.

    Args:
        plans: The plans.
        execution: Where to compute; searches run side by side, the trials of one search one after the other.
        display: Progress display, in epochs.

    Raises:
        BenchError: For errors that concern every trial, such as a full disk.
        KeyboardInterrupt: When interrupted; finished trials are stored.
    """
    failures: dict[Path, str] = {}
    searches = [search for tuning in plans for search in tuning.searches if search.missing]
    calls = [_Call(run_search, (search,), search, search.missing) for search in searches]
    failures |= _compute(calls, plans, execution, display)
    calls = []
    for tuning in plans:
        if not _reasons(tuning, failures):
            calls += _confirmations(tuning)
    failures |= _compute(calls, plans, execution, display)
    tuned = []
    for tuning in plans:
        if not _reasons(tuning, failures):
            chosen = chosen_settings(tuning)
            write_tuned(tuning.folder, tuning.key, chosen)
            tuned.append((tuning, chosen))
    return TuningOutcome(tuned, tuple(dict.fromkeys(failures.values())))


def chosen_settings(tuning: TuningPlan) -> TunedModel:
    """The settings with the lowest mean error over the draws, of a plan whose trials are stored."""
    errors = [search.errors() for search in tuning.searches]
    common = [name for name in _candidates(tuning) if all(name in of_draw for of_draw in errors)]

    def mean_error(name: str) -> float:
        return float(np.mean([of_draw[name] for of_draw in errors]))

    best = min(common, key=mean_error)  # of equal ones the first: the defaults come before all others
    model = tuning.subject.model
    return TunedModel(
        model,
        tuning.subject.regime,
        best,
        [of_draw[model] for of_draw in errors],
        [of_draw[best] for of_draw in errors],
        tuning.searches[0].trials,
        [dimension.phrase for dimension in tuning.searches[0].space],
    )


def _subjects(request: Request, cell_timeout: float | None) -> Iterator[tuple[Subject, Job]]:
    """Every model of a request in every regime, with the training of its defaults on the first draw."""
    if request.checkpoint:
        raise BenchError("tune: expected models that are trained here, got a checkpoint; leave it out")
    for regime in request.regimes:
        if regime not in REGIMES:
            raise BenchError(
                f"tune: expected the regime {' or '.join(REGIMES)}, got {regime!r}, whose training depends on the "
                "protocol; name another --regime"
            )
    able = _able(request, cell_timeout)
    for regime in request.regimes:
        for model in able:
            one = replace(request, models=(model,), regimes=(regime,), from_groups=())
            subject = Subject(one, cell_timeout)
            yield subject, subject.job(model, 1)


def _able(request: Request, cell_timeout: float | None) -> list[str]:
    """Models of a request that can be trained for its data; all others of groups are left out."""
    planned = plan(request, cell_timeout=cell_timeout)
    names = {job.recipe.model.name for job in planned.jobs if job.recipe is not None}
    if planned.refused:
        name, reason = next(iter(planned.refused.items()))
        raise RunFailed(f"model {name!r}: {reason}")
    return [name for name in dict.fromkeys(request.models) if name in names]


def _space(subject: Subject, job: Job) -> tuple[Dimension, ...]:
    """The dimensions of a model, without values that it cannot be built with."""
    recipe = job.recipe
    assert recipe is not None
    config = model_config(job)
    declared = declared_dimensions(recipe.model.source())
    space = []
    for dimension in joined_dimensions(TRAINING, model_dimensions(config), declared):
        dimension = with_default(dimension, config, recipe.training)
        space.append(dimension if dimension in TRAINING else _possible(dimension, subject))
    return tuple(space)


def _possible(dimension: Dimension, subject: Subject) -> Dimension:
    """The dimension with those of its values that the model can be built with, such as widths that heads divide."""
    possible = []
    reason = ""
    for value in dimension.values or (dimension.low,):
        try:
            model_config(subject.job(subject.named((dimension,), {dimension.name: value}), 1))
            possible.append(value)
        except Exception as error:  # whatever a constructor raises for a value that does not fit
            reason = str(error)
    if not possible:
        raise BenchError(
            f"model {subject.model!r}: expected a value of {dimension.name!r} in its search space that it can be built "
            f"with, got none ({reason}); correct its file"
        )
    return replace(dimension, values=tuple(possible)) if dimension.values else dimension


def _plan(subject: Subject, job: Job, space: tuple[Dimension, ...], setting: tuple[Path, int, int, str]) -> TuningPlan:
    root, trials, draws, version = setting
    recipe = job.recipe
    assert recipe is not None
    cell = job.cells[0][0]
    folder = tuning_folder(root, cell.dataset, cell.data_digest)
    searches = []
    for draw in range(1, draws + 1):
        determines = [trial_key(replace(job, seed=draw)), list(map(asdict, space)), version, RANDOM_TRIALS]
        name = readable_name(subject.model, subject.regime, f"draw{draw}-{digest_of(determines)[:KEY_LENGTH]}.jsonl")
        searches.append(Search(subject, space, draw, trials, folder / name, recipe.training.epochs, job.owner))
    request = subject.request
    key = digest_of([subject.model, subject.regime, request.preset, request.fine_tune])[:KEY_LENGTH]
    return TuningPlan(subject, cell.dataset, tuple(searches), folder, key, job.device, job.has_own_model)


@dataclass(frozen=True)
class _Call:
    """A call for an executor: a function of its arguments and a progress callback."""

    function: Callable[..., None]
    arguments: tuple[object, ...]
    search: Search
    trainings: int


def _confirmations(tuning: TuningPlan) -> list[_Call]:
    """Trainings of the candidates on the draws that have not chosen them."""
    calls = []
    for search in tuning.searches:
        missing = search.untried(_candidates(tuning))
        if missing:
            calls.append(_Call(run_confirmation, (search, missing), search, len(missing)))
    return calls


def _candidates(tuning: TuningPlan) -> list[str]:
    """The defaults and the best settings of each draw, each once."""
    return list(dict.fromkeys([tuning.subject.model, *(search.best() for search in tuning.searches)]))


def _compute(
    calls: Sequence[_Call], plans: Sequence[TuningPlan], execution: Execution, display: ProgressDisplay
) -> dict[Path, str]:
    """Compute calls; returns the reasons of those that failed, by the file of their search."""
    if not calls:
        return {}
    units = sum(call.trainings * call.search.epochs for call in calls)
    has_own_models = any(tuning.has_own_model for tuning in plans)
    failures = {}
    with display(units) as advance, execution.open(len(calls), plans[0].device, advance, has_own_models) as opened:
        futures = _submit(calls, opened)
        for future in as_completed(futures):
            try:
                future.result()
            except BenchError:  # concerns every trial
                raise
            except Exception as error:
                search = futures[future]
                failures[search.path] = f"model {search.subject.model!r}, draw {search.draw}: {error}"
    return failures


def _submit(calls: Sequence[_Call], opened: OpenExecutor) -> dict[Future[None], Search]:
    report: Advance = opened.advance or ignore_progress
    # One user's code after the other, since each needs a process of its own.
    ordered = sorted(calls, key=lambda call: call.search.owner)
    return {opened.executor.submit(call.function, *call.arguments, report): call.search for call in ordered}


def _reasons(tuning: TuningPlan, failures: dict[Path, str]) -> list[str]:
    return [failures[search.path] for search in tuning.searches if search.path in failures]
