"""Cells whose predictions are in memory, so that they can be analysed without being written to a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.stored_cell import StoredCell

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MemoryCell(StoredCell):
    """A finished cell in memory; it has no file, so its `path` is empty.

    Attributes:
        arrays: Columns of equal length, one value per (draw, condition, sample).
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_columns(cls, cell: Cell, facts: CellFacts, columns: Mapping[str, NDArray[Any]]) -> "MemoryCell":
        """A cell with the columns of a sweep."""
        return cls(Path(), cell, facts, frozenset(columns), "", columns)

    @property
    def predictions(self) -> "pd.DataFrame":
        """One row per (draw, condition, sample): conditions in order, samples in the order of the split."""
        import pandas as pd

        return pd.DataFrame(dict(self.arrays))

    @cached_property
    def samples(self) -> tuple[str, ...]:
        """The ids of the N samples, in order."""
        return tuple(dict.fromkeys(self.arrays["id"]))  # each id occurs V × C times

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Several numeric columns, each (V, C, N); they share memory with `arrays`."""
        draws = int(np.max(self.arrays["draw"])) + 1  # numbered from 0
        shape = (draws, len(self.facts.conditions), -1)
        return {name: self.arrays[name].reshape(shape) for name in names}

    def values(self, name: str) -> list[Any]:
        """Any column as Python's values, one per row."""
        return list(self.arrays[name].tolist())
