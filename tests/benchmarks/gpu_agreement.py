"""Parts of `bench_gpu` that compare the GPU's results with the CPU's."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_setup import CPU, Row, Setup, token_data
from torch import Tensor, nn

from qamoe_bench.corruption import frames, modalities, values
from qamoe_bench.corruption.draws import CommonDraws, Purpose
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.run.arithmetic import reproducible
from qamoe_bench.run.planner import check_tokens
from qamoe_bench.training.building import build_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import SPECTRUM
from qamoe_bench.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
SEED = 1111
TOLERANCE = 1e-4
"""Absolute and relative, of float32 predictions."""
RECURRENT = "late-fusion:encoder=gru"
"""A model that cuDNN computes in TF32 by default."""
TRAINED = ("late-fusion", "qa-moe")
FEW = {"train": 64, "valid": 16, "test": 64}
"""Samples by split of the data with token ids."""
QUICK = "train.epochs=10,train.selection_window=1"
FEWEST_EPOCHS = "train.epochs=1,train.selection_window=1"


def contract(setup: Setup) -> Iterator[Row]:
    """The contract tests of every model on the device."""
    chosen = f"{setup.device.type} and mean" if setup.smoke else setup.device.type
    # Options of the project that need plug-ins are dropped.
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-o", "filterwarnings=default", "-p",
               "no:cacheprovider", "tests/models/test_models.py", "-k", chosen]  # fmt: skip
    if find_spec("xdist") and not setup.smoke:
        command += ["-n", "4"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=85, check=False)
    lines = ended.stdout.strip().splitlines()
    yield {"tests": chosen, "outcome": lines[-1] if lines else ended.stderr[-500:], "exit": ended.returncode}
    for line in lines:
        if line.startswith("FAILED"):
            yield {"tests": line}
    if ended.returncode:
        yield {"tests": "end of the output", "outcome": ended.stdout[-3000:] + ended.stderr[-1000:]}


def corruption(setup: Setup) -> Iterator[Row]:
    """Draws, masks and corrupted features, compared bit by bit."""
    torch.set_num_threads(1)  # as workers do; small products only wait for more threads
    for data in (setup.data(), token_data(FEW, full=False)):
        tests = (TestSet(data, SEED, CPU), TestSet(data, SEED, setup.device))
        yield {"data": data.name, "what": "draws", **_draws_agree(*tests)}
        for name in protocol_names()[:3] if setup.smoke else protocol_names():
            protocol = load_protocol(name)
            try:
                check_tokens(protocol, data)
            except BenchError:
                continue
            yield {"data": data.name, "what": name, **_conditions_agree(protocol, *tests)}


def _draws_agree(cpu: TestSet, gpu: TestSet) -> Row:
    """Draws of every purpose; those of a GPU's samples are made on the CPU and copied."""
    unequal = 0
    purposes = {x for module in (frames, modalities, values) for x in vars(module).values() if isinstance(x, Purpose)}
    for purpose in purposes:
        for m in cpu.clean.modalities:
            ours, theirs = (CommonDraws(SEED, t.ids, t.clean).rows(slice(None))(purpose, m) for t in (cpu, gpu))
            unequal += int((ours != theirs.cpu()).sum())
    return {"compared": len(purposes), "unequal masks": "", "unequal values": unequal}


def _conditions_agree(protocol: Protocol, cpu: TestSet, gpu: TestSet) -> Row:
    """Counts of unequal masks and values over all conditions, and the greatest differences."""
    masks = unequal = 0
    difference = recorded = 0.0
    for condition in protocol.conditions:
        ours, theirs = (test.corrupted(condition) for test in (cpu, gpu))
        for m in ours.batch.modalities:
            masks += int((ours.erased[m] != theirs.erased[m].cpu()).sum())
            x, y = ours.batch.features[m], theirs.batch.features[m].cpu()
            unequal += int((x != y).sum())
            difference = max(difference, float((x - y).abs().max()))
            recorded = max(recorded, float((ours.noise[m] - theirs.noise[m].cpu()).abs().max()))
    return {
        "compared": len(protocol.conditions),
        "unequal masks": masks,
        "unequal values": unequal,
        "greatest difference": difference,
        "of the recorded noise": recorded,
    }


def predictions(setup: Setup) -> Iterator[Row]:
    """Every output of every model with equal weights under a few conditions, through the sweep."""
    torch.set_num_threads(1)
    data = setup.data()
    protocol = replace(load_protocol("mixed"), axes={"lambda": (0.0, 0.4), "eta": (0.0, 0.5)})
    tests = (TestSet(data, SEED, CPU), TestSet(data, SEED, setup.device))
    for name in [*TRAINED, RECURRENT] if setup.smoke else [*model_refs(), RECURRENT]:
        ref = find_model(name)
        model = build_model(ref, ref.settings, data.spec, data.examples, SEED)
        ours = sweep_model(model, tests[0], protocol).columns
        model.to(setup.device)
        with reproducible(setup.device):
            theirs = sweep_model(model, tests[1], protocol).columns
            again = sweep_model(model, tests[1], protocol).columns
        plain = sweep_model(model, tests[1], protocol).columns
        yield {
            "model": name,
            **_columns_agree(ours, theirs),
            "same again": all(np.array_equal(theirs[c], again[c]) for c in _outputs(theirs)),
            "by default": _columns_agree(ours, plain)["greatest difference"],
        }


def _outputs(columns: Mapping[str, Any]) -> list[str]:
    """Names of the columns that a model made."""
    return [c for c in columns if "prediction" in c or c == "variance" or c.startswith("quality_")]


def _columns_agree(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Row:
    """How many outputs differ by more than the tolerance, and the greatest difference."""
    outside = compared = 0
    greatest = 0.0
    for column in _outputs(ours):
        compared += len(ours[column])
        outside += int((~np.isclose(theirs[column], ours[column], rtol=TOLERANCE, atol=TOLERANCE)).sum())
        greatest = max(greatest, float(np.abs(ours[column] - theirs[column]).max()))
    return {"compared": compared, "outside 1e-4": outside, "greatest difference": greatest}


def training(setup: Setup) -> Iterator[Row]:
    """Whether training twice gives equal weights, with and without the fixed order of sums, and the time of each."""
    data = setup.data()
    config = TrainConfig(epochs=2, selection_window=1)
    torch.set_num_threads(1)
    for name in TRAINED[:1] if setup.smoke else TRAINED:
        _trained(name, data, config, setup.device)  # the first training compiles and allocates
        plain = [_trained(name, data, config, setup.device) for _ in range(2)]
        with reproducible(setup.device):
            fixed = [_trained(name, data, config, setup.device) for _ in range(2)]
        yield {
            "model": name,
            "equal by default": _equal(plain[0][0], plain[1][0]),
            "s per epoch": plain[1][1] / config.epochs,
            "equal, reproducible": _equal(fixed[0][0], fixed[1][0]),
            "s per epoch ": fixed[1][1] / config.epochs,
            "s per epoch on the CPU": _trained(name, data, config, CPU)[1] / config.epochs,
        }


def _trained(name: str, data: Dataset, config: TrainConfig, device: torch.device) -> tuple[dict[str, Tensor], float]:
    """The weights after a training, and its seconds."""
    ref = find_model(name)
    model: nn.Module = build_model(ref, ref.settings, data.spec, data.examples, SEED)
    start = time.perf_counter()
    train(model, data, SPECTRUM, SEED, config, device)
    return model.state_dict(), time.perf_counter() - start


def _equal(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(x, theirs[key]) for key, x in ours.items())


def run(setup: Setup) -> Iterator[Row]:
    """A small run of the command on both devices, and the CPU's weights evaluated on the GPU."""
    settings = FEWEST_EPOCHS if setup.smoke else QUICK
    for model in TRAINED[:1] if setup.smoke else TRAINED:
        name = f"{model}:{settings}"
        with tempfile.TemporaryDirectory() as root:
            cpu, gpu, moved = (Path(root) / folder for folder in ("cpu", "gpu", "moved"))
            yield {"model": model, "what": "run on the CPU", "seconds": _command(cpu, "cpu", name)}
            yield {"model": model, "what": "run on the GPU", "seconds": _command(gpu, setup.device.type, name)}
            (weights,) = cpu.glob("runs/*/checkpoints/*.safetensors")
            seconds = _command(moved, setup.device.type, name, "--checkpoint", str(weights))
            yield {"model": model, "what": "the CPU's weights on the GPU", "seconds": seconds}
            ours = _records(cpu)
            yield {"model": model, "what": "trained on each", **_reports_agree(ours, _records(gpu))}
            yield {"model": model, "what": "trained on the CPU", **_reports_agree(ours, _records(moved))}


def _command(results: Path, device: str, model: str, *words: str) -> float:
    """Seconds of a run of the command, with its start and its report."""
    start = time.perf_counter()
    _qamoe_bench("run", "--protocol", "random-missing", "--seeds", str(SEED), "--executor", "local", "--device", device,
                 "--results", str(results), "--model", model, *words)  # fmt: skip
    return time.perf_counter() - start


def _qamoe_bench(*words: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "qamoe_bench", *words]
    ended = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=85, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit code {ended.returncode}\n{ended.stderr[-2000:]}")
    return ended.stdout


def _records(results: Path) -> dict[tuple[str, ...], Row]:
    """The values of the report of a model, by what they are of."""
    records = json.loads(_qamoe_bench("report", "--results", str(results), "--format", "json"))
    keyed: dict[tuple[str, ...], Row] = {}
    for record in records:
        # The oracle is the same on every device.
        if record["statistic"] == "value" and record["value"] is not None and record["model"] != "oracle":
            keyed[record["condition"], record["metric"]] = record
    return keyed


def _reports_agree(ours: Mapping[tuple[str, ...], Row], theirs: Mapping[tuple[str, ...], Row]) -> Row:
    """The greatest difference of the values, and how many lie outside the other's 95% interval."""
    shared = [key for key in ours if key in theirs]
    difference = max(abs(ours[key]["value"] - theirs[key]["value"]) for key in shared)
    bounded = [key for key in shared if ours[key]["low"] is not None]
    outside = sum(not ours[k]["low"] <= theirs[k]["value"] <= ours[k]["high"] for k in bounded)
    return {"values": len(shared), "greatest difference": difference, "outside the CPU's 95% interval": outside}
