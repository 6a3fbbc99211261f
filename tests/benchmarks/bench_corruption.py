"""Time and memory of corruption at the size of MOSI's unaligned features; run by `make benchmark`.

Prints medians over repetitions, on one thread and on two. Compare two versions in one session on one machine: absolute
times of a shared machine are not reliable.
"""

import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.evaluation.sweep import BATCH_SIZE, sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.registry import find_model

SHAPES = {"text": (50, 768), "audio": (375, 5), "vision": (500, 20)}
SIZES = {"train": 1284, "valid": 229, "test": 686}
REPETITIONS = 5


def mosi_sized() -> Dataset:
    """Random features of MOSI's unaligned shapes; every frame is valid, which is the worst case."""
    random = np.random.default_rng(0)
    splits = {}
    for name, count in SIZES.items():
        features = {m: torch.from_numpy(random.standard_normal((count, *s), np.float32)) for m, s in SHAPES.items()}
        lengths = {m: torch.full((count,), s[0]) for m, s in SHAPES.items()}
        target = torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32))
        splits[name] = Split(tuple(f"{name}{i}" for i in range(count)), target, features, lengths)
    return Dataset("mosi-sized", splits, digest="benchmark")


def timed(function: Callable[[], object]) -> float:
    """Median seconds over the repetitions."""
    seconds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def degrade(test: TestSet, name: str) -> None:
    """Corrupt every sample under the protocol's last condition, in the batches that an evaluation uses."""
    condition = load_protocol(name).conditions[-1]
    for start in range(0, len(test.ids), BATCH_SIZE):
        test.corrupted(condition, slice(start, start + BATCH_SIZE))


def peak_mib() -> float:
    """The largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a line per protocol, then the sweep and the memory."""
    before = peak_mib()
    data = mosi_sized()
    test = TestSet(data, 1111, torch.device("cpu"))
    loaded = sum(x.nbytes for s in data.splits.values() for x in s.features.values()) / 2**20
    print(f"data {loaded:.0f} MiB, peak {peak_mib():.0f} MiB (before data {before:.0f} MiB)")  # noqa: T201
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name in protocol_names():
            degrade(test, name)  # the first call computes the draws, which later calls reuse
            print(f"{threads} thread(s), {name:20} {1000 * timed(lambda n=name: degrade(test, n)):7.1f} ms a level")  # type: ignore[misc]  # noqa: T201
    model = find_model("late-fusion").builder()(data.spec).eval()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        sweep = load_protocol("lnln-missing")  # ten levels
        seconds = timed(lambda: sweep_model(model, test, sweep))  # noqa: B023
        print(f"{threads} thread(s), ten-level sweep of late-fusion {seconds:.2f} s")  # noqa: T201
    print(f"peak {peak_mib():.0f} MiB, {(peak_mib() - before) / loaded:.2f} times the data above the start")  # noqa: T201


if __name__ == "__main__":
    main()
