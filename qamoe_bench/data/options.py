"""How a data file is read where the file itself leaves it open: the scale of its labels, and what the user accepts."""

import math
from dataclasses import dataclass

from qamoe_bench.errors import BenchError


@dataclass(frozen=True)
class ReadingOptions:
    """Choices of the user about a data file; each has an option of the same name on the command line.

    Attributes:
        label_range: Lowest and highest value of the annotation scale, in the units of the file. None for a scale from
            -3 to 3, or from -1 to 1 if no label is outside.
        drop_bad_labels: Leave out samples whose label is missing, no number, or outside of the scale.
        accept_unknown_tokens: Let a language model read token ids that may be of another vocabulary, or texts with
            many tokens that it does not know.

    Raises:
        BenchError: The range is not two finite numbers in ascending order.
    """

    label_range: tuple[float, float] | None = None
    drop_bad_labels: bool = False
    accept_unknown_tokens: bool = False

    def __post_init__(self) -> None:
        if self.label_range is None:
            return
        low, high = self.label_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise BenchError(
                f"--label-range {low:g} {high:g}: expected two numbers in ascending order, as in --label-range 1 7"
            )


DEFAULT_READING = ReadingOptions()
"""Nothing chosen: labels of an unclear scale, bad labels and unknown tokens are refused."""
