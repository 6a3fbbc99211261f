"""What models cost: counted on the CPU, timed in turn on a device."""

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.cost.counter import count
from qamoe_bench.cost.measure import in_turn, matrix_peak, peak_memory, percentiles
from qamoe_bench.cost.setting import Setting
from qamoe_bench.cost.stages import Parameters, by_stage, parameters
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.precision import Precision, at
from qamoe_bench.provenance.environment import machine, usable_cores, versions

COUNTED = 64
"""Samples that are counted at most; experts are routed from about this many on, and before all of them are computed."""


@dataclass(frozen=True)
class Size:
    """What a model costs on any machine.

    Attributes:
        parameters: How many there are.
        stages: Multiply-adds per sample, by stage.
        batch: How many samples were counted together.
    """

    parameters: Parameters
    stages: Mapping[str, float]
    batch: int

    @property
    def multiply_adds(self) -> float:
        """Per sample, of all stages."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Speed:
    """What a model costs on this machine.

    Attributes:
        seconds: Of every timed pass, by batch size.
        peak_bytes: Weights, inputs and what the pass of the largest batch holds at once.
    """

    seconds: Mapping[int, list[float]]
    peak_bytes: int

    @property
    def samples_per_second(self) -> dict[int, float]:
        """By batch size, in the median pass."""
        return {size: size / statistics.median(seconds) for size, seconds in self.seconds.items()}


@dataclass(frozen=True)
class Machine:
    """Where and how it was measured; `peak` is the measured GFLOP/s of a large product of matrices."""

    device: torch.device
    precision: Precision
    peak: float
    load: tuple[float, ...]
    threads: int

    @property
    def threads_wait(self) -> bool:
        """Whether others left fewer free cores than there are threads, which then wait for each other."""
        return self.device.type == "cpu" and self.threads > 1 and self.load[0] + self.threads > usable_cores() + 1


@dataclass(frozen=True)
class Cost:
    """All about one model."""

    model: str
    size: Size
    speed: Speed
    machine: Machine

    @property
    def gflops(self) -> float:
        """Per sample, two per multiply-add."""
        return 2 * self.size.multiply_adds / 1e9

    @property
    def peak_share(self) -> float:
        """Which part of the machine's measured matrix peak the model reaches, at its largest batch."""
        return self.gflops * self.speed.samples_per_second[max(self.speed.seconds)] / self.machine.peak

    @property
    def latency_ms(self) -> dict[str, float]:
        """Percentiles of a pass of one sample."""
        return percentiles(self.speed.seconds[1])

    def record(self) -> dict[str, Any]:
        """For programs."""
        size, speed, where = self.size, self.speed, self.machine
        return {
            "model": self.model,
            "parameters": size.parameters.all,
            "active_parameters": size.parameters.active,
            "gmacs": size.multiply_adds / 1e9,
            "gflops": self.gflops,
            "stages": {stage: n / 1e9 for stage, n in size.stages.items()},
            "counted_at_batch": size.batch,
            "samples_per_second": {str(n): rate for n, rate in speed.samples_per_second.items()},
            "latency_ms": self.latency_ms,
            "passes": {str(n): len(seconds) for n, seconds in speed.seconds.items()},
            "peak_mib": speed.peak_bytes / 2**20,
            "precision": where.precision,
            "device": where.device.type,
            "threads": where.threads,
            "load": list(where.load),
            "matrix_peak_gflops": where.peak,
            "peak_share": self.peak_share,
            "machine": machine(),
            "versions": versions(),
        }


def costs(
    models: Mapping[str, nn.Module],
    setting: Setting,
    batches: tuple[int, ...],
    precision: Precision,
    device: torch.device,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Cost]:
    """What models cost, in their order; `tell` hears of each step.

    Raises:
        RunFailed: for a model whose multiply-adds cannot be counted, or that does not answer with an `Output`.
    """
    load = tuple(round(x, 2) for x in os.getloadavg())
    counted = setting.batch(min(max(batches), COUNTED))
    found = {}
    for name, model in models.items():
        tell(f"counting {name}")
        found[name] = size_of(name, model, counted)
    tell("timing the machine's matrix product")
    where = Machine(device, precision, matrix_peak(precision, device), load, torch.get_num_threads())
    speeds = _speeds(models, {n: setting.batch(n) for n in batches}, where, tell)
    return [Cost(name, found[name], speeds[name], where) for name in models]


def size_of(name: str, model: nn.Module, batch: Batch) -> Size:
    """Parameters and multiply-adds of a model on the CPU."""
    try:
        counts, output = count(model, batch)
    except RunFailed as error:
        raise RunFailed(f"model {name!r}: {error}") from error
    if not isinstance(output, Output):
        raise RunFailed(f"model {name!r}: expected a qamoe_bench.contract.Output, got {type(output).__name__}")
    stages = {stage: n / batch.size for stage, n in by_stage(counts).items()}
    return Size(parameters(model, output.routing), stages, batch.size)


def _speeds(
    models: Mapping[str, nn.Module], batches: Mapping[int, Batch], where: Machine, tell: Callable[[str], object]
) -> dict[str, Speed]:
    there = {name: model.to(where.device) for name, model in models.items()}
    seconds: dict[str, dict[int, list[float]]] = {name: {} for name in models}
    peaks = {}
    with at(where.precision, where.device):
        for size, samples in batches.items():
            tell(f"timing passes of {size}")
            passes = {name: partial(model, samples.to(where.device)) for name, model in there.items()}
            for name, found in in_turn(passes, where.device).items():
                seconds[name][size] = found
    for name, run in passes.items():
        tell(f"memory of {name}")
        peaks[name] = _held(there[name], samples) + peak_memory(run, where.precision, where.device)
    return {name: Speed(seconds[name], peaks[name]) for name in models}


def _held(model: nn.Module, batch: Batch) -> int:
    """Bytes of weights, buffers and inputs."""
    tensors = [*model.parameters(), *model.buffers(), *batch.features.values(), *batch.lengths.values()]
    return sum(x.nbytes for x in tensors)
