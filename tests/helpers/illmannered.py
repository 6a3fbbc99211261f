"""Models that reach beyond themselves, each in one way; workers import them by name."""

import os
import random
import resource
import signal
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch

SECONDS = 1000


@dataclass(frozen=True)
class Manner:
    """What the model does."""

    manner: str = "inplace"


class IllMannered(nn.Module):
    """Predicts a mean over text, after it did what it should not."""

    def __init__(self, spec: DataSpec, config: Manner) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Linear(spec.widths["text"], 1)
        # Shares memory with the specification, and is trained.
        self.scale = nn.Parameter(spec.feature_std["text"]) if config.manner == "spec" else None

    def prepare(self, samples: TrainingBatch) -> None:
        """Look at the training samples."""
        if self.config.manner == "inplace":
            samples.target.zero_()
            for part in samples.split(16):
                part.features["text"].zero_()
                samples.features["audio"].numpy()[:] = 1

    def forward(self, batch: Batch) -> Output:
        """The prediction."""
        text = batch.features["text"] if self.scale is None else batch.features["text"] / self.scale
        prediction = self.head(text.mean(1))[:, 0]
        MANNERS[self.config.manner](batch)
        return Output(prediction)


class InPlaceStages(nn.Module):
    """Two stages, each of which changes its input."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({m: nn.Linear(spec.widths[m], 1) for m in spec.modalities})

    def encode_modality(self, batch: Batch, modality: str) -> Tensor:
        """A number per sample, as (B, 1)."""
        batch.lengths[modality].clamp_(min=1)
        encoded: Tensor = self.heads[modality](batch.features[modality].clone().mean(1))
        batch.features[modality].relu_().mul_(3)
        return encoded

    def fuse(self, encoded: dict[str, Tensor]) -> Output:
        """The sum, computed in place."""
        total = encoded["text"]
        for m in ("audio", "vision"):
            total = total.add_(encoded[m]) if torch.is_inference_mode_enabled() else total + encoded[m]
        return Output(total[:, 0])

    def forward(self, batch: Batch) -> Output:
        """Both stages."""
        return self.fuse({m: self.encode_modality(batch, m) for m in batch.modalities})


def change_inputs(batch: Batch) -> None:
    """Change every tensor, with torch and with NumPy."""
    for m, x in batch.features.items():
        x.mul_(-3).relu_()
        x.numpy()[0] = 7
        batch.lengths[m].clamp_(max=2)


def change_torch(_: Batch) -> None:
    """Change settings of torch."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    torch._C._set_mkldnn_enabled(False)
    torch.set_float32_matmul_precision("medium")
    torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    torch.manual_seed(0)


def change_python(_: Batch) -> None:
    """Change settings of the process."""
    os.chdir("/")
    os.environ["OMP_DYNAMIC"] = "TRUE"
    os.environ.pop("HOME", None)
    sys.path.insert(0, "/nowhere")
    sys.stdout = None
    warnings.simplefilter("error")
    np.seterr(all="raise")
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def warn(_: Batch) -> None:
    """Warn, and let nobody be warned again."""
    warnings.simplefilter("ignore")
    warnings.warn("a warning of the model", stacklevel=1)


def exit_hard(_: Batch) -> None:
    """End the process without any handler."""
    os._exit(0)


def limit_files(_: Batch) -> None:
    """Let no file become larger than a few bytes, now and later."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


def replace_renaming(_: Batch) -> None:
    """Let no file get its name, without a word."""
    os.replace = lambda *_, **__: None


def raise_interrupt(_: Batch) -> None:
    """What Ctrl-C raises."""
    raise KeyboardInterrupt


def hang(_: Batch) -> None:
    """Never return, and ignore whatever wants to end it."""
    while True:
        try:
            time.sleep(SECONDS)
        except Exception:
            continue


def kill_itself(_: Batch) -> None:
    """A signal that nothing can catch."""
    os.kill(os.getpid(), signal.SIGKILL)


MANNERS = {
    "none": lambda _: None,
    "inplace": change_inputs,
    "spec": lambda _: None,
    "torch": change_torch,
    "python": change_python,
    "print": lambda _: print("<<printed>>"),  # noqa: T201
    "warn": warn,
    "fork": lambda _: os.fork(),
    "memory": lambda _: torch.empty(2**50),
    "limit": limit_files,
    "rename": replace_renaming,
    "exit": lambda _: sys.exit(0),
    "hard-exit": exit_hard,
    "interrupt": raise_interrupt,
    "kill": kill_itself,
    "hang": hang,
}


def build(spec: DataSpec, **settings: Any) -> IllMannered:
    """The model."""
    return IllMannered(spec, configure(Manner, settings))


def stages(spec: DataSpec) -> InPlaceStages:
    """The model of two stages."""
    return InPlaceStages(spec)
