"""Values over intervals of time, and their means over other intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Track:
    """Values over intervals, in order of their start.

    Attributes:
        values: One row per interval.
        start: Start of each interval, rising.
        end: End of each interval.
        order: Which row of the file each one is.
    """

    values: NDArray[Any]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    order: NDArray[np.int64]

    @staticmethod
    def of(values: NDArray[Any], intervals: NDArray[np.float64]) -> "Track":
        """Rows in the order of a file; times that are no numbers count as 0."""
        times = np.where(np.isfinite(intervals), intervals, 0.0)
        order = np.argsort(times[:, 0], kind="stable")
        return Track(values[order], times[order, 0], times[order, 1], order)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, rows: NDArray[np.bool_] | slice) -> "Track":
        """Some of the intervals."""
        return Track(self.values[rows], self.start[rows], self.end[rows], self.order[rows])

    def text(self) -> list[str]:
        """The values as text, of which there is one per interval."""
        cells = self.values[:, 0].tolist()
        return [c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in cells]

    def overlapping(self, others: "Track") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each of other intervals the first of these that overlaps it and the one after the last."""
        reached = np.maximum.accumulate(self.end)  # ends rise with the starts but for odd intervals
        first = np.searchsorted(reached, others.start, "right")
        last = np.searchsorted(self.start, others.end, "left")
        return first, np.maximum(first, last)

    def overlaps(self, others: "Track") -> int:
        """How many pairs of these and other intervals overlap."""
        first, last = self.overlapping(others)
        return int((last - first).sum())

    def means(self, others: "Track") -> NDArray[np.float32]:
        """The mean over all that overlaps each of other intervals; zero where nothing does.

        What is not finite counts as 0.
        """
        first, last = self.overlapping(others)
        end = np.zeros((1, self.values.shape[1]))  # so that an interval may reach to the last row
        finite = np.where(np.isfinite(self.values), self.values, 0.0)
        sums = np.add.reduceat(np.concatenate([finite, end]), np.stack([first, last], 1).reshape(-1), axis=0)[::2]
        sums[first == last] = 0.0  # where reduceat gives the row itself
        with np.errstate(over="ignore"):
            return np.asarray(sums / np.maximum(last - first, 1)[:, None], np.float32)
