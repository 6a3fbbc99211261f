"""The estimated time and memory of the rest of a plan, from measured cells of the store.

A training is comparable with one of the same model, regime, settings of the loop, data and kind of device; an
evaluation with one of the same model, data and device, in proportion to conditions and draws. Measurements on other
machines or of older code are not distinguished, so this is a rough estimate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.run.pending import missing_weights, pending_cells
from qamoe_bench.run.plan import Job
from qamoe_bench.store.store import Store, StoredCell


@dataclass(frozen=True)
class Forecast:
    """The pending part of some jobs, with its estimated cost.

    Attributes:
        cells: Number of cells to evaluate.
        trainings: Number of trainings before them.
        seconds: Estimate for every job whose cells are all comparable with measured ones, on one thread.
        memory_mib: Largest resident memory of a process, among comparable cells; 0 without any.
        unknown: Models and regimes without a comparable measurement.
    """

    cells: int
    trainings: int
    seconds: tuple[float, ...]
    memory_mib: float
    unknown: tuple[str, ...]

    def wall_seconds(self, workers: int) -> float:
        """Time with a number of workers: at least that of the longest job, and of an even share of the work."""
        # The usual lower bounds of scheduling: a job cannot be divided among workers.
        return max(max(self.seconds, default=0.0), sum(self.seconds) / workers)


@dataclass
class _Totals:
    """A forecast in the making."""

    cells: int = 0
    trainings: int = 0
    seconds: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    unknown: dict[str, None] = field(default_factory=dict)  # an ordered set


_Kind = tuple[str, str, str]
"""Model, digest of the data and kind of device: cells of one kind take the same time per condition."""


def forecast(jobs: Iterable[Job], store: Store, measured: Sequence[StoredCell]) -> Forecast:
    """Estimate the pending part of jobs.

    Args:
        jobs: The jobs, complete or not.
        store: Store that decides which cells are pending.
        measured: Stored cells with their measurements.
    """
    by_kind = _group_by_kind(measured)
    totals = _Totals()
    for job in jobs:
        _add_job(totals, job, store, by_kind)
    return Forecast(
        cells=totals.cells,
        trainings=totals.trainings,
        seconds=tuple(totals.seconds),
        memory_mib=totals.memory_mib,
        unknown=tuple(totals.unknown),
    )


def _group_by_kind(measured: Iterable[StoredCell]) -> dict[_Kind, list[StoredCell]]:
    by_kind: dict[_Kind, list[StoredCell]] = {}
    for stored in measured:
        if stored.facts.seconds_per_condition:  # 0 in cells of versions that did not measure it
            kind = (stored.cell.model, stored.cell.data_digest, stored.facts.device)
            by_kind.setdefault(kind, []).append(stored)
    return by_kind


def _add_job(totals: _Totals, job: Job, store: Store, by_kind: Mapping[_Kind, Sequence[StoredCell]]) -> None:
    pending = pending_cells(job, store)
    if not pending:
        return
    missing = len(missing_weights(job, pending, store))
    totals.cells += len(pending)
    totals.trainings += missing
    # All cells of the job count, not only the pending ones: they share weights, so they take the same time.
    kinds = dict.fromkeys((cell.model, cell.data_digest, job.device) for cell, _ in job.cells)
    comparable = [stored for kind in kinds for stored in by_kind.get(kind, [])]
    totals.memory_mib = max([totals.memory_mib, *(stored.facts.peak_memory_mib for stored in comparable)])
    seconds = _estimate_seconds(job, [protocol for _, protocol in pending], missing, comparable)
    if seconds is not None:
        totals.seconds.append(seconds)
        return
    for cell, _ in pending:
        name = f"{cell.model} {cell.regime}".rstrip()  # the oracle has no regime
        totals.unknown[name] = None


def _estimate_seconds(
    job: Job, protocols: Iterable[Protocol], missing: int, comparable: Sequence[StoredCell]
) -> float | None:
    """Time to train and evaluate; None where either was never measured.

    Args:
        job: The job.
        protocols: Protocols of its pending cells.
        missing: Number of its pending trainings.
        comparable: Measured cells of the same kinds.
    """
    if not comparable:
        return None
    # Medians, so that single cells that other load slowed down have no influence.
    per_condition = median(stored.facts.seconds_per_condition for stored in comparable)
    seconds = sum(per_condition * len(protocol.conditions) * protocol.draws for protocol in protocols)
    if missing:
        trainings = [training for stored in comparable for training in _comparable_trainings(stored, job)]
        if not trainings:
            return None
        evaluated = seconds  # once after each epoch, where the selection is diagnosed
        seconds += missing * median(training["seconds"] for training in trainings)
        if job.diagnoses_selection and job.recipe is not None:
            seconds += job.recipe.training.epochs * evaluated
    return seconds


def _comparable_trainings(stored: StoredCell, job: Job) -> list[dict[str, Any]]:
    """Records of the trainings of a stored cell that had the settings of the job's recipe."""
    assert job.recipe is not None
    if stored.cell.regime != job.recipe.regime:
        return []
    facts = stored.facts.training
    records = facts["specialists"].values() if "specialists" in facts else [facts]
    settings = asdict(job.recipe.training)
    # `<=` of item views is the subset test: the record holds the settings and the measurements.
    return [dict(record) for record in records if settings.items() <= record.items() and "seconds" in record]
