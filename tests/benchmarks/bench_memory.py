"""Memory of a converted folder of MOSEI's size, 22,856 samples, in a separate process; run by `make benchmark`.

Writes 4 GB in float32 (2 GB with --float16) below --folder and removes them. Counts all resident memory: anonymous
memory (RssAnon), mapped files, which are libraries and features (RssFile), and the peak of their sum (VmHWM).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from qamoe_bench.curation.convert import write
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.open import open_dataset
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import find_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import SPECTRUM
from qamoe_bench.training.loop import train

SHAPES = {"text": (50, 768), "audio": (50, 74), "vision": (50, 35)}
SIZES = {"train": 16326, "valid": 1871, "test": 4659}
PROTOCOLS = ("random-missing", "quality-degradation")
CPU = torch.device("cpu")


def make(folder: Path, dtype: torch.dtype) -> None:
    """Write the folder; all samples of a split share one array of features, so that writing takes no memory."""
    random = np.random.default_rng(0)
    splits = {}
    for name, count in SIZES.items():
        target = torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32))
        lengths = {m: torch.full((count,), s[0]) for m, s in SHAPES.items()}
        features = {m: torch.randn(shape).to(dtype).expand(count, *shape) for m, shape in SHAPES.items()}
        splits[name] = Split(tuple(f"{name}{i}" for i in range(count)), target, features, lengths)
    write(Dataset("mosei-sized", splits, digest=""), folder, {})


def memory() -> str:
    """Resident memory of this process, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    held = {name: int(lines[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile", "VmHWM")}
    return ", ".join(f"{name} {size} MiB" for name, size in held.items())


def use(folder: Path, model_name: str) -> None:
    """Train one epoch on the folder and sweep it, in this process."""
    torch.set_num_threads(1)
    print(f"before: {memory()}", flush=True)  # noqa: T201
    start = time.perf_counter()
    data = open_dataset(str(folder))
    data.spec, data.reference  # noqa: B018  # computed on first access
    print(f"opened and checked, with statistics {time.perf_counter() - start:.1f} s: {memory()}", flush=True)  # noqa: T201
    model = find_model(model_name).builder()(data.spec)
    start = time.perf_counter()
    train(model, data, SPECTRUM, 1, TrainConfig(epochs=1, selection_window=1), CPU)
    print(f"one epoch of {model_name} {time.perf_counter() - start:.1f} s: {memory()}", flush=True)  # noqa: T201
    test = TestSet(data, 1, CPU)
    for name in PROTOCOLS:
        start = time.perf_counter()
        sweep_model(model, test, load_protocol(name))
        print(f"{name} {time.perf_counter() - start:.1f} s: {memory()}", flush=True)  # noqa: T201


def main() -> None:
    """Write the folder, use it in a separate process, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--float16", action="store_true")
    parser.add_argument("--model", default="late-fusion")
    parser.add_argument("--use", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.use:
        use(options.use, options.model)
        return
    place = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        start = time.perf_counter()
        make(place / "data", torch.float16 if options.float16 else torch.float32)
        size = sum(p.stat().st_size for p in (place / "data").iterdir()) / 2**20
        print(f"wrote {size:.0f} MiB in {time.perf_counter() - start:.1f} s: {memory()}", flush=True)  # noqa: T201
        subprocess.run([sys.executable, __file__, "--use", str(place / "data"), "--model", options.model], check=True)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
