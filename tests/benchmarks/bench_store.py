"""Reading large cells: 100 cells of 1,000,000 rows, beside reading the same files as plain bytes.

Both are measured with files that the system's cache does not hold and with files that it does. Every cell is verified
by its checksum, and the predictions are decoded, in as many threads as a report uses. Half of the cells are measured as
well: the exponent says how the time grows with their number. Run by `make benchmark`; prints measurements without a
verdict. `--cells` and `--samples` change the size.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from fakestore import noisy, write_store
from wall_time import seconds_of

from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.store import store
from qamoe_bench.store.store import Store
from qamoe_bench.store.stored_cell import StoredCell

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def make(root: Path, cells: int, samples: int) -> None:
    """Write the store: one cell with all that a cell holds, and others that differ in their seed and predictions."""
    store.os.fsync = lambda _: None  # type: ignore[attr-defined]  # generated data need not survive a power failure
    store.COMPRESSION_LEVEL = 3  # an eighth of the time, for files that are a tenth larger
    write_store(root, {"late-fusion": noisy(0.5)}, [1], LEVELS, samples, "large")
    (first,) = Store(root).cells()
    table = first.predictions
    columns = {name: pa.array(table[name]) for name in table.columns}
    columns |= {name: columns[name].dictionary_encode() for name in ("condition", "id")}
    random = np.random.default_rng(0)
    for seed in range(2, cells + 1):
        columns["prediction"] = pa.array(random.standard_normal(len(table), np.float32))
        Store(root).write_cell("large", replace(first.cell, seed=seed), first.facts, columns)
    os.sync()


def forget(files: Sequence[Path]) -> None:
    """Take files out of the system's cache, as far as the system follows the advice."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def decode(cells: Sequence[StoredCell]) -> None:
    """Verify and decode the predictions of all cells."""
    for prediction in map_in_order(lambda cell: cell.column("prediction"), cells):
        assert prediction.size


def measure(root: Path, share: float) -> list[float]:
    """Print the speeds for a share of the cells; returns the times of decoding, without and with the cache."""
    listed: list[StoredCell] = []
    listing = seconds_of(lambda: listed.extend(Store(root).cells()))
    cells = listed[: round(share * len(listed))]
    files = [cell.path for cell in cells]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    print(f"{len(cells)} cells, {megabytes:.0f} MB; all headers in {listing:.2f} s")  # noqa: T201
    decoding = []
    states: dict[str, Callable[[Sequence[Path]], None]] = {"not in cache": forget, "in cache": lambda _: None}
    for state, prepare in states.items():
        prepare(files)
        plain = seconds_of(lambda: [len(file.read_bytes()) for file in files])
        prepare(files)
        decoding.append(seconds_of(lambda: decode(cells)))
        speeds = f"{megabytes / plain:.0f} MB/s, predictions {megabytes / decoding[-1]:.0f} MB/s"
        print(f"  {state}: plain bytes {speeds} ({plain:.2f} and {decoding[-1]:.2f} s)", flush=True)  # noqa: T201
    return decoding


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--samples", type=int, default=125_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        written = seconds_of(lambda: make(Path(root), options.cells, options.samples))
        print(f"{options.cells} cells of {len(LEVELS) * options.samples:,} rows written in {written:.0f} s", flush=True)  # noqa: T201
        of_all, of_half = (measure(Path(root), share) for share in (1, 0.5))
        exponents = np.log2(np.divide(of_all, of_half))
        print(f"exponents of decoding: {exponents[0]:.2f} not in cache, {exponents[1]:.2f} in cache")  # noqa: T201


if __name__ == "__main__":
    main()
