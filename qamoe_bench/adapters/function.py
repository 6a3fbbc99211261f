"""A function from arrays to numbers as a model of the contract.

Dimension legend: B samples.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from qamoe_bench.adapters.arrays import ArrayBatch, as_arrays
from qamoe_bench.adapters.probabilities import are_probabilities, output_of_probabilities
from qamoe_bench.contract import Batch, Output
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.vocabulary import REGRESSION, Task

PredictFunction = Callable[[ArrayBatch], Any]
"""Returns one number per sample (B,), or the probabilities (B, C) of C classes or labels, or a dictionary with them as
`prediction` and optionally `variance` and `quality`."""

KEYS = ("prediction", "variance", "quality")


class FunctionModel(nn.Module):
    """A model without parameters whose forward pass is a function of arrays.

    Attributes:
        function: The function.
        name: Its name, for tables and error messages.
        task: What it predicts.
    """

    def __init__(self, function: PredictFunction, name: str = "", task: Task = REGRESSION) -> None:
        super().__init__()
        self.function = function
        self.task = task
        own = getattr(function, "__name__", type(function).__name__)
        self.name = name or ("function" if own == "<lambda>" else own)

    def forward(self, batch: Batch) -> Output:
        """What the function returns for a batch.

        Raises:
            BenchError: If it raises an exception, or returns anything but one finite number per sample.
        """
        try:
            returned = self.function(as_arrays(batch))
        except BenchError:
            raise
        except Exception as error:
            message = str(error).strip().partition("\n")[0]
            raise BenchError(
                f"function {self.name!r}: expected one number for each of {batch.size} samples, got "
                f"{type(error).__name__}: {message}; correct the function"
            ) from error
        parts = returned if isinstance(returned, Mapping) else {"prediction": returned}
        for key in parts:
            if key not in KEYS:
                raise unknown_name(f"key of what function {self.name!r} returns", str(key), KEYS)
        return self._output(parts, batch)

    def _output(self, parts: Mapping[str, Any], batch: Batch) -> Output:
        if "prediction" not in parts:
            raise BenchError(
                f"function {self.name!r}: expected 'prediction' in the dictionary that it returns, got "
                f"{', '.join(map(repr, parts)) or 'an empty one'}; add it"
            )
        quality = parts.get("quality", {})
        if not isinstance(quality, Mapping) or not set(quality) <= set(batch.modalities):
            raise BenchError(
                f"function {self.name!r}: expected 'quality' as a dictionary with keys among "
                f"{', '.join(batch.modalities)}, got {_described(quality)}; correct it"
            )
        device = batch.lengths[batch.modalities[0]].device
        variance = None
        if parts.get("variance") is not None:
            variance = self._numbers(parts["variance"], "variances", batch.size, above=0.0)
        scores = {}
        for m, values in quality.items():
            scores[m] = self._numbers(values, f"quality scores of {m}", batch.size, between=(0.0, 1.0)).to(device)
        certainty = None if variance is None else variance.to(device)
        if self.task.is_regression:
            prediction = self._numbers(parts["prediction"], "predictions", batch.size)
            return Output(prediction.to(device), certainty, scores)
        answers = self._probabilities(parts["prediction"], batch.size).to(device)
        return output_of_probabilities(answers, self.task, variance=certainty, quality=scores)

    def _probabilities(self, values: object, size: int) -> Float[Tensor, "B C"]:
        """The returned probabilities, after all checks."""
        shape = (size, self.task.outputs)
        array = _as_array(values)
        if array is None or array.dtype.kind not in "fiu" or array.shape != shape:
            got = _described(values) if array is None else f"an array of shape {array.shape}"
            advice = f"return the probability of each of {', '.join(self.task.names)}"
            raise self._wrong("predictions", f"an array of shape {shape}", got, advice)
        probabilities = torch.from_numpy(array.astype(np.float32))
        is_wrong = ~are_probabilities(probabilities, self.task)
        if is_wrong.any():
            got = f"{array[is_wrong.numpy()][0].tolist()} ({int(is_wrong.sum())} of {size} samples are wrong)"
            sums = ", that sum to 1" if self.task.kind == "classes" else ""
            raise self._wrong("predictions", f"probabilities from 0 to 1{sums}", got, "normalise them")
        return probabilities

    def _numbers(
        self,
        values: object,
        what: str,
        size: int,
        above: float = -np.inf,
        between: tuple[float, float] = (-np.inf, np.inf),
    ) -> Float[Tensor, " B"]:
        """Some returned values as float32, after all checks."""
        array = _as_array(values)
        if array is None or array.dtype.kind not in "fiu":
            raise self._wrong(what, f"{size} numbers", _described(values), "return a NumPy array of numbers")
        # A second dimension of 1 is what scikit-learn returns for labels of two dimensions.
        if array.shape not in ((size,), (size, 1)):
            got = f"an array of shape {array.shape}"
            raise self._wrong(what, f"an array of shape ({size},)", got, "return one number per sample")
        with np.errstate(over="ignore"):
            numbers: NDArray[np.float32] = array.reshape(size).astype(np.float32)
        low, high = between
        for is_wrong, expected in (
            (~np.isfinite(numbers), "finite numbers"),
            (~(numbers > above), f"numbers above {above:g}"),
            (~((numbers >= low) & (numbers <= high)), f"numbers from {low:g} to {high:g}"),
        ):
            if is_wrong.any():
                got = f"{numbers[is_wrong][0]} ({int(is_wrong.sum())} of {size} are wrong)"
                advice = "a missing modality is all zeros, so do not divide by its sum or norm"
                raise self._wrong(what, expected, got, advice if expected == "finite numbers" else "correct them")
        return torch.from_numpy(numbers)

    def _wrong(self, what: str, expected: str, got: str, remedy: str) -> BenchError:
        return BenchError(f"function {self.name!r}: expected {expected} as {what}, got {got}; {remedy}")


def _as_array(values: object) -> NDArray[Any] | None:
    """Values of any library as an array; None where they are no rectangle of values."""
    if isinstance(values, Tensor):
        # NumPy has no bfloat16.
        values = values.detach().cpu().float() if values.is_floating_point() else values.cpu()
        return np.asarray(values.numpy())
    try:
        return np.asarray(values)
    except Exception:  # ragged lists, and whatever a class raises in `__array__`
        return None


def _described(values: object) -> str:
    if values is None or isinstance(values, str | int | float):
        return repr(values)
    array = _as_array(values)
    if array is None or array.dtype.kind == "O":
        return f"an object of type {type(values).__name__}"
    return f"an array of shape {array.shape} and type {array.dtype}"
