"""What a check can find, and what it tolerates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qamoe_bench.store.store import StoredCell

FindingKind = Literal["worse", "undefined", "lost", "changed protocol", "changed data", "slower", "better"]
Name = tuple[str, str, str, str]
"""Data set, protocol, model, regime: what a row is called on both sides."""
Pairs = Mapping[Name, tuple[Sequence[StoredCell], Sequence[StoredCell]]]
"""The cells of each row on both sides, of the same seeds in the same order."""


@dataclass(frozen=True)
class Limits:
    """What is tolerated.

    Attributes:
        tolerance: How much worse a metric may be, as it is stored: .01 is a point of accuracy, .01 of Corr, and .01
            label units of MAE.
        slowdown: How many times the control's time per sample a row may gain.
    """

    tolerance: float = 0.01
    slowdown: float = 2.0


@dataclass(frozen=True)
class Finding:
    """Something that moved.

    Attributes:
        kind: What happened; everything but `better` is a regression.
        name: The row.
        what: The metric, where it is one.
        where: The level, where there is one.
        detail: Numbers: reference, now, and the interval of the difference.
    """

    kind: FindingKind
    name: Name
    what: str = ""
    where: str = ""
    detail: str = ""

    @property
    def is_regression(self) -> bool:
        """Whether this fails a build."""
        return self.kind != "better"
