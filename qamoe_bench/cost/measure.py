"""Time of forward passes in turn, memory of one, and the fastest product of matrices that the machine can do.

Models take turns pass by pass, so that a stutter of the machine hits all alike. A pass is timed in evaluation mode
without gradients, at a precision that holds over all passes, so that weights are converted once and not in each.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from qamoe_bench.evaluation.precision import Precision, at

Pass = Callable[[], object]

FEWEST, MOST = 5, 100  # turns
SECONDS = 2.0  # for the turns of one model at one batch size, unless there are too few
LARGEST = {"cpu": 2048, "cuda": 8192}  # rows of the square matrices whose product is timed


def in_turn(passes: Mapping[str, Pass], device: torch.device) -> dict[str, list[float]]:
    """Seconds of every pass, by name; the first two of each, which make caches and kernels, are left out."""
    for run in passes.values():
        seconds_of(run, device)
    turns = turns_in(SECONDS * len(passes), sum(seconds_of(run, device) for run in passes.values()))
    found: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(turns):
        for name, run in passes.items():
            found[name].append(seconds_of(run, device))
    return found


def turns_in(budget: float, of_one: float) -> int:
    """How many turns of `of_one` seconds fit, at least `FEWEST` and at most `MOST`."""
    return int(np.clip(budget / max(of_one, 1e-9), FEWEST, MOST))


def seconds_of(run: Pass, device: torch.device) -> float:
    """Wall time of one pass, to the end of what the device was told to do."""
    _finish(device)
    start = time.perf_counter()
    run()
    _finish(device)
    return time.perf_counter() - start


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The 50th, 95th and 99th in milliseconds."""
    return {f"p{p}": 1000 * float(np.percentile(seconds, p)) for p in (50, 95, 99)}


def matrix_peak(precision: Precision, device: torch.device) -> float:
    """GFLOP/s of a product of large square matrices, two per multiply-add; the fastest of many."""
    rows = LARGEST[device.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with torch.no_grad():
        a, b = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(2))
        seconds = in_turn({"product": lambda: a @ b}, device)["product"]
    return float(2 * rows**3 / min(seconds) / 1e9)


def peak_memory(run: Pass, precision: Precision, device: torch.device) -> int:
    """Bytes that one pass holds at once at most, above what was held before it; converted weights are among them.

    They are what torch's own allocator handed out: on the CPU added up from its profiler, on CUDA the allocator's own
    maximum. Scratch memory that a matrix library takes for itself is not seen.
    """
    with at(precision, device):
        run()
    with at(precision, device):  # anew, for what was converted is given back at the end
        return _peak_on_cuda(run, device) if device.type == "cuda" else _peak_on_cpu(run)


def _peak_on_cuda(run: Pass, device: torch.device) -> int:
    _finish(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(run: Pass) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    return highest(_allocations(found))


def highest(changes: list[int]) -> int:
    """The highest level that changes of a level reach from 0."""
    return int(np.cumsum([0, *changes]).max())


def _allocations(found: profile) -> list[int]:
    """Bytes taken (positive) and given back (negative), in order."""
    assert found.profiler is not None
    assert found.profiler.kineto_results is not None
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    return [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]  # type: ignore[attr-defined]  # stub lacks it


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
