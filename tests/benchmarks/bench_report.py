"""Time and peak memory of a report on a store of the size of a study on CMU-MOSEI, and time of resampling alone.

Run by `make benchmark`; prints measurements without a verdict.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fakestore import noisy, write_store

from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.statistics.resampling import RESAMPLES, Resampling, resampled, sample_weights

MEASURED = """
import resource, sys, time
sys.argv[0] = "qamoe-bench"
start = time.perf_counter()
from qamoe_bench.cli.main import app
try:
    app()
except SystemExit:
    pass
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(f"{time.perf_counter() - start:.1f} s, {peak:.2f} GiB at most", file=sys.stderr)
"""


def report(title: str, root: Path, *arguments: str) -> None:
    """Time a report, or a check of the store against itself, in a separate process."""
    command = [sys.executable, "-c", MEASURED, *arguments, "--results", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"{title}: {done.stderr.strip()}")  # noqa: T201


def resampling() -> None:
    """Resample all metrics of a dialect for 5 models × 3 seeds × 8 levels × 686 samples."""
    random = np.random.default_rng(0)
    label = np.round(random.uniform(-3, 3, 686), 1)
    predictions = random.normal(label, 1, (5, 3, 8, 686))  # (M, S, C, N)
    start = time.perf_counter()
    resamples = Resampling(sample_weights(686))
    for definition in DIALECTS["mmsa"].definitions.values():
        for model_predictions in predictions:
            resampled(definition, model_predictions, label, resamples)
    names = len(DIALECTS["mmsa"].definitions)
    spent = time.perf_counter() - start
    print(f"{RESAMPLES} resamples of {names} metrics of 5 models, 3 seeds, 8 levels, 686 samples: {spent:.2f} s")  # noqa: T201


def main() -> None:
    """Print all measurements."""
    resampling()
    with tempfile.TemporaryDirectory() as folder:
        models = {"late-fusion": noisy(1.0), **{f"model-{i}": noisy(0.5 + 0.1 * i) for i in range(4)}}
        root = Path(folder)
        levels = np.linspace(0, 0.63, 64).round(2).tolist()
        write_store(root, models, seeds=range(1, 6), levels=levels, samples=4659)
        size = "5 models × 64 conditions × 5 seeds × 4,659 samples"
        report(f"report of {size}", root, "report", "--format", "json", "--output", str(root / "r.json"))
        report(f"check of {size}", root, "check", "--reference", str(root))


if __name__ == "__main__":
    main()
