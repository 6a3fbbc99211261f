"""The cost of models: multiply-adds counted on the CPU, time and memory measured on a device."""

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
from qamoe_bench.cost.stages import ParameterCount, Prefixes, by_stage, count_parameters
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.precision import Precision, at
from qamoe_bench.provenance.environment import machine, usable_cores, versions

COUNTED = 64
"""Largest batch that is counted. From about this size on, experts compute only the tokens routed to them."""


@dataclass(frozen=True)
class Size:
    """The costs of a model that do not depend on the machine.

    Attributes:
        parameters: Number of parameters.
        stages: Multiply-adds per sample, by stage.
        batch: Number of samples that were counted together.
    """

    parameters: ParameterCount
    stages: Mapping[str, float]
    batch: int

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds per sample, summed over all stages."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Speed:
    """The costs of a model on this machine.

    Attributes:
        seconds: Wall time of every timed pass, by batch size.
        peak_bytes: Weights, inputs, and the most that a pass of the largest batch allocates at one time.
    """

    seconds: Mapping[int, list[float]]
    peak_bytes: int

    @property
    def samples_per_second(self) -> dict[int, float]:
        """Throughput of the median pass, by batch size."""
        # The median, because single passes are disturbed by other processes.
        return {size: size / statistics.median(seconds) for size, seconds in self.seconds.items()}


@dataclass(frozen=True)
class Machine:
    """Where and how speed was measured.

    Attributes:
        device: Device of the passes.
        precision: Precision of the passes.
        peak: Measured GFLOP/s of a product of large matrices.
        load: Load averages over 1, 5 and 15 minutes before the measurement.
        threads: Number of threads that torch uses on the CPU.
    """

    device: torch.device
    precision: Precision
    peak: float
    load: tuple[float, ...]
    threads: int

    @property
    def threads_wait(self) -> bool:
        """Whether other processes left fewer free cores than torch has threads, so that threads wait for each other."""
        return self.device.type == "cpu" and self.threads > 1 and self.load[0] + self.threads > usable_cores() + 1


@dataclass(frozen=True)
class Cost:
    """The cost of one model."""

    model: str
    size: Size
    speed: Speed
    machine: Machine

    @property
    def gflops(self) -> float:
        """GFLOPs per sample, two per multiply-add."""
        return 2 * self.size.multiply_adds / 1e9

    @property
    def peak_share(self) -> float:
        """Share of the machine's measured matrix peak that the model reaches at its largest batch."""
        return self.gflops * self.speed.samples_per_second[max(self.speed.seconds)] / self.machine.peak

    @property
    def latency_ms(self) -> dict[str, float]:
        """Percentiles of the time of a pass of one sample, in ms."""
        return percentiles(self.speed.seconds[1])

    def record(self) -> dict[str, Any]:
        """The cost as a JSON object, with the machine and the versions that it was measured with."""
        size = self.size
        speed = self.speed
        where = self.machine
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


def measure_costs(
    models: Mapping[str, nn.Module],
    setting: Setting,
    batches: tuple[int, ...],
    precision: Precision,
    device: torch.device,
    log: Callable[[str], object] = lambda _: None,
) -> list[Cost]:
    """Count and time models.

    Args:
        models: Models in evaluation mode, by name.
        setting: The data to measure on.
        batches: Batch sizes to time, 1 among them.
        precision: Precision of the timed passes; counting is always in float32.
        device: Device of the timed passes.
        log: Called with a line before each step.

    Returns:
        One cost per model, in the order of `models`.

    Raises:
        RunFailed: If the multiply-adds of a model cannot be counted, or its forward pass does not return an `Output`.
    """
    load = tuple(round(x, 2) for x in os.getloadavg())  # before this process adds its own
    counted = setting.batch(min(max(batches), COUNTED))
    sizes: dict[str, Size] = {}
    for name, model in models.items():
        log(f"counting {name}")
        sizes[name] = size_of(name, model, counted, setting.stages(name))
    log("timing the machine's matrix product")
    where = Machine(device, precision, matrix_peak(precision, device), load, torch.get_num_threads())
    speeds = _measure_speeds(models, {n: setting.batch(n) for n in batches}, where, log)
    return [Cost(name, sizes[name], speeds[name], where) for name in models]


def size_of(name: str, model: nn.Module, batch: Batch, declared: Prefixes | None = None) -> Size:
    """Parameters and multiply-adds of a model on the CPU.

    Args:
        name: The model's name, for error messages.
        model: The model.
        batch: Samples to count on.
        declared: Prefixes of the stages in the model's card.

    Raises:
        RunFailed: If the multiply-adds cannot be counted, or the forward pass does not return an `Output`.
    """
    try:
        counts, output = count(model, batch)
    except RunFailed as error:
        raise RunFailed(f"model {name!r}: {error}") from error
    if not isinstance(output, Output):  # possible for third-party models, which nothing has run before
        raise RunFailed(f"model {name!r}: expected a qamoe_bench.contract.Output, got {type(output).__name__}")
    stages = {stage: n / batch.size for stage, n in by_stage(counts, declared).items()}
    return Size(count_parameters(model, output.routing, declared), stages, batch.size)


def _measure_speeds(
    models: Mapping[str, nn.Module], batches: Mapping[int, Batch], where: Machine, log: Callable[[str], object]
) -> dict[str, Speed]:
    on_device = {name: model.to(where.device) for name, model in models.items()}
    seconds: dict[str, dict[int, list[float]]] = {name: {} for name in models}
    peaks: dict[str, int] = {}
    with at(where.precision, where.device):
        for size, samples in batches.items():
            log(f"timing passes of {size}")
            passes = {name: partial(model, samples.to(where.device)) for name, model in on_device.items()}
            for name, times in in_turn(passes, where.device).items():
                seconds[name][size] = times
    # Memory is that of the last, largest batch; outside `at`, because `peak_memory` enters it itself.
    for name, run in passes.items():
        log(f"memory of {name}")
        peaks[name] = _resident_bytes(on_device[name], samples) + peak_memory(run, where.precision, where.device)
    return {name: Speed(seconds[name], peaks[name]) for name in models}


def _resident_bytes(model: nn.Module, batch: Batch) -> int:
    """Bytes of weights, buffers and inputs, which exist before the pass."""
    tensors = [*model.parameters(), *model.buffers(), *batch.features.values(), *batch.lengths.values()]
    return sum(x.nbytes for x in tensors)
