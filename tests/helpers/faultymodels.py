"""A model with a fault on order, for tests of what a run makes of it; workers import it by name."""

import os
import signal
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
    """What goes wrong, and when."""

    fault: Literal["killed", "memory", "allocation", "bug"] = "killed"
    when: Literal["training", "evaluation"] = "training"  # of a sample that lacks a modality
    seed: int = 1  # of the one that has the fault
    once: str = ""  # a file: the fault happens only while it is not there, and makes it


class Faulty(nn.Module):
    """Answers a learnt constant, until its fault."""

    def __init__(self, config: FaultyConfig) -> None:
        super().__init__()
        self.config = config
        self.answer = nn.Parameter(torch.zeros(()))
        self.has_fault = torch.initial_seed() == torch_seed("build", config.seed)

    def forward(self, batch: Batch) -> Output:
        """The constant."""
        lacks = any(bool((x.flatten(1) == 0).all(1).any()) for x in batch.features.values())
        when = "evaluation" if torch.is_inference_mode_enabled() else "training"
        if self.has_fault and lacks and when == self.config.when:
            self._fail()
        return Output(self.answer.expand(batch.size))

    def loss(self, output: Output, batch: TrainingBatch) -> Tensor:
        """Squared error."""
        return (output.prediction - batch.target).square().mean()

    def _fail(self) -> None:
        if self.config.once:
            if Path(self.config.once).exists():
                return
            Path(self.config.once).touch()
        match self.config.fault:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "memory":
                raise MemoryError("1 TiB asked for")
            case "allocation":
                torch.empty(2**50)
            case "bug":
                raise IndexError("a mistake in the model")


def build(spec: DataSpec, **settings: Any) -> Faulty:
    """The model."""
    return Faulty(configure(FaultyConfig, settings))
