"""Values over time intervals, and their means over other intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Track:
    """Values over n intervals, sorted by their start.

    Attributes:
        values: One row per interval [n, D].
        start: Start of each interval [n], ascending, in seconds.
        end: End of each interval [n], in seconds.
        order: Row of each interval in the file [n].
    """

    values: NDArray[Any]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    order: NDArray[np.int64]

    @staticmethod
    def sorted_by_start(values: NDArray[Any], intervals: NDArray[np.float64]) -> "Track":
        """A track from the rows of a file.

        Args:
            values: One row per interval [n, D].
            intervals: Start and end of each [n, 2], in seconds; times that are not finite count as 0.
        """
        times = np.where(np.isfinite(intervals), intervals, 0.0)
        order = np.argsort(times[:, 0], kind="stable")
        return Track(values[order], times[order, 0], times[order, 1], order)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, rows: NDArray[np.bool_] | slice) -> "Track":
        """A track of some of the intervals."""
        return Track(self.values[rows], self.start[rows], self.end[rows], self.order[rows])

    def text(self) -> list[str]:
        """The first column of the values, which are text."""
        return [str(cell) for cell in self.values[:, 0]]

    def overlapping(self, others: "Track") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of this track that overlap each interval of another track.

        Returns:
            The first overlapping row and the one after the last, for each of the other intervals; both are equal if
            nothing overlaps.
        """
        # Intervals of the same track may be nested; the running maximum of the ends is sorted nevertheless.
        latest_end = np.maximum.accumulate(self.end)
        first = np.searchsorted(latest_end, others.start, "right")
        last = np.searchsorted(self.start, others.end, "left")
        return first, np.maximum(first, last)

    def overlaps(self, others: "Track") -> int:
        """The number of pairs of an interval of this track and one of another that overlap."""
        first, last = self.overlapping(others)
        return int((last - first).sum())

    def means(self, others: "Track") -> NDArray[np.float32]:
        """The mean of all values that overlap each interval of another track [m, D].

        Values that are not finite count as 0, and the mean is 0 where nothing overlaps.
        """
        first, last = self.overlapping(others)
        finite = np.where(np.isfinite(self.values), self.values, 0.0)
        # `reduceat` needs indices below the number of rows, but `last` may be one after the last row.
        sentinel = np.zeros((1, self.values.shape[1]))
        bounds = np.stack([first, last], 1).reshape(-1)  # first, last, first, last, ...
        sums = np.add.reduceat(np.concatenate([finite, sentinel]), bounds, axis=0)  # (2m, D)
        sums = sums[::2]  # drops the sums from `last` to the next `first`
        sums[first == last] = 0.0  # for an empty range `reduceat` returns the row itself
        counts = np.maximum(last - first, 1)  # (m,)
        with np.errstate(over="ignore"):
            return np.asarray(sums / counts[:, None], np.float32)
