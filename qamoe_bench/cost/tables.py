"""Costs as tables that fit a terminal."""

from collections.abc import Sequence

import numpy as np

from qamoe_bench.cost.cost import Cost
from qamoe_bench.cost.paper import PRINTED_G
from qamoe_bench.report.table import Table


def cost_tables(costs: Sequence[Cost], preset: str) -> list[Table]:
    """What a sample costs, by stage, and how fast it goes."""
    return [_sizes(costs, preset), _stages(costs), _speeds(costs)]


def _sizes(costs: Sequence[Cost], preset: str) -> Table:
    header = ("model", "parameters M", "active M", "G mult-adds", "GFLOPs", "peak MiB")
    rows = tuple(
        (c.model, *(significant(n / 1e6) for n in (c.size.parameters.all, c.size.parameters.active)),
         significant(c.size.multiply_adds / 1e9), significant(c.gflops), f"{c.speed.peak_bytes / 2**20:.1f}")
        for c in costs
    )  # fmt: skip
    notes = [
        f"Per sample, counted at batch {costs[0].size.batch}. GFLOPs are two per multiply-add.",
        f"peak: weights, inputs and the pass at batch {max(costs[0].speed.seconds)}, from torch's allocator.",
    ]
    if preset == "paper":
        notes += [f"The paper prints {PRINTED_G} GFLOPs for QA-MoE: it is read as G multiply-adds,",
                  f"which are {2 * PRINTED_G:.2f} GFLOPs at two per multiply-add."]  # fmt: skip
    return Table("What a sample costs", header, rows, tuple(notes))


def _stages(costs: Sequence[Cost]) -> Table:
    header = ("model", *costs[0].size.stages, "all")
    rows = tuple(
        (c.model, *(significant(n / 1e6) for n in (*c.size.stages.values(), c.size.multiply_adds))) for c in costs
    )
    return Table("Where the multiply-adds are, in M per sample", header, rows)


def _speeds(costs: Sequence[Cost]) -> Table:
    first, where = costs[0], costs[0].machine
    header = ("model", *first.latency_ms, *(f"at {size}" for size in first.speed.seconds), "share %")
    rows = tuple(
        (c.model, *(significant(ms, 3) for ms in c.latency_ms.values()),
         *(significant(rate, 3) for rate in c.speed.samples_per_second.values()), f"{100 * c.peak_share:.2g}")
        for c in costs
    )  # fmt: skip
    notes = [
        "p50, p95, p99: ms of a pass at batch 1; at N: samples/s of the median pass.",
        f"share: of this machine's measured {where.peak:.0f} GFLOP/s, at the largest batch.",
        f"{where.device.type}, {where.precision}, {where.threads} thread(s), load {where.load[0]:.2f} before it began.",
    ]
    if where.threads_wait:
        notes.append("The machine was busy; with OMP_NUM_THREADS=1 threads do not wait for each other.")
    return Table("How fast it is here", header, rows, tuple(notes))


def significant(value: float, digits: int = 4) -> str:
    """A number to some significant digits, never with an exponent."""
    rounded = float(f"{value:.{digits - 1}e}")
    return np.format_float_positional(rounded, trim="-")
