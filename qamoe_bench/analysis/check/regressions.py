"""What is surely worse, or slower, among rows whose stored predictions can be compared.

It is worse where the reference's lead, less a tolerance, is sure: by a one-sided test on the paired difference at 5 %,
Holm-corrected over all that is compared. The variance from seeds counts with the normal quantile: at the levels that
Holm leaves, Student's t of two or three seeds would find nothing, and the tolerance stands for what that takes lightly.

Speed is compared as a ratio to the control's in the same run, for machines differ and so do the days of one machine.

Dimension legend: M rows, S seeds, C conditions, R resamples, K levels and, last, the mean over all conditions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from filecmp import cmp

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.check.findings import Finding, FindingKind, Limits, Name, Pairs
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.scores import Scores, Values, score
from qamoe_bench.analysis.section import CONTROL, Section
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.statistics.intervals import SMALLEST, Estimate, differences
from qamoe_bench.statistics.multiple_testing import holm_alphas
from qamoe_bench.store.store import StoredCell

MANY = 1e6  # degrees of freedom at which Student's t is the normal distribution


@dataclass(frozen=True)
class _Moved:
    """A metric of the rows of one section on both sides; `change` is what is now minus what was."""

    names: tuple[Name, ...]
    labels: tuple[str, ...]
    metric: Metric
    before: Float[Values, "M K"]
    now: Float[Values, "M K"]
    change: Estimate

    def loss(self) -> Estimate:
        """By how much it is worse."""
        return replace(self.change, value=-self.metric.sign * self.change.value)

    def gain(self) -> Estimate:
        """By how much it is better."""
        return replace(self.change, value=self.metric.sign * self.change.value)


def moved(
    sections: Sequence[Pairs], dialect: Dialect, metrics: Sequence[str], limits: Limits
) -> tuple[list[Finding], int]:
    """What got worse or better, section by section, and how many numbers were compared.

    Rows that are the same to the bit need no test.
    """
    numbers = sum(len(pairs) * _places(pairs) * len(metrics) for pairs in sections)
    sides = [m for found in map_in_order(lambda pairs: _section(pairs, dialect, metrics), sections) for m in found]
    if not sides:
        return [], numbers
    findings: list[Finding] = []
    for m, (p, alpha) in zip(sides, _family([m.loss().above(limits.tolerance) for m in sides]), strict=True):
        findings += _findings("worse", m, p <= alpha, alpha)
        findings += _findings("undefined", m, np.isfinite(m.before) & ~np.isfinite(m.now), alpha)
    for m, (p, alpha) in zip(sides, _family([m.gain().above(limits.tolerance) for m in sides]), strict=True):
        findings += _findings("better", m, p <= alpha, alpha)
    return findings, numbers


def _section(pairs: Pairs, dialect: Dialect, metrics: Sequence[str]) -> list[_Moved]:
    """Every metric of the rows of a section that are not the same."""
    changed = {name: sides for name, sides in pairs.items() if not _same(*sides)}
    if not changed:
        return []
    old, new = (Section(tuple(c for both in changed.values() for c in both[side])) for side in (0, 1))
    found = [_moved(changed, old, new, dialect, m) for m in metrics]
    old.clear_cache()
    new.clear_cache()
    return found


def _places(pairs: Pairs) -> int:
    """Levels of the protocol, and the mean."""
    ((cell, *_), _), *_ = pairs.values()
    return len(Section((cell,)).levels.labels) + 1


def _same(before: Sequence[StoredCell], now: Sequence[StoredCell]) -> bool:
    """Whether every answer is the same, those for single metrics included."""
    for a, b in zip(before, now, strict=True):
        if cmp(a.path, b.path, shallow=False):  # many times faster than to decode two files
            continue
        answers = sorted(name for name in a.names if name.startswith("prediction"))
        if not all(name in b.names and np.array_equal(a.column(name), b.column(name)) for name in answers):
            return False
    return True


def _family(ps: Sequence[Values]) -> list[tuple[Values, Values]]:
    """The p-values as they came, each with the level that Holm's correction over all of them leaves it."""
    alphas = np.nan_to_num(holm_alphas(np.concatenate([p.ravel() for p in ps])), nan=0.0)
    ends = np.cumsum([p.size for p in ps])[:-1]
    return [(p, alpha.reshape(p.shape)) for p, alpha in zip(ps, np.split(alphas, ends), strict=True)]


def _moved(pairs: Pairs, old: Section, new: Section, dialect: Dialect, metric: str) -> _Moved:
    before, now = _aligned(old, score(old, dialect, metric), pairs), _aligned(new, score(new, dialect, metric), pairs)
    count = len(pairs)
    trained = np.array([cells[0].facts.parameters > 0 for cells, _ in pairs.values()] + [False] * count)
    found = differences(
        np.concatenate([before[0], now[0]]),
        np.concatenate([before[1], now[1]], axis=1),
        [(count + i, i) for i in range(count)],
        trained,
    )
    found = replace(found, freedom=np.full_like(found.freedom, MANY))
    return _Moved(tuple(pairs), (*old.levels.labels, "mean"), METRICS[metric], before[0].mean(1), now[0].mean(1), found)


def _aligned(section: Section, scores: Scores, pairs: Pairs) -> tuple[Float[Values, "M S K"], Float[Values, "R M S K"]]:
    """Levels and mean, rows in the order of the pairs."""
    places = {(row.model, row.regime): i for i, row in enumerate(section.rows)}
    order = [places[model, regime] for _, _, model, regime in pairs]
    levels = section.levels
    return levels.with_mean(scores.values[order]), levels.with_mean(scores.resampled[:, order])


def _findings(kind: FindingKind, m: _Moved, where: NDArray[np.bool_], alpha: Values) -> list[Finding]:
    """What a mask marks; the interval is two-sided, and its nearer end is what the one-sided test at alpha judged."""
    show, change = m.metric.show, m.metric.show_change
    low, high = m.change.interval(np.clip(2 * alpha, SMALLEST, 1))
    found = []
    for i, k in np.argwhere(where):
        detail = f"{show(m.before[i, k])} became {show(m.now[i, k])}"
        detail += f" ({change(low[i, k])} … {change(high[i, k])})" if kind != "undefined" else ""
        found.append(Finding(kind, m.names[i], m.metric.name, m.labels[k], detail))
    return found


def slower(sections: Sequence[Pairs], limits: Limits) -> list[Finding]:
    """Rows that take more of their control's time than they did."""
    findings = []
    for pairs in sections:
        for name, sides in pairs.items():
            control = next((both for n, both in pairs.items() if n[2] == CONTROL and n[3] == name[3]), None)
            if control is None or name[2] == CONTROL:
                continue
            before, now = (_ratio(own, other) for own, other in zip(sides, control, strict=True))
            if before and now and now > limits.slowdown * before:
                detail = f"{before:.2f} times the control's time became {now:.2f} (tolerated: × {limits.slowdown:g})"
                findings.append(Finding("slower", name, "speed", detail=detail))
    return findings


def _ratio(own: Sequence[StoredCell], control: Sequence[StoredCell]) -> float | None:
    """Time per sample in units of the control's, median over the seeds; None where it is not known."""
    other = {c.cell.seed: c.facts.seconds_per_sample for c in control}
    ratios = [
        c.facts.seconds_per_sample / t for c in own if (t := other.get(c.cell.seed)) and c.facts.seconds_per_sample
    ]
    return float(np.median(ratios)) if ratios else None
