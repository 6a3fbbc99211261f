"""Output of a dry run: the cells that are stored and those that are left, and the estimated time of the latter."""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.forecast import Forecast
from qamoe_bench.run.pending import pending_cells
from qamoe_bench.run.plan import Job
from qamoe_bench.store.store import Store


@dataclass
class _Count:
    cells: int = 0
    stored: int = 0


def plan_table(jobs: Iterable[Job], store: Store) -> list[dict[str, object]]:
    """One row per data set, model, regime and protocol, which counts the cells of all seeds."""
    counts: dict[tuple[str, str, str, str], _Count] = {}
    for job in jobs:
        pending = {cell.key for cell, _ in pending_cells(job, store)}
        for cell, _ in job.cells:
            count = counts.setdefault((cell.dataset, cell.model, cell.regime, cell.protocol), _Count())
            count.cells += 1
            if cell.key not in pending:
                count.stored += 1
    return [
        {
            "data": dataset,
            "model": model,
            "regime": regime,
            "protocol": protocol,
            "seeds": count.cells,
            "stored": count.stored,
            "left": count.cells - count.stored,
        }
        for (dataset, model, regime, protocol), count in counts.items()
    ]


def forecast_lines(cells: int, forecast: Forecast, execution: Execution) -> list[str]:
    """The totals, the models without an estimate, and the estimated time and memory of the others, a line each.

    Args:
        cells: Number of all cells of the plans, stored ones included.
        forecast: Forecast of the cells that are left.
        execution: Where they would be computed.
    """
    lines = [
        f"{cells} cells: {cells - forecast.cells} are stored, {forecast.cells} are left to evaluate, after "
        f"{forecast.trainings} trainings"
    ]
    # What is not known comes first: the estimate of the rest alone would be read as that of everything.
    if forecast.unknown:
        lines.append(f"time unknown for {', '.join(forecast.unknown)}: nothing comparable is stored")
    if forecast.seconds:
        rest = "the rest, " if forecast.unknown else ""
        lines.append(f"{rest}{_estimate(forecast, execution)}")
    return lines


def _estimate(forecast: Forecast, execution: Execution) -> str:
    time = f"estimated from stored cells: {_duration(sum(forecast.seconds))} on one core"
    memory = f"a process takes up to {_gib(forecast.memory_mib)}"
    # Nothing is known about the number of workers of a cluster.
    workers = 1 if execution.name == "dask" else execution.workers(len(forecast.seconds))
    if workers > 1:
        time += f", {_duration(forecast.wall_seconds(workers))} with {workers} processes"
        memory += f", all together {_gib(workers * forecast.memory_mib)}"
    return f"{time}; {memory}"


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
