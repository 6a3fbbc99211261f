"""Is anything worse than in a reference? Stored predictions against stored predictions, sample by sample.

A row (model and regime, under a protocol, on a data set) is compared with the row of the same name in the reference, in
every metric at every level and in the mean. It is worse where the reference's lead, less a tolerance, is sure: by a
one-sided test on the paired difference at 5 %, Holm-corrected over all that is compared. The variance from seeds counts
with the normal quantile: at the levels that Holm leaves, Student's t of two or three seeds would find nothing, and the
tolerance stands for what that takes lightly. What cannot be compared is told: cells that are lost, protocols or data
that changed their meaning, metrics that became undefined.

Speed is compared as a ratio to the control's in the same run, for machines differ and so do the days of one machine.

Dimension legend: M rows, S seeds, C conditions, K levels and, last, the mean over all conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.dialects import Dialect
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics import METRICS, Metric
from qamoe_bench.record import Cell
from qamoe_bench.report.rows import CONTROL, Section
from qamoe_bench.report.scores import Scores, Values, score
from qamoe_bench.statistics.estimates import SMALLEST, Estimate, differences
from qamoe_bench.statistics.families import holm_alphas
from qamoe_bench.store import Store, StoredCell

MANY = 1e6  # degrees of freedom at which Student's t is the normal distribution
Kind = Literal["worse", "undefined", "lost", "changed protocol", "changed data", "slower", "better"]
Name = tuple[str, str, str, str]
"""Data set, protocol, model, regime: what a row is called on both sides."""


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

    kind: Kind
    name: Name
    what: str = ""
    where: str = ""
    detail: str = ""

    @property
    def is_regression(self) -> bool:
        """Whether this fails a build."""
        return self.kind != "better"


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Attributes:
        findings: All that moved, regressions first.
        compared: The rows that were compared, in order.
        numbers: How many (row, metric, level) were compared.
        notes: What else a reader should know.
    """

    findings: tuple[Finding, ...]
    compared: tuple[Name, ...]
    numbers: int
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Finding, ...]:
        """What fails a build."""
        return tuple(f for f in self.findings if f.is_regression)


def check(
    reference: Store, results: Store, dialect: Dialect, metrics: Sequence[str], limits: Limits, seeds: Sequence[int]
) -> Verdict:
    """Compare results with a reference.

    Args:
        reference: What was good.
        results: What is now; rows that the reference lacks are not judged.
        dialect: How metrics are computed.
        metrics: Which.
        limits: What is tolerated.
        seeds: Which seeds of the reference are expected; all where empty.

    Raises:
        BenchError: when one of the stores is empty, or the reference holds two versions of one row.
    """
    old, new = _by_name(reference, seeds), _by_name(results, ())
    if not old:
        raise BenchError(
            f"no finished cells in {reference.runs}: expected a reference; make one with 'qamoe-bench run'"
        )
    if not new:
        raise BenchError(f"no finished cells in {results.runs}: expected results to check; run 'qamoe-bench run' first")
    for name, cells in old.items():
        if len({c.cell.recipe for c in cells}) > 1:
            raise BenchError(
                f"reference {reference.root}: two versions of {' '.join(name)}; make it anew in an empty folder"
            )
    newest = {name: _newest(cells) for name, cells in new.items()}
    findings, comparable = _lost_or_changed(old, newest)
    compared, numbers = _compare(comparable, dialect, metrics, limits)
    findings += compared + _slower(comparable, limits)
    return Verdict(
        tuple(sorted(findings, key=lambda f: not f.is_regression)),
        tuple(name for pairs in comparable.values() for name in pairs),
        numbers,
        (*_notes(new, comparable), *_other_versions(reference, results)),
    )


Pairs = Mapping[Name, tuple[list[StoredCell], list[StoredCell]]]
"""The cells of each row on both sides, of the same seeds in the same order."""


def _by_name(store: Store, seeds: Sequence[int]) -> dict[Name, list[StoredCell]]:
    found: dict[Name, list[StoredCell]] = {}
    for cell in store.cells():
        if not seeds or cell.cell.seed in seeds:
            found.setdefault(_name(cell.cell), []).append(cell)
    return found


def _name(cell: Cell) -> Name:
    return cell.dataset, cell.protocol, cell.model, cell.regime


def _newest(cells: Sequence[StoredCell]) -> dict[int, StoredCell]:
    """The cell of each seed that was written last."""
    ordered = sorted(cells, key=lambda c: c.path.stat().st_mtime_ns)
    return {c.cell.seed: c for c in ordered}


def _lost_or_changed(
    old: Mapping[Name, list[StoredCell]], new: Mapping[Name, Mapping[int, StoredCell]]
) -> tuple[list[Finding], dict[tuple[str, str], dict[Name, tuple[list[StoredCell], list[StoredCell]]]]]:
    """What cannot be compared, and what can, by data set and protocol."""
    findings: list[Finding] = []
    comparable: dict[tuple[str, str], dict[Name, tuple[list[StoredCell], list[StoredCell]]]] = {}
    for name, cells in old.items():
        found = new.get(name, {})
        if lost := [c.cell.seed for c in cells if c.cell.seed not in found]:
            findings.append(Finding("lost", name, detail=f"no cell of seed {', '.join(map(str, sorted(lost)))}"))
        pairs = [(c, found[c.cell.seed]) for c in sorted(cells, key=lambda c: c.cell.seed) if c.cell.seed in found]
        if not pairs:
            continue
        before, now = (cells[0].cell for cells in zip(*pairs, strict=True))
        if before.data_digest != now.data_digest:
            findings.append(Finding("changed data", name, detail=_changed(before.data_digest, now.data_digest)))
        elif before.protocol_digest != now.protocol_digest:
            findings.append(
                Finding("changed protocol", name, detail=_changed(before.protocol_digest, now.protocol_digest))
            )
        else:
            side = tuple(map(list, zip(*pairs, strict=True)))
            comparable.setdefault(name[:2], {})[name] = (side[0], side[1])
    return findings, comparable


def _changed(before: str, now: str) -> str:
    return f"digest {before[:12]} became {now[:12]}"


@dataclass(frozen=True)
class _Moved:
    """A metric of the rows of one section on both sides; `change` is what is now minus what was."""

    names: tuple[Name, ...]
    heads: tuple[str, ...]
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


def _compare(
    comparable: Mapping[tuple[str, str], Pairs], dialect: Dialect, metrics: Sequence[str], limits: Limits
) -> tuple[list[Finding], int]:
    """What moved, and how many numbers were compared; rows that are the same to the bit need no test."""
    numbers = sum(len(pairs) * _places(pairs) * len(metrics) for pairs in comparable.values())
    changed = [{n: sides for n, sides in pairs.items() if not _same(*sides)} for pairs in comparable.values()]
    moved = [_moved(pairs, dialect, m) for pairs in changed if pairs for m in metrics]
    if not moved:
        return [], numbers
    findings: list[Finding] = []
    for m, (p, alpha) in zip(moved, _family([m.loss().above(limits.tolerance) for m in moved]), strict=True):
        findings += _findings("worse", m, p <= alpha, alpha)
        findings += _findings("undefined", m, np.isfinite(m.before) & ~np.isfinite(m.now), alpha)
    for m, (p, alpha) in zip(moved, _family([m.gain().above(limits.tolerance) for m in moved]), strict=True):
        findings += _findings("better", m, p <= alpha, alpha)
    return findings, numbers


def _places(pairs: Pairs) -> int:
    """Levels of the protocol, and the mean."""
    ((cell, *_), _), *_ = pairs.values()
    return len(Section((cell,)).levels.heads) + 1


def _same(before: Sequence[StoredCell], now: Sequence[StoredCell]) -> bool:
    """Whether every answer is the same, those for single metrics included."""
    for a, b in zip(before, now, strict=True):
        answers = sorted(name for name in a.names if name.startswith("prediction"))
        if not all(name in b.names and np.array_equal(a.column(name), b.column(name)) for name in answers):
            return False
    return True


def _family(ps: Sequence[Values]) -> list[tuple[Values, Values]]:
    """The p-values as they came, each with the level that Holm's correction over all of them leaves it."""
    alphas = np.nan_to_num(holm_alphas(np.concatenate([p.ravel() for p in ps])), nan=0.0)
    ends = np.cumsum([p.size for p in ps])[:-1]
    return [(p, alpha.reshape(p.shape)) for p, alpha in zip(ps, np.split(alphas, ends), strict=True)]


def _moved(pairs: Pairs, dialect: Dialect, metric: str) -> _Moved:
    old, new = (Section(tuple(c for both in pairs.values() for c in both[side])) for side in (0, 1))
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
    return _Moved(tuple(pairs), (*old.levels.heads, "mean"), METRICS[metric], before[0].mean(1), now[0].mean(1), found)


def _aligned(section: Section, scores: Scores, pairs: Pairs) -> tuple[Float[Values, "M S K"], Float[Values, "R M S K"]]:
    """Levels and mean, rows in the order of the pairs."""
    places = {(row.model, row.regime): i for i, row in enumerate(section.rows)}
    order = [places[model, regime] for _, _, model, regime in pairs]

    def columns(values: Float[Values, "*more C"]) -> Float[Values, "*more K"]:
        return np.concatenate([section.levels.means(values), values.mean(-1, keepdims=True)], axis=-1)

    return columns(scores.values[order]), columns(scores.resampled[:, order])


def _findings(kind: Kind, m: _Moved, where: NDArray[np.bool_], alpha: Values) -> list[Finding]:
    """What a mask marks; the interval is two-sided, and its nearer end is what the one-sided test at alpha judged."""
    show, change = m.metric.show, m.metric.show_change
    low, high = m.change.interval(np.clip(2 * alpha, SMALLEST, 1))
    found = []
    for i, k in np.argwhere(where):
        detail = f"{show(m.before[i, k])} became {show(m.now[i, k])}"
        detail += f" ({change(low[i, k])} … {change(high[i, k])})" if kind != "undefined" else ""
        found.append(Finding(kind, m.names[i], m.metric.name, m.heads[k], detail))
    return found


def _slower(comparable: Mapping[tuple[str, str], Pairs], limits: Limits) -> list[Finding]:
    findings = []
    for pairs in comparable.values():
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


def _notes(new: Mapping[Name, Sequence[StoredCell]], comparable: Mapping[tuple[str, str], Pairs]) -> tuple[str, ...]:
    several = [name for name, cells in new.items() if len({c.cell.recipe for c in cells}) > 1]
    notes = [f"{name[2]} under {name[1]} is stored in several versions; the newest was compared" for name in several]
    if any(len(before) == 1 for pairs in comparable.values() for before, _ in pairs.values()):
        notes.append("one seed: the chance of training is not covered, so that it counts as a difference")
    return tuple(notes)


def _other_versions(reference: Store, results: Store) -> tuple[str, ...]:
    """Packages whose versions differ between the two sides: the first thing to suspect."""
    old, new = _versions(reference), _versions(results)
    different = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    return tuple(f"{name} {'/'.join(old[name])} became {'/'.join(new[name])}" for name in sorted(different))


def _versions(store: Store) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for manifest in store.manifests():
        for name, version in manifest.get("engine", {}).get("versions", {}).items():
            found.setdefault(name, set()).add(str(version))
    return {name: sorted(versions) for name, versions in found.items()}
