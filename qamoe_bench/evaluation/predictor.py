"""How a sweep asks a model: with whole batches, or with encodings where the model encodes modalities apart.

Both have one face. `given` makes of a corrupted batch what the model is asked with, `ask` gets the answer to it, and
`ask_with` the answer with other quality scores. What only the model itself does is timed.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qamoe_bench.contract import AcceptsQuality, Batch, Output, TwoStage
from qamoe_bench.corruption.state import Corrupted, untouched
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.encoding_cache import Encodings
from qamoe_bench.evaluation.precision import Precision, at
from qamoe_bench.protocol.spec import Condition


class Clock:
    """Calls at a precision and adds up what the calls take.

    That is processor time on the CPU, which other processes hardly move, and wall time on a GPU.
    """

    def __init__(self, device: torch.device, precision: Precision = "float32") -> None:
        self._device, self._precision = device, precision
        self.seconds = 0.0

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Any:
        """What the function returns."""
        start = self._now()
        result = self.untimed(function, *arguments)
        self.seconds += self._now() - start
        return result

    def untimed(self, function: Callable[..., Any], *arguments: object) -> Any:
        """The same, and its time does not count."""
        if self._precision == "float32":
            return function(*arguments)
        with at(self._precision, self._device):
            return function(*arguments)

    def _now(self) -> float:
        """The time when the device has done all that it was told to."""
        if self._device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self._device)
        return time.perf_counter()


class AsksWhole:
    """Asks a model with whole batches.

    Attributes:
        model: The model.
        clock: Has the time of all that the model did, but for answers with other scores.
        keeps: Whether what is given for a batch is small enough to be kept for a whole condition.
        encodings: How many encodings were asked for, and how many computed.
    """

    keeps = False  # corrupted samples of a whole condition may take as much memory as all the data
    encodings = (0, 0)

    def __init__(self, model: nn.Module, clock: Clock) -> None:
        self.model, self.clock = model, clock

    def given(self, corrupted: Corrupted, start: int, *, anew: bool) -> Batch:
        """What the model is asked with for samples from `start` on; `anew`, nothing that came before is reused."""
        return corrupted.batch

    def ask(self, given: Batch) -> object:
        """The forward pass."""
        return self.clock(self.model, given)

    def ask_with(self, given: Batch, quality: Mapping[str, Tensor]) -> object:
        """See `AcceptsQuality`."""
        assert isinstance(self.model, AcceptsQuality)
        return self.clock.untimed(self.model.predict_with_quality, given, quality)


class AsksApart:
    """Asks a model that is an `TwoStage` with encodings, each of which is computed once; attributes as above."""

    keeps = True

    def __init__(self, model: nn.Module, clock: Clock, samples: Batch, token_ids: Mapping[str, int]) -> None:
        self.model, self.clock = model, clock
        assert isinstance(model, TwoStage)
        self._fuse: Callable[..., object] = model.fuse
        self._encodings = Encodings(model, untouched(samples, token_ids), clock)

    @property
    def encodings(self) -> tuple[int, int]:
        """How many were asked for, and how many computed."""
        return self._encodings.asked, self._encodings.computed

    def given(self, corrupted: Corrupted, start: int, *, anew: bool) -> dict[str, Tensor]:
        """The encodings."""
        return self._encodings.of(corrupted, start, anew=anew)

    def ask(self, given: Mapping[str, Tensor]) -> object:
        """What follows the encoders."""
        return self.clock(self._fuse, given)

    def ask_with(self, given: Mapping[str, Tensor], quality: Mapping[str, Tensor]) -> object:
        """The same with quality scores."""
        return self.clock.untimed(self._fuse, given, quality)


def checked(output: object, size: int, condition: Condition) -> Output:
    """An answer, if it is one."""
    if not isinstance(output, Output):
        raise RunFailed(f"the model returned {type(output).__name__}: expected a qamoe_bench.contract.Output")
    if output.prediction.shape != (size,):
        raise RunFailed(
            f"the model predicted a tensor of shape {tuple(output.prediction.shape)} for {size} samples: "
            f"expected ({size},)"
        )
    if not output.prediction.isfinite().all():
        raise RunFailed(f"the model's predictions are not finite at condition {condition.name!r}")
    return output


def check_same(apart: Output, whole: Output) -> None:
    """That a model's parts make its whole, as far as its numbers tell."""
    close = 1e-3 if whole.prediction.dtype == torch.float32 else 0.1
    if not torch.allclose(apart.prediction, whole.prediction, rtol=close, atol=close):
        raise RunFailed(
            "fuse answers to what encode_modality returns otherwise than the forward pass answers to the whole batch: "
            "expected the same; see qamoe_bench.contract.TwoStage"
        )
