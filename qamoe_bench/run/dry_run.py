"""What a dry run prints: what is to do, what is done, and what the rest will take."""

from collections.abc import Iterable

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.forecast import Forecast
from qamoe_bench.run.plan import Job
from qamoe_bench.store.store import Store


def rows(jobs: Iterable[Job], store: Store) -> list[dict[str, object]]:
    """One row per data set, model, regime and protocol, with the cells of all its seeds."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for cell, _ in (pair for job in jobs for pair in job.cells):
        count = counts.setdefault((cell.dataset, cell.model, cell.regime, cell.protocol), [0, 0])
        count[0] += 1
        count[1] += store.find_cell(cell) is not None
    names = ("data", "model", "regime", "protocol", "seeds", "stored", "left")
    return [
        dict(zip(names, (*words, seeds, stored, seeds - stored), strict=True))
        for words, (seeds, stored) in counts.items()
    ]


def sentences(cells: int, found: Forecast, execution: Execution) -> list[str]:
    """The sum, the forecast, and what there is no forecast of."""
    lines = [
        f"{cells} cells: {cells - found.cells} are stored, {found.cells} are left to evaluate, after "
        f"{found.trainings} trainings"
    ]
    if found.seconds:
        lines.append(_estimate(found, execution))
    if found.unknown:
        lines.append(f"no forecast for {', '.join(found.unknown)}: nothing comparable is stored")
    return lines


def _estimate(found: Forecast, execution: Execution) -> str:
    words = f"forecast from stored cells: {_span(sum(found.seconds))} on one core"
    memory = f"a process takes up to {found.memory_mib / 1024:.1f} GiB"
    if execution.name != "dask" and (workers := execution.workers(len(found.seconds))) > 1:
        words += f", {_span(found.wall(workers))} with {workers} processes"
        memory += f", all together {workers * found.memory_mib / 1024:.1f} GiB"
    return f"{words}; {memory}"


def _span(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
