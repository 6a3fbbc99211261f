"""Probabilities that models of other code return for classes or labels.

Dimension legend: B samples, C classes or labels.
"""

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.contract import Output
from qamoe_bench.nn.answers import probable_output
from qamoe_bench.vocabulary import Task

SUM_TOLERANCE = 1e-3
"""How far the sum of a sample's probabilities may be from 1, which half precision needs."""
LEAST_PROBABILITY = 1e-30
"""What a probability of 0 counts as, so that its logarithm is finite in single precision."""


def are_probabilities(values: Float[Tensor, "B C"], task: Task) -> Bool[Tensor, " B"]:
    """Whether the values of each sample lie in [0, 1] and, of classes, sum to 1."""
    in_range = ((values >= 0) & (values <= 1)).all(-1)
    if task.kind == "multi-label":
        return in_range
    return in_range & ((values.sum(-1) - 1).abs() <= SUM_TOLERANCE)


def output_of_probabilities(values: Float[Tensor, "B C"], task: Task, **others: Any) -> Output:
    """The `Output` with the logarithms of probabilities, and other attributes of an `Output`."""
    return probable_output(values.clamp(min=LEAST_PROBABILITY).log(), task, **others)
