"""Which corruptions of an evaluated protocol did not occur in training: facts that are stored with a cell.

A corruption counts as seen if its kind was applied to the same modality with the same options, at levels from the range
of the evaluated ones. Kinds are compared by name: another kind may well leave similar samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.training.exposure import DrawnLevels, Exposure


@dataclass(frozen=True)
class _Seen:
    """A corruption of one modality in training, and the lowest and highest of its levels."""

    options: Mapping[str, Any]
    low: float
    high: float


_Step = tuple[str, str]
"""Kind of corruption and modality."""


def training_facts(
    exposure: Exposure | None, protocol: Protocol, per: Literal["sample", "batch"] = "sample"
) -> dict[str, Any]:
    """What weights were trained on, and what of a protocol they have not seen.

    Args:
        exposure: What they were trained on; None for one specialist per condition of the protocol.
        protocol: The protocol that they are evaluated under.
        per: What levels were drawn for, see `TrainConfig.levels_per`.

    Returns:
        `on`: name of the protocol, `clean`, or `each condition`; `own`: whether it is the evaluated one; `draw`: how
        its levels were drawn, empty if they were not; `seen`: `all`, `in part` or `no`; `unseen`: phrases, such as
        `frame-missing of text at 0.8 to 1`.
    """
    if exposure is None:
        return {"on": "each condition", "own": True, "draw": "", "seen": "all", "unseen": []}
    parts = _unseen_parts(protocol, _seen(exposure))
    facts = {"seen": _verdict(protocol, parts), "unseen": _phrases(protocol, parts)}
    if isinstance(exposure, DrawnLevels):
        trained = exposure.protocol
        draw = exposure.training.sentence(trained.axes, len(trained.points), per)
        return {"on": trained.name, "own": trained.digest == protocol.digest, "draw": draw, **facts}
    return {"on": exposure.condition.name, "own": False, "draw": "", **facts}


def _seen(exposure: Exposure) -> dict[_Step, _Seen]:
    if not isinstance(exposure, DrawnLevels):
        return _ranges([exposure.condition])
    seen = _ranges(exposure.protocol.conditions)
    # An axis may be drawn from beyond its declared levels.
    for corruption in exposure.protocol.corruptions:
        for modality, level in corruption["levels"].items():
            if level in exposure.training.ranges:
                step = (corruption["kind"], modality)
                seen[step] = _Seen(corruption["options"], *exposure.training.ranges[level])
    return seen


def _ranges(conditions: Iterable[Condition]) -> dict[_Step, _Seen]:
    """Every corruption with the ends of its levels over all conditions."""
    ranges: dict[_Step, _Seen] = {}
    for condition in conditions:
        for step in condition.steps:
            for modality, level in step.levels.items():
                before = ranges.get((step.kind, modality), _Seen(step.options, float("inf"), 0.0))
                low = min(before.low, float(level))
                ranges[step.kind, modality] = _Seen(step.options, low, max(before.high, float(level)))
    return ranges


def _unseen_parts(protocol: Protocol, seen: Mapping[_Step, _Seen]) -> dict[_Step, str]:
    """What was not seen of each corruption, see `_unseen_part`; corruptions that were seen in full are left out."""
    parts = {}
    for (kind, modality), levels in _evaluated_levels(protocol).items():
        part = _unseen_part(levels, _ranges(protocol.conditions)[kind, modality].options, seen.get((kind, modality)))
        if part is not None:
            parts[kind, modality] = part
    return parts


def _evaluated_levels(protocol: Protocol) -> dict[_Step, list[float]]:
    """The levels above 0, which alone change something, of each corruption of a protocol."""
    evaluated: dict[_Step, list[float]] = {}
    for condition in protocol.conditions:
        for step in condition.steps:
            for modality, level in step.levels.items():
                if float(level) > 0:
                    evaluated.setdefault((step.kind, modality), []).append(float(level))
    return evaluated


def _unseen_part(levels: Iterable[float], options: Mapping[str, Any], seen: _Seen | None) -> str | None:
    """Which part of a corruption of one modality was not seen, empty for all of it; None if nothing is missing."""
    if seen is None or not seen.high:
        return ""
    if dict(seen.options) != dict(options):
        return " with other options"
    outside = [level for level in levels if not seen.low <= level <= seen.high]
    if not outside:
        return None
    low = min(outside)
    high = max(outside)
    return f" at {low:g}" if low == high else f" at {low:g} to {high:g}"


def _verdict(protocol: Protocol, parts: Mapping[_Step, str]) -> str:
    if not parts:
        return "all"
    is_nothing_seen = all(parts.get(step) == "" for step in _evaluated_levels(protocol))
    return "no" if is_nothing_seen else "in part"


def _phrases(protocol: Protocol, parts: Mapping[_Step, str]) -> list[str]:
    """A phrase for each kind, with its modalities where it was seen otherwise in others."""
    modalities: dict[tuple[str, str], list[str]] = {}  # by kind and unseen part
    for (kind, modality), part in parts.items():
        modalities.setdefault((kind, part), []).append(modality)
    kinds = [kind for kind, _ in _evaluated_levels(protocol)]
    phrases = []
    for (kind, part), of in modalities.items():
        place = "" if len(of) == kinds.count(kind) else f" of {' and '.join(of)}"
        phrases.append(f"{kind}{place}{part}")
    return phrases
