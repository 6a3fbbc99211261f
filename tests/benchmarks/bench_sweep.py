"""Overhead of a sweep, gain of encoding once, and speed-up by a second process; run by `make benchmark`.

Prints ratios of times that were measured alternately within this run, without a verdict. Single times of a shared
machine are not reliable, and the last part is meaningless if fewer than two cores are free.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from wall_time import seconds_of

from qamoe_bench.contract import AcceptsQuality
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.evaluation.sweep import BATCH_SIZE, sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model
from qamoe_bench.run.planner import plan
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plan
from qamoe_bench.store.store import Store

WIDTHS = {"text": 768, "audio": 74, "vision": 35}
SIZES = {"mosi-sized": (686, 50), "synthetic-sized": (686, 12)}
RANDOM_MISSING = load_protocol("random-missing")
PROTOCOLS = ("random-missing", "frame-missing", "lnln-missing", "quality-degradation")
MODELS = ("late-fusion", "qa-moe:-quality-gate", "qa-moe", "qa-moe-plus")
CPU = torch.device("cpu")
TURNS = 5


def data_of(name: str, samples: int, frames: int, *, tokens: bool = False) -> Dataset:
    """Random features; with `tokens`, the text holds token ids of texts of different lengths."""
    random = np.random.default_rng(0)
    splits = {}
    for split, count in {"train": 64, "valid": 8, "test": samples}.items():
        x = {m: torch.from_numpy(random.standard_normal((count, frames, d), np.float32)) for m, d in WIDTHS.items()}
        lengths = {m: torch.full((count,), frames) for m in WIDTHS}
        if tokens:
            lengths["text"] = torch.from_numpy(random.integers(frames // 2, frames + 1, count))
            x["text"] = token_ids(lengths["text"], frames, random)
        target = torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32))
        splits[split] = Split(tuple(f"{split}{i}" for i in range(count)), target, x, lengths)
    return Dataset(name, splits, digest=name, token_ids={"text": 100} if tokens else {})


def token_ids(lengths: Tensor, frames: int, random: np.random.Generator) -> Tensor:
    """Token ids: [CLS], words and [SEP], then padding."""
    ids = torch.from_numpy(random.integers(1000, 30000, (len(lengths), frames, 1)).astype(np.float32))
    ids[:, 0] = 101
    ids[torch.arange(len(lengths)), lengths - 1] = 102
    return ids * (torch.arange(frames) < lengths[:, None])[..., None]


def levels(protocol: Protocol) -> list[Protocol]:
    """One protocol per level of the axis, so that the times to compare are measured shortly after each other."""
    ((axis, values),) = protocol.axes.items()
    return [replace(protocol, axes={axis: (value,)}) for value in values]


@torch.inference_mode()
def bare(model: nn.Module, test: TestSet, protocol: Protocol) -> float:
    """Seconds of the model's passes over the sweep's corrupted batches, including those with other quality scores.

    The batches are built one by one, outside the measured time, and not kept: freeing a list of them would make the
    allocator return memory to the system, and the sweep, which runs next, would pay for requesting it again.
    """
    (condition,) = protocol.conditions
    seconds = 0.0
    for first in range(0, len(test.ids), BATCH_SIZE):
        batch = test.corrupted(condition, slice(first, first + BATCH_SIZE)).batch.to(CPU)  # computes deferred parts now
        start = time.perf_counter()
        output = model(batch)
        if isinstance(model, AcceptsQuality) and output.quality:
            for _ in range(6):  # the own scores and five interventions
                model.predict_with_quality(batch, output.quality)
        seconds += time.perf_counter() - start
    return seconds


def overhead(model_name: str, data: Dataset, protocol: Protocol) -> None:
    """Print the time of a sweep of all levels relative to the model alone, with and without encode-once."""
    ref = find_model(model_name)
    test = TestSet(data, 1111, CPU)
    model = ref.builder()(data.spec, **ref.settings).eval()
    for encode_once in (True, False):  # warm-up: computes the draws and grows the allocator
        sweep_model(model, test, protocol, encode_once=encode_once, permutations=0)
    plain: list[float] = []
    without: list[float] = []
    once: list[float] = []
    for _ in range(TURNS):
        own = 0.0
        whole = 0.0
        for p in levels(protocol):
            own += bare(model, test, p)
            whole += seconds_of(lambda p=p: sweep_model(model, test, p, encode_once=False, permutations=0))  # type: ignore[misc]
        plain.append(own)
        without.append(whole / own)
        once.append(seconds_of(lambda: sweep_model(model, test, protocol, permutations=0)) / own)
    print(  # noqa: T201
        f"{model_name:20} {data.name:15} {protocol.name:19} model alone {statistics.median(plain):6.3f} s; sweep "
        f"{_range(without)} of that, with encode-once {_range(once)}"
    )


def _range(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"


def language_model() -> None:
    """Print the gain of encode-once for C-MIB with BERT base on short texts: eight levels, three draws."""
    data = data_of("tokens", 48, 20, tokens=True)
    model = find_model("c-mib").builder()(data.spec)
    test = TestSet(data, 1111, CPU)
    protocol = replace(RANDOM_MISSING, draws=3)
    sweep_model(model, test, levels(RANDOM_MISSING)[0])  # warm-up
    start = time.perf_counter()
    once = sweep_model(model, test, protocol, batch_size=16)
    middle = time.perf_counter()
    every = sweep_model(model, test, protocol, batch_size=16, encode_once=False)
    ratio = (time.perf_counter() - middle) / (middle - start)
    gap = np.abs(once.columns["prediction"] - every.columns["prediction"]).max()
    print(  # noqa: T201
        f"BERT of base size, 48 samples, 8 levels × 3 draws: {middle - start:.1f} s, {ratio:.1f} times faster with "
        f"encode-once; {once.encodings_computed} of {once.encodings_asked} encodings; predictions differ by {gap:.1e}"
    )


def processes() -> None:
    """Print the time of four cells in one process and in two."""
    asked = plan(Request(("random-missing",), ("qa-moe-plus",), seeds=(1, 2, 3, 4)))
    job = replace(asked, jobs=tuple(j for j in asked.jobs if j.recipe))  # without the oracle, which takes no time
    with tempfile.TemporaryDirectory() as folder:
        stores = {jobs: Store(Path(folder) / str(jobs)) for jobs in (1, 2)}
        spent = {jobs: seconds_of(lambda s=store, j=jobs: run_plan(job, s, jobs=j)) for jobs, store in stores.items()}  # type: ignore[misc]
        one = {c.cell.key: c.predictions for c in stores[1].cells()}
        two = {c.cell.key: c.predictions for c in stores[2].cells()}
        equal = all(frame.equals(two[key]) for key, frame in one.items())
    print(  # noqa: T201
        f"4 cells: {spent[1]:.1f} s in one process, {spent[2]:.1f} s in two, {spent[1] / spent[2]:.2f} times faster; "
        f"identical: {equal}; load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    """Print all measurements."""
    torch.set_num_threads(1)
    for size, shape in SIZES.items():
        data = data_of(size, *shape)
        for protocol in PROTOCOLS:
            for name in MODELS:
                overhead(name, data, load_protocol(protocol))
    language_model()
    processes()


if __name__ == "__main__":
    main()
