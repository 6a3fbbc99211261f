"""A model with a configurable fault, for tests of the runner; workers import it by name."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.seeding import torch_seed


@dataclass(frozen=True)
class FaultyConfig:
    """The fault, and the conditions under which it happens."""

    fault: Literal["killed", "memory", "allocation", "bug"] = "killed"
    when: Literal["training", "evaluation"] = "training"  # at the first sample that lacks a modality
    seed: int = 1  # only the model of this seed has the fault
    once: str = ""  # path of a file: the fault creates it, and happens only if it does not exist


class Faulty(nn.Module):
    """Predicts a learnt constant, until its fault."""

    def __init__(self, config: FaultyConfig) -> None:
        super().__init__()
        self.config = config
        self.constant = nn.Parameter(torch.zeros(()))
        self.has_fault = torch.initial_seed() == torch_seed("build", config.seed)

    def forward(self, batch: Batch) -> Output:
        """The constant."""
        lacks = any(bool((x.flatten(1) == 0).all(1).any()) for x in batch.features.values())
        when = "evaluation" if torch.is_inference_mode_enabled() else "training"
        if self.has_fault and lacks and when == self.config.when:
            self._fail()
        return Output(self.constant.expand(batch.size))

    def loss(self, output: Output, batch: TrainingBatch) -> Tensor:
        """Squared error."""
        return (output.prediction - batch.target).square().mean()

    def _fail(self) -> None:
        if self.config.once:
            # In a file, because the process that has the fault may not survive it.
            if Path(self.config.once).exists():
                return
            Path(self.config.once).touch()
        match self.config.fault:
            case "killed":
                # From outside, as the system does it when memory is short: a model that kills itself is stopped.
                subprocess.run(["kill", "-KILL", str(os.getpid())], check=True)
            case "memory":
                raise MemoryError("1 TiB requested")
            case "allocation":
                torch.empty(2**50)  # 4 PiB: torch raises its own error, which is no MemoryError
            case "bug":
                raise IndexError("a mistake in the model")


def build(spec: DataSpec, **settings: Any) -> Faulty:
    """The model."""
    return Faulty(configure(FaultyConfig, settings))
