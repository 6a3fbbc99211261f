"""The validation error of one trial: a training as of `qamoe-bench run`, of which the weights are not kept."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.isolation.containment import contained, end_if_forked
from qamoe_bench.registry import find_model
from qamoe_bench.run.arithmetic import one_thread, reproducible
from qamoe_bench.run.first_batch import try_first_batch
from qamoe_bench.run.guard import PLANNING_TIMEOUT_S, data_unchanged, guarded
from qamoe_bench.run.plan import Job
from qamoe_bench.run.planner import plan
from qamoe_bench.run.progress import Advance
from qamoe_bench.run.request import Request
from qamoe_bench.run.worker import failure_of
from qamoe_bench.store.tuning import TrialRecord
from qamoe_bench.training.building import build_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.loop import Trained, train
from qamoe_bench.training.phases import first_epoch_to_keep, phases_of
from qamoe_bench.tuning.draws import data_of_draw, without_test_split
from qamoe_bench.tuning.space import Dimension, name_with_choices

PROTOCOL = "clean"
"""A protocol for plans of trials, which evaluate nothing."""


@dataclass(frozen=True)
class Subject:
    """What is tuned: a model before tuning, on one data set in one regime.

    Attributes:
        request: The request of the user with this model and regime only.
        cell_timeout: See `qamoe_bench.run.planner.plan`; for one trial.
    """

    request: Request
    cell_timeout: float | None = None

    @property
    def model(self) -> str:
        """Name of the model before tuning."""
        return self.request.models[0]

    @property
    def regime(self) -> str:
        """The training regime."""
        return self.request.regimes[0]

    def job(self, model: str, draw: int) -> Job:
        """The training of the model with the settings of a trial.

        Raises:
            BenchError: If the model cannot be built with them.
            RunFailed: If a user's own model ends or hangs the process.
        """
        request = replace(self.request, protocols=(PROTOCOL,), models=(model,), seeds=(draw,), from_groups=())
        planned = plan(request, cell_timeout=self.cell_timeout)
        if planned.refused:
            raise RunFailed(planned.refused[model])
        return next(job for job in planned.jobs if job.recipe is not None)

    def named(self, space: Sequence[Dimension], choices: Mapping[str, float]) -> str:
        """Name of the model with the settings of some choices."""
        has_settings = ":" in self.model.removeprefix(find_model(self.model).base)
        return name_with_choices(self.model, has_settings, space, choices)


def measured_trial(
    subject: Subject, draw: int, model: str, purpose: str, choices: dict[str, float], advance: Advance
) -> TrialRecord:
    """Train a model once and record its validation error; a training that fails is recorded too.

    Args:
        subject: What is tuned.
        draw: Number of the draw.
        model: Name of the model with the settings of the trial.
        purpose: See `TrialRecord`, as for the choices.
        choices: What the search chose.
        advance: Is called with 1 after each epoch.
    """
    start = time.perf_counter()
    try:
        job = subject.job(model, draw)
    except (BenchError, RunFailed) as error:  # two settings that contradict each other
        return TrialRecord(purpose, model, choices, None, failure=str(error))
    key = trial_key(job)
    try:
        error_of_best, best_epoch = _train(job, draw, advance)
    except BenchError:  # concerns every trial
        raise
    except Exception as error:
        reason = failure_of(job.cells[0][0], error).reason
        return TrialRecord(purpose, model, choices, None, 0, key, time.perf_counter() - start, reason)
    return TrialRecord(purpose, model, choices, error_of_best, best_epoch, key, time.perf_counter() - start)


def trial_key(job: Job) -> str:
    """Identifies everything that determines a trial, except the samples of a draw of embedded data."""
    return job.weights_key(job.cells[0][1].conditions[0])


def _train(job: Job, draw: int, advance: Advance) -> tuple[float, int]:
    """The validation error of the selected epoch, and that epoch."""
    recipe = job.recipe
    assert recipe is not None
    device = torch.device(job.device)
    process = os.getpid()
    with one_thread(), reproducible(device), guarded(job, []):
        data = data_of_draw(job.data, job.fine_tune, job.reading, draw)

        def build() -> nn.Module:
            return build_model(recipe.model, recipe.settings, data.spec, data.examples, job.seed)

        def on_epoch() -> None:
            end_if_forked(process)
            advance(1)

        exposure = recipe.exposure_for(job.cells[0][1].conditions[0])
        try_first_batch(build, data, exposure, job.seed, recipe.training, device)
        with data_unchanged(data):
            trained = train(build(), without_test_split(data), exposure, job.seed, recipe.training, device, on_epoch)
        return selected_error(trained, build, data, recipe.training), trained.best_epoch


def selected_error(trained: Trained, build: Callable[[], nn.Module], data: Dataset, config: TrainConfig) -> float:
    """The number by which the training chose its epoch: the mean validation error of the epochs up to it.

    Args:
        trained: The course of the training.
        build: Makes such a model, whose phases say from which epoch on errors count.
        data: The data set.
        config: Settings of the training loop.
    """
    if not trained.best_epoch:  # a model without parameters
        return trained.valid_error[0]
    first = first_epoch_to_keep(phases_of(build(), data.task), config.epochs)
    window = min(config.selection_window, config.epochs - first + 1)
    return float(np.mean(trained.valid_error[trained.best_epoch - window : trained.best_epoch]))


def model_config(job: Job) -> Any:
    """The configuration of the model that a job trains, which predicts a few samples first; None if it has none.

    Raises:
        Exception: Whatever the model raises, such as for settings that do not fit each other.
    """
    recipe = job.recipe
    assert recipe is not None
    data = open_dataset(job.data, job.fine_tune, job.reading)
    with contained("its forward pass", PLANNING_TIMEOUT_S), torch.no_grad(), redirect_stdout(sys.stderr):
        model = build_model(recipe.model, recipe.settings, data.spec, data.examples, 0)
        model.eval()(data.examples)  # some models notice an impossible width only here
    return getattr(model, "config", None)
