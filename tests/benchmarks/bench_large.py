"""Memory at the size of MOSEI's aligned features: 22,856 samples, one epoch, four sweeps; run by `make benchmark`."""

import time

import numpy as np
import torch
from bench_corruption import peak_mib

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import find_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import SPECTRUM
from qamoe_bench.training.loop import train

SHAPES = {"text": (50, 768), "audio": (50, 74), "vision": (50, 35)}
SIZES = {"train": 16326, "valid": 1871, "test": 4659}


def mosei_sized() -> Dataset:
    """Random features of MOSEI's shapes; every frame is valid."""
    random = np.random.default_rng(0)
    splits = {}
    for name, count in SIZES.items():
        features = {m: torch.from_numpy(random.standard_normal((count, *s), np.float32)) for m, s in SHAPES.items()}
        target = torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32))
        lengths = {m: torch.full((count,), s[0]) for m, s in SHAPES.items()}
        splits[name] = Split(tuple(f"{name}{i}" for i in range(count)), target, features, lengths)
    return Dataset("mosei-sized", splits, digest="benchmark")


def main() -> None:
    """Print the time of each part and the peak memory after it."""
    torch.set_num_threads(1)
    data = mosei_sized()
    loaded = sum(x.nbytes for s in data.splits.values() for x in s.features.values()) / 2**20
    print(f"data {loaded:.0f} MiB, peak {peak_mib():.0f} MiB")  # noqa: T201
    model = find_model("late-fusion").builder()(data.spec)
    start = time.perf_counter()
    train(model, data, SPECTRUM, 1, TrainConfig(epochs=1, selection_window=1), torch.device("cpu"))
    print(f"one epoch {time.perf_counter() - start:.1f} s, peak {peak_mib():.0f} MiB")  # noqa: T201
    test = TestSet(data, 1, torch.device("cpu"))
    for name in ("random-missing", "quality-degradation", "salt-and-pepper", "token-substitution"):
        start = time.perf_counter()
        sweep_model(model, test, load_protocol(name))
        print(f"{name} {time.perf_counter() - start:.1f} s, peak {peak_mib():.0f} MiB")  # noqa: T201


if __name__ == "__main__":
    main()
