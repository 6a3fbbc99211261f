"""What is left of plans, given what a store holds."""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.job import Job, Plan
from qamoe_bench.protocol import Protocol
from qamoe_bench.record import Cell
from qamoe_bench.store import Store


@dataclass(frozen=True)
class Task:
    """A job that has something left: `units` epochs and cells of a run."""

    job: Job
    run_id: str
    units: int


def tasks_left(plans: Iterable[Plan], store: Store) -> list[Task]:
    """Every job that has something left, in order."""
    tasks = [Task(job, plan.run_id, _units(job, store)) for plan in plans for job in plan.jobs]
    return [task for task in tasks if task.units]


def unfinished(job: Job, store: Store) -> list[tuple[Cell, Protocol]]:
    """The cells of a job that are not stored, with their protocols."""
    return [(cell, protocol) for cell, protocol in job.cells if store.find_cell(cell) is None]


def missing_weights(job: Job, store: Store) -> list[str]:
    """Keys of the weights that unfinished cells need and nobody has trained yet."""
    if job.recipe is None or job.recipe.checkpoint:
        return []
    conditions = (condition for _, protocol in unfinished(job, store) for condition in protocol.conditions)
    return [key for key in dict.fromkeys(map(job.weights, conditions)) if store.find_checkpoint(key) is None]


def _units(job: Job, store: Store) -> int:
    epochs = job.recipe.training.epochs if job.recipe else 0
    return len(unfinished(job, store)) + epochs * len(missing_weights(job, store))
