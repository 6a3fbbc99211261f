"""A test set under one condition and draw, the checked output of a model for it, and trials that go together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from qamoe_bench.contract import MapsFrames, Output
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.evaluation.checks import check_output
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import seeded

AFFORDABLE = -1
"""In place of a number of permutations: as many as the stages of the model make affordable, see `Predictor`."""
TOGETHER = 10
"""At most so many trials are computed together; their inputs of models and their results are held at the same time."""


@dataclass(frozen=True, eq=False)
class Trial:
    """The samples of a test set under one condition and draw; a trial equals itself alone.

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

    def rows(self) -> Iterator[slice]:
        """The rows of each batch in the test set, in order."""
        for start in range(0, len(self.test.ids), self.batch_size):
            yield slice(start, start + self.batch_size)

    def corrupted(self, rows: slice) -> Corrupted:
        """Some samples in the trial's condition."""
        return self.test.corrupted(self.condition, rows, self.draw)

    def output(self, predict: Callable[..., object], rows: slice, *arguments: object) -> Output:
        """The checked output of a prediction for some rows."""
        # A model that samples in evaluation draws the same numbers at every call, with whatever quality scores.
        with seeded("sweep", *self.words, rows.start):
            where = f"at condition {self.condition.name!r}"
            return check_output(predict(*arguments), len(self.test.ids[rows]), where, self.test.data.task)


def trials_of(
    test: TestSet, blocks: Sequence[tuple[int, Condition]], batch_size: int, permutations: int = AFFORDABLE
) -> list[Trial]:
    """A trial for each draw and condition, in order, of which the first is timed."""
    return [Trial(test, condition, draw, batch_size, not i, permutations) for i, (draw, condition) in enumerate(blocks)]


def groups(trials: Sequence[Trial], model: object) -> Iterator[list[Trial]]:
    """Trials that are computed together, in order.

    They are of one draw, so that its random numbers are made once, and more than one only for a model that encodes what
    several conditions leave of mapped frames in one pass.
    """
    size = TOGETHER if isinstance(model, MapsFrames) else 1
    for _, of_draw in groupby(trials, key=lambda trial: trial.draw):
        same = list(of_draw)
        for start in range(0, len(same), size):
            yield same[start : start + size]


def batches_of(trials: Sequence[Trial]) -> Iterator[tuple[Trial, slice, Corrupted, list[Corrupted]]]:
    """Every batch of a group in each of its trials: the trial, rows, corrupted samples and those of later trials."""
    for rows in trials[0].rows():
        pending = [trial.corrupted(rows) for trial in trials]
        for trial in trials:
            yield trial, rows, pending.pop(0), pending
