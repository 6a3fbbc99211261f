"""A store of 10,000 cells: time and peak memory of listing, reporting and checking it.

50 models × 40 protocols × 5 seeds, 8 levels, 686 samples (as many as CMU-MOSI's test split); one run per protocol.

Everything is measured with half of the runs as well: the exponent says how a cost grows with the number of cells, 1
where it is proportional. Of both numbers of cells, a page shows only what compares the models.

Run by `make benchmark`; prints measurements without a verdict. `bench_growth.py FOLDER` keeps the store in a folder, or
reuses the store there, to compare versions; `--models`, `--protocols`, `--seeds`, `--samples` and `--levels` change its
size, and `--seeds-per-run` divides each protocol among runs. 100,000 cells in 1,000 runs, in a quarter of an hour:

    bench_growth.py FOLDER --seeds 50 --seeds-per-run 2 --samples 20 --levels 3
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fakestore import noisy, write_store

from qamoe_bench.store import store

HISTORY = {"epochs": 50, "train_loss": (1 / np.arange(1, 51)).tolist(), "valid_error": (2 / np.arange(1, 51)).tolist()}


def make(root: Path, models: int, protocols: int, seeds: int, samples: int, seeds_per_run: int, count: int) -> None:
    """Write the store without waiting for the disk, because generated data need not survive a power failure."""
    store.os.fsync = lambda _: None  # type: ignore[attr-defined]
    predictors = {
        "late-fusion": noisy(1.0),
        "mean": lambda label, level, random: np.zeros(len(label)),
        "oracle": noisy(0.1),
    }
    predictors |= {f"model-{i:02}": noisy(0.5 + 0.01 * i) for i in range(models - len(predictors))}
    levels = np.linspace(0, 0.7, 8).round(1).tolist()[:count]
    for k in range(protocols):
        for first in range(1, seeds + 1, seeds_per_run):
            of_run = range(first, min(first + seeds_per_run, seeds + 1))
            write_store(
                root, predictors, of_run, levels, samples, f"run-{k:02}-{first:02}", HISTORY,
                protocol=f"protocol-{k:02}", protocol_digest=f"{k}",
            )  # fmt: skip


def measure(title: str, arguments: Sequence[str]) -> tuple[float, float]:
    """Run a command in a separate process; print its wall time, and print and return processor time and peak memory."""
    start = time.perf_counter()
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "qamoe_bench", *arguments])
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    cpu = used.ru_utime + used.ru_stime
    peak = used.ru_maxrss / 2**20  # KiB to GiB
    failed = f"  exit status {os.waitstatus_to_exitcode(status)}" if status else ""
    print(f"{title:<36}{wall:7.2f} s {cpu:7.2f} s of processors {peak:6.2f} GiB at most{failed}", flush=True)  # noqa: T201
    return cpu, peak


def commands(root: Path, out: str) -> dict[str, list[str]]:
    """The commands that read a whole store, by title."""
    own = ["--results", str(root)]
    reports = {}
    for format in ("terminal", "json", "markdown", "html"):
        reports[f"report --format {format}"] = ["report", "--format", format, "--output", f"{out}.{format}", *own]
    return {
        "ls runs": ["ls", "runs", *own],
        **reports,
        "check against itself": ["check", "--reference", str(root), *own],
    }


def measure_growth(root: Path, temporary: Path) -> None:
    """Measure every command on half of the runs and on all, and print the exponents."""
    runs = sorted(root.glob("runs/*"))
    part = temporary / "part"
    (part / "runs").mkdir(parents=True)
    for run in runs[: -(-len(runs) // 2)]:
        (part / "runs" / run.name).symlink_to(run.resolve(), target_is_directory=True)
    used: dict[str, list[tuple[float, float]]] = {}
    cells = []
    for folder in (part, root):
        cells.append(sum(1 for run in (folder / "runs").iterdir() for _ in (run / "predictions").iterdir()))
        print(f"{cells[-1]} cells in {sum(1 for _ in (folder / 'runs').iterdir())} runs")  # noqa: T201
        for title, arguments in commands(folder, str(temporary / "report")).items():
            used.setdefault(title, []).append(measure(title, arguments))
    for title, (few, all_) in used.items():
        time_exponent, memory_exponent = np.log(np.divide(all_, few)) / np.log(cells[1] / cells[0])
        print(f"{title:<36}exponents: processor time {time_exponent:.2f}, peak memory {memory_exponent:.2f}")  # noqa: T201


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    for name, default in (("models", 50), ("protocols", 40), ("seeds", 5), ("samples", 686), ("levels", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seeds-per-run", type=int, default=10**6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        if not (root / "runs").exists():
            start = time.perf_counter()
            size = (options.models, options.protocols, options.seeds, options.samples)
            make(root, *size, options.seeds_per_run, options.levels)
            print(f"store written in {time.perf_counter() - start:.0f} s")  # noqa: T201
        os.environ["GITHUB_ACTIONS"] = ""  # no annotations
        measure_growth(root, Path(temporary))


if __name__ == "__main__":
    main()
