"""The trials of one model on one draw, one after the other, each stored before the next begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qamoe_bench.errors import RunFailed
from qamoe_bench.run.executors.processes import claim_process
from qamoe_bench.run.progress import Advance
from qamoe_bench.store.tuning import CONFIRMATION, SEARCH, TrialRecord, read_trials, write_trials
from qamoe_bench.tuning.measuring import Subject, measured_trial
from qamoe_bench.tuning.space import Dimension, defaults_in
from qamoe_bench.tuning.suggestions import suggested


@dataclass(frozen=True)
class Search:
    """A search on one draw; small enough to send to a worker.

    Attributes:
        subject: What is tuned.
        space: The dimensions.
        draw: Number of the draw, from 1.
        trials: How many trainings the search may make, that of the defaults included.
        path: File of the trials.
        epochs: Epochs of a training, for the progress display.
        owner: See `qamoe_bench.run.plan.Job`.
    """

    subject: Subject
    space: tuple[Dimension, ...]
    draw: int
    trials: int
    path: Path
    epochs: int
    owner: str

    def stored(self) -> list[TrialRecord]:
        """The trials of the search that are stored, in order."""
        return [record for record in read_trials(self.path) if record.purpose == SEARCH][: self.trials]

    @property
    def missing(self) -> int:
        """Number of trials that are still to be computed."""
        done = self.stored()
        if done and not done[0].best_epoch:  # nothing is trained, so there is nothing to choose
            return 0
        return self.trials - len(done)

    def errors(self) -> dict[str, float]:
        """Validation errors of all stored trainings, confirmations included, by name of the model with its settings."""
        records = read_trials(self.path)
        return {record.model: record.error for record in records if record.error is not None}

    def name(self, choices: Mapping[str, float]) -> str:
        """Name of the model with the settings of some choices; without any if these are the defaults."""
        is_default = choices == defaults_in(self.space)
        return self.subject.model if is_default else self.subject.named(self.space, choices)

    def untried(self, models: Sequence[str]) -> list[str]:
        """Those of some names that no stored training is of, failed ones included."""
        known = {record.model for record in read_trials(self.path)}
        return [name for name in models if name not in known]

    def best(self) -> str:
        """Name of the model with the settings of the lowest error; the first of equal ones."""
        measured = [record for record in self.stored() if record.error is not None]
        return min(measured, key=lambda record: record.error or 0.0).model


def run_search(search: Search, advance: Advance) -> None:
    """Compute and store the trials that are missing.

    Raises:
        RunFailed: If the defaults cannot be trained.
        BenchError: For errors that concern every trial, such as a full disk.
    """
    claim_process(search.owner)
    done = search.stored()
    while search.missing:
        choices = _next_choices(search, done)
        name = search.name(choices)
        record = _repeated(search, name, choices)
        if record is None:
            record = measured_trial(search.subject, search.draw, name, SEARCH, choices, advance)
        if record.error is None and not done:
            raise RunFailed(f"{name} on draw {search.draw}: {record.failure}")
        _append(search.path, record)
        done.append(record)


def _next_choices(search: Search, done: Sequence[TrialRecord]) -> dict[str, float]:
    if not done:
        return defaults_in(search.space)
    words = (search.subject.model, search.subject.regime, search.draw)
    return suggested(search.space, [(record.choices, record.error) for record in done], words)


def _repeated(search: Search, name: str, choices: dict[str, float]) -> TrialRecord | None:
    """A record of settings that were trained on this draw before, which would give the same error."""
    for record in read_trials(search.path):
        if record.model == name:
            return replace(record, purpose=SEARCH, choices=choices, seconds=0.0)
    return None


def run_confirmation(search: Search, models: Sequence[str], advance: Advance) -> None:
    """Train the settings that searches on other draws chose, where they are not measured on this draw yet.

    Args:
        search: The search on this draw.
        models: Names of the model with their settings.
        advance: Is called with 1 after each epoch.
    """
    claim_process(search.owner)
    for name in search.untried(models):
        _append(search.path, measured_trial(search.subject, search.draw, name, CONFIRMATION, {}, advance))


def _append(path: Path, record: TrialRecord) -> None:
    # The whole file is written, because an appended line can be cut in the middle.
    write_trials(path, [*read_trials(path), record])
