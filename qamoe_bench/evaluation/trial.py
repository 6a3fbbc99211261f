"""A test set under one condition and draw, and the checked output of a model for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qamoe_bench.contract import Output
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.checks import check_output
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import seeded

AFFORDABLE = -1
"""In place of a number of permutations: as many as the stages of the model make affordable, see `Predictor`."""


@dataclass(frozen=True)
class Trial:
    """The samples of a test set under one condition and draw.

    Attributes:
        test: The samples before corruption.
        condition: The corruption.
        draw: Which of the seed's independent draws.
        batch_size: Samples per batch.
        first: Whether it is the first trial of a sweep, in which no cached encoding is used, so that it can be timed.
        permutations: How many permutations of the quality scores are tried, or `AFFORDABLE`.
    """

    test: TestSet
    condition: Condition
    draw: int
    batch_size: int
    first: bool
    permutations: int = AFFORDABLE

    @property
    def words(self) -> tuple[object, ...]:
        """What addresses the random numbers of the trial."""
        return self.test.seed, self.draw, self.condition.name

    def batches(self) -> Iterator[tuple[slice, Corrupted]]:
        """The samples in order, with their rows in the test set."""
        for start in range(0, len(self.test.ids), self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield rows, self.test.corrupted(self.condition, rows, self.draw)

    def output(self, predict: Callable[..., object], rows: slice, *arguments: object) -> Output:
        """The checked output of a prediction for some rows."""
        # A model that samples in evaluation draws the same numbers at every call, with whatever quality scores.
        with seeded("sweep", *self.words, rows.start):
            where = f"at condition {self.condition.name!r}"
            return check_output(predict(*arguments), len(self.test.ids[rows]), where, self.test.data.task)
