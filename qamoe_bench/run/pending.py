"""What is left of plans, given what a store holds."""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.run.plan import Job, Plan
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.store import Store


@dataclass(frozen=True)
class Task:
    """A job that has something left: `cells` to make in a run, and with the epochs of its trainings `units` of work."""

    job: Job
    run_id: str
    cells: int
    units: int


def tasks_left(plans: Iterable[Plan], store: Store) -> list[Task]:
    """Every job that has something left, in order."""
    tasks = []
    for plan in plans:
        for job in plan.jobs:
            if left := unfinished(job, store):
                epochs = job.recipe.training.epochs if job.recipe else 0
                units = len(left) + epochs * len(missing_weights(job, left, store))
                tasks.append(Task(job, plan.run_id, len(left), units))
    return tasks


def unfinished(job: Job, store: Store) -> list[tuple[Cell, Protocol]]:
    """The cells of a job that are not stored, with their protocols."""
    return [(cell, protocol) for cell, protocol in job.cells if store.find_cell(cell) is None]


def missing_weights(job: Job, left: Iterable[tuple[Cell, Protocol]], store: Store) -> list[str]:
    """Keys of the weights that cells which are left need and nobody has trained yet."""
    if job.recipe is None or job.recipe.checkpoint:
        return []
    conditions = (condition for _, protocol in left for condition in protocol.conditions)
    return [key for key in dict.fromkeys(map(job.weights, conditions)) if store.find_checkpoint(key) is None]
