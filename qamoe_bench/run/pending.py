"""The part of a plan that is still to be computed, given the content of a store."""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.run.plan import Job, Plan
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.selection import curve_file
from qamoe_bench.store.store import Store


@dataclass(frozen=True)
class PendingJob:
    """A job with pending cells.

    Attributes:
        job: The job, including the cells that are stored.
        run_id: Run that the job belongs to.
        cells: Number of pending cells.
        units: Work units for the progress display: pending cells, and epochs of pending trainings.
    """

    job: Job
    run_id: str
    cells: int
    units: int


def pending_jobs(plans: Iterable[Plan], store: Store) -> list[PendingJob]:
    """Every job with pending cells, in order."""
    jobs = []
    store = store.listed()
    for plan in plans:
        for job in plan.jobs:
            pending = pending_cells(job, store)
            if pending:
                # An epoch and a cell count alike: the progress display needs no better weights.
                epochs = job.recipe.training.epochs if job.recipe else 0
                units = len(pending) + epochs * len(missing_weights(job, pending, store))
                jobs.append(PendingJob(job, plan.run_id, len(pending), units))
    return jobs


def pending_cells(job: Job, store: Store) -> list[tuple[Cell, Protocol]]:
    """The cells of a job that are not stored or lack a curve, with their protocols."""
    return [
        (cell, protocol)
        for cell, protocol in job.cells
        if store.find_cell(cell) is None or lacks_curve(job, cell, store)
    ]


def lacks_curve(job: Job, cell: Cell, store: Store) -> bool:
    """Whether the test metrics of every epoch are still to be recorded for a cell, stored or not."""
    return job.diagnoses_selection and curve_file(store, cell) is None


def missing_weights(job: Job, pending: Iterable[tuple[Cell, Protocol]], store: Store) -> list[str]:
    """Keys of the weights that are to be trained for pending cells; none for the oracle or a checkpoint."""
    if job.recipe is None or job.recipe.checkpoint:
        return []
    needed: dict[str, bool] = {}  # by key, each once, whether a training is needed even if the weights are stored
    for cell, protocol in pending:
        is_watched = lacks_curve(job, cell, store)
        for condition in protocol.conditions:
            key = job.weights_key(condition)
            needed[key] = needed.get(key, False) or is_watched
    return [key for key, is_watched in needed.items() if is_watched or store.find_checkpoint(key) is None]
