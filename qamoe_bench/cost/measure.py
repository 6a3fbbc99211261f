"""Time and memory of forward passes, and the peak rate of matrix products on this machine.

Models take turns pass by pass, so that a disturbance of the machine affects all of them alike. Passes are timed in
evaluation mode without gradients, inside one precision context, so that weights are converted once and not per pass.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from qamoe_bench.evaluation.precision import Precision, at

Pass = Callable[[], object]

FEWEST = 5  # turns, however slow the models are
MOST = 100  # turns, however fast they are
SECONDS = 2.0  # time for the turns of one model at one batch size, unless that is fewer than `FEWEST`
LARGEST = {"cpu": 2048, "cuda": 8192}  # rows of the square matrices whose product is timed


def in_turn(passes: Mapping[str, Pass], device: torch.device) -> dict[str, list[float]]:
    """Seconds of every pass, by name, without the first two of each, which fill caches and compile kernels."""
    for run in passes.values():
        seconds_of(run, device)
    turns = turns_in(SECONDS * len(passes), sum(seconds_of(run, device) for run in passes.values()))
    times: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(turns):
        for name, run in passes.items():
            times[name].append(seconds_of(run, device))
    return times


def turns_in(budget: float, per_turn: float) -> int:
    """Number of turns of `per_turn` seconds that fit into a budget of seconds, from `FEWEST` to `MOST`."""
    return int(np.clip(budget / max(per_turn, 1e-9), FEWEST, MOST))


def seconds_of(run: Pass, device: torch.device) -> float:
    """Wall time of one pass, until the device has finished all of its work."""
    _finish(device)  # work that is still queued must not count
    start = time.perf_counter()
    run()
    _finish(device)
    return time.perf_counter() - start


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The 50th, 95th and 99th percentile, in milliseconds."""
    return {f"p{p}": 1000 * float(np.percentile(seconds, p)) for p in (50, 95, 99)}


def matrix_peak(precision: Precision, device: torch.device) -> float:
    """GFLOP/s of a product of large square matrices, two FLOPs per multiply-add; the fastest of many."""
    rows = LARGEST[device.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with torch.no_grad():
        a, b = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(2))
        seconds = in_turn({"product": lambda: a @ b}, device)["product"]
    return float(2 * rows**3 / min(seconds) / 1e9)


def peak_memory(run: Pass, precision: Precision, device: torch.device) -> int:
    """The most bytes that one pass allocates at one time, converted weights included.

    Counted by torch's own allocator: on the CPU summed from its profiler, on CUDA the allocator's own maximum. Scratch
    memory that a matrix library allocates by itself is not included.
    """
    with at(precision, device):
        run()  # fills caches that later passes share
    with at(precision, device):  # a second context, because the first one freed the converted weights when it ended
        return _peak_on_cuda(run, device) if device.type == "cuda" else _peak_on_cpu(run)


def _peak_on_cuda(run: Pass, device: torch.device) -> int:
    _finish(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(run: Pass) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    return highest(_allocations(profiled))


def highest(changes: list[int]) -> int:
    """The highest value that a running sum of changes reaches from 0."""
    return int(np.cumsum([0, *changes]).max())


def _allocations(profiled: profile) -> list[int]:
    """Bytes allocated (positive) and freed (negative), in order of time."""
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]  # type: ignore[attr-defined]  # stub lacks it


def _finish(device: torch.device) -> None:
    if device.type == "cuda":  # kernels run asynchronously there
        torch.cuda.synchronize(device)
