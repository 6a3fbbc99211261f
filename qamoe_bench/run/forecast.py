"""What the rest of a plan will take, from measured cells of the store.

A training is comparable with one of the same model, regime, settings of the loop, data and kind of device; an
evaluation with one of the same model, data and device, by conditions and draws. Other machines, and code that changed
since, are not told apart: it is an forecast.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.run.pending import missing_weights, unfinished
from qamoe_bench.run.plan import Job
from qamoe_bench.store.store import Store, StoredCell


@dataclass(frozen=True)
class Forecast:
    """What is left of some jobs, and what it will take.

    Attributes:
        cells: Cells to make.
        trainings: Weights to train.
        seconds: Of every job whose cells are all comparable with measured ones, on one thread.
        memory_mib: Largest resident memory of a process, among comparable cells; 0 where none is.
        unknown: Names of models and regimes that nothing comparable was measured of.
    """

    cells: int
    trainings: int
    seconds: tuple[float, ...]
    memory_mib: float
    unknown: tuple[str, ...]

    def wall(self, workers: int) -> float:
        """Seconds with so many workers: no less than the longest job, nor than an even share."""
        return max(max(self.seconds, default=0.0), sum(self.seconds) / workers)


def forecast(jobs: Iterable[Job], store: Store, measured: Sequence[StoredCell]) -> Forecast:
    """What is left of jobs, given the cells of a store."""
    cells, trainings, memory, seconds, unknown = 0, 0, 0.0, list[float](), dict[str, None]()
    by_kind: dict[tuple[str, str, str], list[StoredCell]] = {}
    for m in measured:
        if m.facts.seconds_per_condition:
            by_kind.setdefault((m.cell.model, m.cell.data_digest, m.facts.device), []).append(m)
    for job in jobs:
        todo = unfinished(job, store)
        if not todo:
            continue
        missing = len(missing_weights(job, todo, store))
        cells, trainings = cells + len(todo), trainings + missing
        kinds = dict.fromkeys((cell.model, cell.data_digest, job.device) for cell, _ in job.cells)
        alike = [m for kind in kinds for m in by_kind.get(kind, [])]  # rows that share weights are alike
        memory = max([memory, *(m.facts.peak_memory_mib for m in alike)])
        spent = _seconds(job, [protocol for _, protocol in todo], missing, alike)
        if spent is None:
            unknown |= {" ".join(filter(None, (cell.model, cell.regime))): None for cell, _ in todo}
        else:
            seconds.append(spent)
    return Forecast(cells, trainings, tuple(seconds), memory, tuple(unknown))


def _seconds(job: Job, protocols: Iterable[Protocol], missing: int, alike: Sequence[StoredCell]) -> float | None:
    """Of training and evaluating; None where one of them was never measured."""
    if not alike:
        return None
    per_condition = median(m.facts.seconds_per_condition for m in alike)
    spent = sum(per_condition * len(p.conditions) * p.draws for p in protocols)
    if missing:
        courses = [course for m in alike for course in _courses(m, job)]
        if not courses:
            return None
        spent += missing * median(course["seconds"] for course in courses)
    return spent


def _courses(measured: StoredCell, job: Job) -> list[dict[str, Any]]:
    """The trainings of a measured cell that are like those of a job."""
    assert job.recipe is not None
    if measured.cell.regime != job.recipe.regime:
        return []
    training = measured.facts.training
    settings = asdict(job.recipe.training)
    courses = training["specialists"].values() if "specialists" in training else [training]
    return [dict(c) for c in courses if settings.items() <= c.items() and "seconds" in c]
