"""Parts of `bench_gpu` that measure speed."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from gpu_setup import CPU, MOSI, Row, Setup, batches_of, token_data
from torch import nn

from qamoe_bench.contract import Batch
from qamoe_bench.cost.cost import size_of
from qamoe_bench.cost.measure import LARGEST, seconds_of, turns_in
from qamoe_bench.cost.paper import PRINTED_G
from qamoe_bench.cost.setting import Setting, make_setting
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.evaluation.precision import at
from qamoe_bench.nn.experts import Dispatch, GLUExperts, top_k_gate
from qamoe_bench.registry import find_model
from qamoe_bench.run.arithmetic import reproducible
from qamoe_bench.run.presets import find_preset
from qamoe_bench.training.building import build_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN
from qamoe_bench.training.loop import train

PRINTED_RATE = 1510
"""Samples a second that the QA-MoE paper prints, on a GPU that it does not name."""
MODEL = "qa-moe"
BATCHES = (1, 4, 16, 64, 256, 1024)
COMPILED = (1, 64, 1024)
EXPERT_BATCHES = (64, 256, 1024, 4096, 16384, 65536)
EXPERT_WIDTHS = (64, 256)
EXPERTS = 8
CHOSEN = (1, 3)
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
SMALLEST = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
THIRD = 3
TWELFTH = 12
"""Shares of the samples that an epoch is extrapolated from, on the GPU and on the CPU."""


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether products of float32 matrices may round their inputs to 10 bits."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def timed(run: Callable[[], object], setup: Setup, budget: float = 0.4) -> float:
    """Median seconds of a pass, after two that fill caches."""
    seconds_of(run, setup.device)
    turns = 2 if setup.smoke else turns_in(budget, seconds_of(run, setup.device))
    return statistics.median(seconds_of(run, setup.device) for _ in range(turns))


def peak(setup: Setup) -> Iterator[Row]:
    """The rate of a product of large random matrices."""
    for name in ("float32", "tf32", "bfloat16"):
        yield {"precision": name, "TFLOP/s": _peak(setup, name)}
    rows = 64 if setup.smoke else LARGEST[setup.device.type]
    source = torch.randn(rows, rows, 4, device=setup.device)
    target = torch.empty_like(source)
    seconds = timed(lambda: target.copy_(source), setup)
    yield {"precision": "copy", "GB/s read and written": 2 * source.nbytes / seconds / 1e9}


def _peak(setup: Setup, precision: str) -> float:
    """TFLOP/s of a product at a precision, two per multiply-add."""
    rows = 64 if setup.smoke else LARGEST[setup.device.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(rows, rows, device=setup.device).to(dtype) for _ in range(2))
    with tf32(precision == "tf32"):
        return 2 * rows**3 / timed(lambda: a @ b, setup) / 1e12


def throughput(setup: Setup) -> Iterator[Row]:
    """The paper's setting, by precision and batch size, inputs already on the device."""
    setting, model, operations = _paper(setup)
    slow = Setup(CPU, setup.smoke)
    rate = 16 / _pass(model.cpu(), setting.batch(16), "float32", slow)
    yield _rate(f"float32, CPU, {torch.get_num_threads()} threads", 16, rate, operations, _peak(slow, "float32") * 1e12)
    model.to(setup.device)
    yield {"model": MODEL, "G multiply-adds": operations / 2e9, "printed": PRINTED_G, "printed samples/s": PRINTED_RATE}
    for precision in ("float32", "tf32", "bfloat16"):
        best = _peak(setup, precision) * 1e12
        for size in batches_of(BATCHES, setup):
            rate = size / _pass(model, setting.batch(size), precision, setup)
            yield _rate(precision, size, rate, operations, best)
    with reproducible(setup.device):
        for size in batches_of((64, 1024), setup):
            rate = size / _pass(model, setting.batch(size), "float32", setup)
            yield _rate("float32, reproducible", size, rate, operations, _peak(setup, "float32") * 1e12)


def compiled(setup: Setup) -> Iterator[Row]:
    """The same through torch.compile, with the seconds that compiling takes."""
    setting, model, operations = _paper(setup)
    for precision in ("bfloat16", "float32"):
        torch.compiler.reset()
        best = _peak(setup, precision) * 1e12
        fast: Any = torch.compile(model, backend="eager" if setup.smoke else "inductor")
        for size in batches_of(COMPILED, setup):
            samples = setting.batch(size)
            start = time.perf_counter()
            _pass(fast, samples, precision, setup, once=True)
            seconds = time.perf_counter() - start
            row = _rate(f"{precision}, compiled", size, size / _pass(fast, samples, precision, setup), operations, best)
            yield row | {"first pass s": seconds}


def _paper(setup: Setup) -> tuple[Setting, nn.Module, float]:
    """The paper's setting, its model on the device, and FLOPs per sample."""
    setting = make_setting("quick" if setup.smoke else "paper", None)
    model = setting.build(MODEL)
    counted = size_of(MODEL, model, setting.batch(4), setting.stages(MODEL))
    return setting, model.to(setup.device), 2 * counted.multiply_adds


def _pass(model: Any, samples: Batch, precision: str, setup: Setup, *, once: bool = False) -> float:
    """Seconds of a forward pass."""
    batch = samples.to(setup.device)
    with tf32(precision == "tf32"), at("bfloat16" if precision == "bfloat16" else "float32", setup.device):
        if once:
            return seconds_of(lambda: model(batch), setup.device)
        return timed(lambda: model(batch), setup)


def _rate(precision: str, size: int, rate: float, operations: float, best: float) -> Row:
    return {
        "precision": precision,
        "batch": size,
        "samples/s": rate,
        "times 1,510": rate / PRINTED_RATE,
        "TFLOP/s": rate * operations / 1e12,
        "of the peak %": 100 * rate * operations / best,
    }


def experts(setup: Setup) -> Iterator[Row]:
    """Sparse dispatch relative to dense, in the forward pass and in training; below 1 sparse is faster."""
    for width in EXPERT_WIDTHS[:1] if setup.smoke else EXPERT_WIDTHS:
        for k in CHOSEN:
            for size in batches_of(EXPERT_BATCHES, setup):
                row = {"width": width, "k": k, "k/N": k / EXPERTS, "batch": size}
                for training in (False, True):
                    dense, sparse = (_experts(setup, d, width, k, size, training) for d in ("dense", "sparse"))
                    name = "training" if training else "forward"
                    row |= {f"{name}, dense ms": 1000 * dense, f"{name}, ratio": sparse / dense}
                yield row


def _experts(setup: Setup, dispatch: Dispatch, width: int, k: int, size: int, training: bool) -> float:
    """Seconds of a pass through experts, whose inner width is twice the outer one as in QA-MoE."""
    torch.manual_seed(0)
    model = GLUExperts(EXPERTS, width, 2 * width, dispatch).to(setup.device)
    x = torch.randn(size, width, device=setup.device)
    gate = top_k_gate(torch.randn(size, EXPERTS, device=setup.device), k, renormalise=True)

    def step() -> None:
        if training:
            model(x, gate).sum().backward()
        else:
            with torch.no_grad():
                model(x, gate)

    return timed(step, setup, 0.1)


def fine_tuning(setup: Setup) -> Iterator[Row]:
    """An epoch of fine-tuning on random token ids of CMU-MOSI's shape, with random weights, validation included."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as root:
        encoders = {"BERT base size": "", "MiniLM size": _language_model(Path(root) / "mini", MINILM)}
        if setup.smoke:
            encoders = {"smallest": _language_model(Path(root) / "smallest", SMALLEST)}
        for encoder, folder in encoders.items():
            for full in (False, True):
                for precision in ("float32", "bfloat16"):
                    yield _epoch_row(setup, encoder, folder, full, precision, THIRD)
            yield _epoch_row(Setup(CPU, setup.smoke), encoder, folder, True, "float32", TWELFTH) | {"threads": threads}


def _language_model(folder: Path, settings: dict[str, int]) -> str:
    """A folder with a BERT of random weights."""
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    BertModel(BertConfig(**settings)).save_pretrained(folder)
    return str(folder)


def _epoch_row(setup: Setup, encoder: str, folder: str, full: bool, precision: str, share: int) -> Row:
    """The time of an epoch, extrapolated from a share of the samples after a few that compile and allocate."""
    sizes = {name: 8 if setup.smoke else count // share for name, count in MOSI.items()}
    data = token_data(sizes, full=full, folder=folder)
    _epoch(token_data(dict.fromkeys(MOSI, 8), full=full, folder=folder), precision, setup.device)
    seconds = _epoch(data, precision, setup.device)
    memory = torch.cuda.max_memory_allocated() / 2**30 if setup.device.type == "cuda" else 0.0
    return {
        "encoder": encoder,
        "device": setup.device.type,
        "precision": precision,
        "tokens": data.splits["train"].lengths["text"].float().mean().item(),
        "s per epoch": seconds * MOSI["train"] / sizes["train"],
        "samples/s": sizes["train"] / seconds,
        "of all samples": f"1/{share}",
        "most GiB so far": memory,
    }


def _epoch(data: Dataset, precision: str, device: torch.device) -> float:
    """Seconds of a training of one epoch, with its validation, of a model that is on the device already."""
    ref = find_model(MODEL)
    preset = find_preset("fine-tune").training
    config = TrainConfig(1, preset.batch_size, preset.learning_rate, preset.language_rate, selection_window=1)
    model = build_model(ref, ref.settings, data.spec, data.examples, 0).to(device)
    low: AbstractContextManager[Any] = nullcontext()
    if precision == "bfloat16":
        low = torch.autocast(device.type, torch.bfloat16)
    with low:
        return train(model, data, CLEAN, 0, config, device).seconds
