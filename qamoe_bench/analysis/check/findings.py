"""Findings of a check, and the changes that it tolerates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qamoe_bench.store.store import StoredCell

FindingKind = Literal["worse", "undefined", "lost", "changed protocol", "changed data", "slower", "better"]
Name = tuple[str, str, str, str]
"""Data set, protocol, model, regime: identifies a row on both sides."""
Pairs = Mapping[Name, tuple[Sequence[StoredCell], Sequence[StoredCell]]]
"""The cells of each row of a section in the reference and in the results, of the same seeds in the same order."""


@dataclass(frozen=True)
class Limits:
    """Tolerated changes.

    Attributes:
        tolerance: How much worse a metric may be, in stored units: .01 is one percentage point of accuracy, .01 of
            Corr, and .01 label units of MAE.
        slowdown: The largest factor by which a row's time per sample, relative to the control's, may grow.
    """

    tolerance: float = 0.01
    slowdown: float = 2.0


@dataclass(frozen=True)
class Finding:
    """A change between reference and results.

    Attributes:
        kind: The kind of change; all kinds but `better` are regressions.
        name: The row.
        what: The metric, or `speed`; empty for changes of the whole row.
        where: The level; empty where there is none.
        detail: Values in the reference and in the results, and the interval of the difference.
    """

    kind: FindingKind
    name: Name
    what: str = ""
    where: str = ""
    detail: str = ""

    @property
    def is_regression(self) -> bool:
        """Whether this finding fails a build."""
        return self.kind != "better"
