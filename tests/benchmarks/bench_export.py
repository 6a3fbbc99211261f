"""Time of an export relative to writing the same bytes, and the size of masks; run by `make benchmark`.

The data have the size of MOSI's test split with unaligned features: 686 samples, 50 × 768 values of text, 375 × 5 of
audio and 500 × 20 of vision. Plain files of the same sizes are written and flushed to disk before and after each
export, because the speed of a shared disk changes from minute to minute.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from wall_time import seconds_of

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.exchange.export import export_samples
from qamoe_bench.exchange.layouts import noise_size, noises_of
from qamoe_bench.protocol.parse import load_protocol

SHAPES = {"text": (50, 768), "audio": (375, 5), "vision": (500, 20)}
SAMPLES = {"train": 64, "valid": 16, "test": 686}
BLOCK = 2**23  # bytes that are written together
TURNS = 3
MEGABYTE = 1e6


def mosi_sized() -> Dataset:
    """Random features with lengths from a fifth of the longest, as words of MOSI have."""
    random = np.random.default_rng(0)
    splits = {}
    for name, count in SAMPLES.items():
        features = {}
        lengths = {}
        for m, (frames, width) in SHAPES.items():
            x = random.standard_normal((count, frames, width), np.float32)
            length = random.integers(frames // 5, frames + 1, count)
            x[np.arange(frames) >= length[:, None]] = 0
            features[m] = torch.from_numpy(x)
            lengths[m] = torch.from_numpy(length)
        target = torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32))
        splits[name] = Split(tuple(f"{name}-video$_${i}" for i in range(count)), target, features, lengths)
    return Dataset("mosi-sized", splits, digest="0" * 64)


def write_plainly(folder: Path, sizes: list[int]) -> None:
    """Files of some sizes, each flushed to disk, as an export does."""
    content = np.random.default_rng(0).bytes(BLOCK)
    folder.mkdir()
    for number, size in enumerate(sizes):
        with (folder / str(number)).open("xb") as file:
            for start in range(0, size, BLOCK):
                file.write(content[: size - start])
            file.flush()
            os.fsync(file.fileno())


def remove(folder: Path) -> None:
    """Remove the files of a folder, and the folder."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def ratio(data: Dataset, layout: str, root: Path) -> None:
    """Print the time of an export of eight levels with one seed over that of writing the same bytes."""
    export = root / "export"
    plain = root / "plain"
    sizes: list[int] = []
    ratios = []
    times = []
    for turn in range(TURNS + 1):
        spent = seconds_of(lambda: export_samples(export, "random-missing", data, (1111,), layout=layout))
        sizes[:] = [path.stat().st_size for path in export.iterdir()]
        remove(export)
        times.append(seconds_of(lambda: write_plainly(plain, sizes)))
        remove(plain)
        if turn:  # the first turn gives the sizes, and the first time before an export
            ratios.append(spent / ((times[-2] + times[-1]) / 2))
    speed = sum(sizes) / MEGABYTE / np.median(times)
    print(  # noqa: T201
        f"random-missing as {layout}: {sum(sizes) / MEGABYTE:.0f} MB, export takes {np.median(ratios):.2f} times as "
        f"long as writing them ({min(ratios):.2f} to {max(ratios):.2f}; {speed:.0f} MB/s; required: at most 1.5); load "
        f"{os.getloadavg()[0]:.1f}"
    )


def masks(data: Dataset, root: Path) -> None:
    """Print the size of masks of eight levels and three seeds, and that of the noise of a noise protocol."""
    for protocol in ("random-missing", "frame-missing"):
        folder = root / protocol
        spent = seconds_of(lambda p=protocol, f=folder: export_samples(f, p, data, layout="masks"))  # type: ignore[misc]
        size = sum(path.stat().st_size for path in folder.iterdir()) / MEGABYTE
        print(f"masks of {protocol}, 3 seeds: {size:.2f} MB in {spent:.1f} s (required: under 5 MB)")  # noqa: T201
    test = TestSet(data, 1111, torch.device("cpu"))
    for protocol in ("quality-degradation", "utterance-noise"):
        noise = noise_size(test, noises_of(load_protocol(protocol), test)) / MEGABYTE
        print(f"noise of {protocol}: {noise:.0f} MB for each seed, whatever the number of levels")  # noqa: T201


def main() -> None:
    """Print all measurements."""
    data = mosi_sized()
    data.reference  # noqa: B018  # statistics of the training split, which every command computes once
    with tempfile.TemporaryDirectory() as folder:
        masks(data, Path(folder))
        for layout in ("npz", "mmsa"):
            ratio(data, layout, Path(folder))


if __name__ == "__main__":
    main()
