"""Time that a model's own computations take."""

import time
from collections.abc import Callable
from typing import Any

import torch

from qamoe_bench.evaluation.precision import Precision, at


class Clock:
    """Calls functions at a precision and sums the time that the calls take.

    The time is processor time on the CPU, which other processes hardly affect, and wall time on a GPU.

    Attributes:
        seconds: Time of all calls so far.
    """

    def __init__(self, device: torch.device, precision: Precision = "float32") -> None:
        self._device = device
        self._precision = precision
        self.seconds = 0.0

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function and add the time that it takes; returns what the function returns."""
        start = self._now()
        result = self.untimed(function, *arguments)
        self.seconds += self._now() - start
        return result

    def untimed(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function at the same precision without adding its time."""
        if self._precision == "float32":
            return function(*arguments)
        with at(self._precision, self._device):
            return function(*arguments)

    def _now(self) -> float:
        """The current time, after the device has finished all queued work."""
        if self._device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self._device)
        return time.perf_counter()
