"""Costs as tables that fit a terminal."""

from collections.abc import Sequence

import numpy as np

from qamoe_bench.cost.cost import Cost
from qamoe_bench.cost.paper import PRINTED_G
from qamoe_bench.report.table import Table


def cost_tables(costs: Sequence[Cost], preset: str) -> list[Table]:
    """Tables of the cost per sample, its split by stage, and the speed on this machine."""
    return [_size_table(costs, preset), _stage_table(costs), _speed_table(costs)]


def _size_table(costs: Sequence[Cost], preset: str) -> Table:
    header = ("model", "parameters M", "active M", "G mult-adds", "GFLOPs", "peak MiB")
    rows = []
    for cost in costs:
        parameters = cost.size.parameters
        rows.append((
            cost.model,
            significant(parameters.all / 1e6),
            significant(parameters.active / 1e6),
            significant(cost.size.multiply_adds / 1e9),
            significant(cost.gflops),
            f"{cost.speed.peak_bytes / 2**20:.1f}",
        ))  # fmt: skip
    notes = [
        f"Per sample, counted at batch {costs[0].size.batch}. GFLOPs are two per multiply-add.",
        f"peak: weights, inputs and the pass at batch {max(costs[0].speed.seconds)}, from torch's allocator.",
    ]
    if preset == "paper":
        notes.append(f"The paper prints {PRINTED_G} GFLOPs for QA-MoE: it is read as G multiply-adds,")
        notes.append(f"which are {2 * PRINTED_G:.2f} GFLOPs at two per multiply-add.")
    return Table("Cost per sample", header, tuple(rows), tuple(notes))


def _stage_table(costs: Sequence[Cost]) -> Table:
    header = ("model", *costs[0].size.stages, "all")
    rows = []
    for cost in costs:
        multiply_adds = (*cost.size.stages.values(), cost.size.multiply_adds)
        rows.append((cost.model, *(significant(n / 1e6) for n in multiply_adds)))
    return Table("Multiply-adds by stage, M per sample", header, tuple(rows))


def _speed_table(costs: Sequence[Cost]) -> Table:
    first = costs[0]
    where = first.machine
    header = ("model", *first.latency_ms, *(f"at {size}" for size in first.speed.seconds), "share %")
    rows = []
    for cost in costs:
        numbers = (*cost.latency_ms.values(), *cost.speed.samples_per_second.values())
        share = f"{100 * cost.peak_share:.2g}"
        rows.append((cost.model, *(significant(number, 3) for number in numbers), share))
    notes = [
        "p50, p95, p99: ms of a pass at batch 1; at N: samples/s of the median pass.",
        f"share: of this machine's measured {where.peak:.0f} GFLOP/s, at the largest batch.",
        f"{where.device.type}, {where.precision}, {where.threads} thread(s), load {where.load[0]:.2f} before it began.",
    ]
    if where.threads_wait:
        notes.append("The machine was busy; with OMP_NUM_THREADS=1 threads do not wait for each other.")
    return Table("Speed on this machine", header, tuple(rows), tuple(notes))


def significant(value: float, digits: int = 4) -> str:
    """A number rounded to some significant digits, never with an exponent."""
    rounded = float(f"{value:.{digits - 1}e}")  # the format with an exponent counts significant digits
    return np.format_float_positional(rounded, trim="-")
