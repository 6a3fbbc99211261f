"""How a model is trained on a protocol in the regime `sweep`: the optional table `[training]` of a protocol file.

[training]                  every key is optional; without the table, all have their defaults
levels = "shared"           one level of each axis per sample, or "per-modality": one for each of its modalities
range = {eta = [0.0, 1.0]}  lowest and highest level drawn; default: those of the axis
untouched = 0.5             share of samples without corruption; with "per-modality", drawn for each modality
source = "..."              who trains like this
protocol = "frame-missing"  train on another protocol, by name or path, as its own file says; no other key then

Levels are uniform between the ends of their range. Where a definition is a table of levels, the levels of the axis are
drawn instead, and of a protocol of named points its points are drawn, all with equal probability.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.vocabulary import axis_symbol

LevelsPer = Literal["shared", "per-modality"]
KEYS = ("protocol", "levels", "range", "untouched", "source")
Range = tuple[float, float]
"""Lowest and highest level."""


@dataclass(frozen=True)
class TrainingDraw:
    """How the corruption of each training sample is drawn.

    Attributes:
        levels: `shared`: one level of each axis per sample; `per-modality`: one for each modality of the sample.
        ranges: Ends of the uniform distribution of an axis; an axis that is not listed draws one of its levels.
        untouched: Share of samples without corruption; with `per-modality`, drawn for each modality.
        source: Who trains in this way; empty if nobody is named.
    """

    levels: LevelsPer = "shared"
    ranges: Mapping[str, Range] = field(default_factory=dict)
    untouched: float = 0.0
    source: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """Everything that determines the training samples, as plain values."""
        ranges = {axis: list(ends) for axis, ends in self.ranges.items()}
        return {"levels": self.levels, "ranges": ranges, "untouched": self.untouched}

    def sentence(self, axes: Iterable[str], points: int, per: Literal["sample", "batch"] = "sample") -> str:
        """What is drawn, in words.

        Args:
            axes: Axes of the protocol.
            points: Number of its named points; 0 where it has axes or a single condition.
            per: What draws are made for, see `levels_per` of the training loop.
        """
        unit = f"modality of a {per}" if self.levels == "per-modality" else per
        drawn = [self._of_axis(axis, unit) for axis in axes]
        if points:
            drawn.append(f"one of the {points} conditions per {per}")
        if not drawn:
            drawn.append("the one condition for every sample")
        words = " and ".join(drawn)
        if self.untouched:
            words += f"; each {unit} stays untouched with a chance of {100 * self.untouched:g} %"
        return words

    def _of_axis(self, axis: str, unit: str) -> str:
        symbol = axis_symbol(axis)
        if axis not in self.ranges:
            return f"one of the levels of {symbol} per {unit}"
        low, high = self.ranges[axis]
        return f"one {symbol} from U({low:g}, {high:g}) per {unit}"


def read_training(
    where: str, table: object, axes: Mapping[str, Sequence[float]], corruptions: Sequence[Mapping[str, Any]]
) -> TrainingDraw:
    """The table `[training]` of a protocol, without its key `protocol`.

    Args:
        where: Name of the protocol in error messages.
        table: The content of the table, unchecked.
        axes: Axes of the protocol with their levels.
        corruptions: Its steps, see `qamoe_bench.protocol.spec.Protocol`.

    Raises:
        BenchError: for a key or value that is unknown, or that contradicts the rest of the protocol.
    """
    checked = _checked_table(where, table)
    levels = checked.get("levels", "shared")
    if levels not in get_args(LevelsPer):
        raise BenchError(f"{where}: {unknown_name('levels', str(levels), get_args(LevelsPer))}")
    if levels == "per-modality":
        _check_per_modality(where, axes, corruptions)
    return TrainingDraw(
        levels,
        _ranges(where, checked.get("range", {}), axes, corruptions),
        _untouched(where, checked),
        _source(checked),
    )


def _checked_table(where: str, table: object) -> Mapping[str, Any]:
    if not isinstance(table, dict):
        raise BenchError(f"{where}: expected a table, got {table!r}; write its keys below [training]")
    for key in table:
        if key not in KEYS:
            raise BenchError(f"{where}: {unknown_name('key', key, KEYS)}")
    source = table.get("source", "-")
    if not isinstance(source, str) or not source.strip():
        raise BenchError(f"{where}: expected a sentence in 'source', got {source!r}; write one, or leave it out")
    return table


def _source(table: Mapping[str, Any]) -> str:
    return str(table.get("source", "")).strip()


def _check_per_modality(
    where: str, axes: Mapping[str, Sequence[float]], corruptions: Sequence[Mapping[str, Any]]
) -> None:
    if not axes:
        raise BenchError(f"{where}: expected [axes], whose levels \"per-modality\" draws, got none; leave 'levels' out")
    for corruption in corruptions:
        if kind_named(corruption["kind"]).joint:
            raise BenchError(
                f'{where}: expected levels = "shared" with {corruption["kind"]!r}, which decides for all modalities '
                "together, got \"per-modality\"; leave 'levels' out"
            )


def _ranges(
    where: str, table: object, axes: Mapping[str, Sequence[float]], corruptions: Sequence[Mapping[str, Any]]
) -> dict[str, Range]:
    """The ends of every axis that is drawn from a range."""
    if not isinstance(table, dict):
        raise BenchError(
            f"{where}: expected the ends of each axis in 'range', got {table!r}; write it as {{eta = [0.0, 1.0]}}"
        )
    for axis in table:
        if not axes:
            raise BenchError(f"{where}: expected no 'range', since the protocol has no axes; remove it")
        if axis not in axes:
            raise BenchError(f"{where}: {unknown_name('axis', axis, axes)}")
    ranges = {}
    for axis, levels in axes.items():
        highest = _highest(axis, corruptions)
        if highest is not None:
            ranges[axis] = _ends(where, axis, table[axis], highest) if axis in table else (levels[0], levels[-1])
        elif axis in table:
            raise BenchError(
                f"{where}: expected no 'range' of {axis!r}, of which only single levels are defined; remove it"
            )
    return ranges


def _highest(axis: str, corruptions: Sequence[Mapping[str, Any]]) -> float | None:
    """The largest level that every kind on this axis allows; None if only single levels are defined."""
    highest = float("inf")
    for corruption in corruptions:
        if axis in corruption["levels"].values():
            kind = kind_named(corruption["kind"])
            if kind.allowed:
                return None
            highest = min(highest, kind.highest)
    return highest


def _ends(where: str, axis: str, value: object, highest: float) -> Range:
    ends = [float(end) for end in value if type(end) in (int, float)] if isinstance(value, list) else []
    # Written this way round, NaN is refused too.
    if ends != value or len(ends) != 2 or not 0 <= ends[0] < ends[1] <= highest or ends[1] == float("inf"):
        limit = f"at most {highest:g}" if highest < float("inf") else "below infinity"
        raise BenchError(
            f"{where}: expected two rising levels from 0 up, {limit}, as the range of {axis!r}, got {value!r}; "
            "correct it"
        )
    return ends[0], ends[1]


def _untouched(where: str, table: Mapping[str, Any]) -> float:
    share = table.get("untouched", 0.0)
    if type(share) not in (int, float) or not 0 <= share < 1:
        raise BenchError(
            f"{where}: expected a share from 0 to below 1 in 'untouched', got {share!r}; correct it (with all samples "
            "untouched it is the regime 'clean')"
        )
    return float(share)
