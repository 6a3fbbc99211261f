"""Significant regressions, and slowdowns, of rows whose stored predictions can be compared.

A number is a regression where it is worse than the reference by significantly more than a tolerance: a one-sided test
of the paired difference at 5 %, Holm-corrected over everything that is compared. The variance over seeds is multiplied
by the normal quantile instead of Student's t, which would detect nothing with two or three seeds at the levels of
Holm's correction; the tolerance compensates for the resulting optimism.

Speed is compared as a ratio to the control's in the same run, because machines, and the load of one machine, differ.

Dimension legend: M rows, S seeds, C conditions, R resamples, K levels and, last, the mean over all conditions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from filecmp import cmp

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.check.findings import Finding, FindingKind, Limits, Name, Pairs
from qamoe_bench.analysis.clusters import ClusterRule
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.scores import Scores, score
from qamoe_bench.analysis.section import CONTROL, Section
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.choice import MetricChoice
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import SMALLEST, Estimate, differences
from qamoe_bench.statistics.multiple_testing import holm_alphas
from qamoe_bench.store.store import StoredCell
from qamoe_bench.store.verification import PREDICTED

LEAST_SHARE = 0.1
"""Share of the control's time below which a row's time is that of calls and not of computations."""
NORMAL_FREEDOM = 1e6
"""Degrees of freedom at which Student's t equals the normal distribution."""


@dataclass(frozen=True)
class _Change:
    """A metric of the rows of one section on both sides.

    Attributes:
        names: The rows, M.
        labels: The levels and `mean`, K.
        metric: The metric.
        before: Its values in the reference.
        now: Its values in the results.
        difference: Results minus reference, (M, K).
    """

    names: tuple[Name, ...]
    labels: tuple[str, ...]
    metric: Metric
    before: Float[Values, "M K"]
    now: Float[Values, "M K"]
    difference: Estimate

    def loss(self) -> Estimate:
        """The deterioration: positive where the results are worse."""
        return replace(self.difference, value=-self.metric.sign * self.difference.value)

    def gain(self) -> Estimate:
        """The improvement: positive where the results are better."""
        return replace(self.difference, value=self.metric.sign * self.difference.value)


def changes(
    sections: Sequence[Pairs], choice: MetricChoice, limits: Limits, cluster_rule: ClusterRule
) -> tuple[list[Finding], int]:
    """Metrics that became significantly worse or better, and the number of values that were compared.

    Rows with bitwise equal predictions are counted but not tested.
    """
    numbers = sum(len(pairs) * _columns(pairs) * len(_metrics(pairs, choice)) for pairs in sections)
    compared: list[_Change] = []
    for of_section in map_in_order(lambda pairs: _changes_of_section(pairs, choice, cluster_rule), sections):
        compared += of_section
    if not compared:
        return [], numbers
    findings: list[Finding] = []
    # Losses are one family of tests, gains another.
    p_loss = [change.loss().above(limits.tolerance) for change in compared]
    for change, p, alpha in zip(compared, p_loss, _holm(p_loss), strict=True):
        findings += _findings("worse", change, p <= alpha, alpha)
        findings += _findings("undefined", change, np.isfinite(change.before) & ~np.isfinite(change.now), alpha)
    p_gain = [change.gain().above(limits.tolerance) for change in compared]
    for change, p, alpha in zip(compared, p_gain, _holm(p_gain), strict=True):
        findings += _findings("better", change, p <= alpha, alpha)
    return findings, numbers


def _metrics(pairs: Pairs, choice: MetricChoice) -> tuple[str, ...]:
    """The metrics that are compared in a section."""
    before, _ = next(iter(pairs.values()))
    return choice.metrics_for(choice.dialect_for(Section(tuple(before)).task))


def _changes_of_section(pairs: Pairs, choice: MetricChoice, cluster_rule: ClusterRule) -> list[_Change]:
    """Every metric of the rows of a section whose predictions differ."""
    differing: dict[Name, tuple[Sequence[StoredCell], Sequence[StoredCell]]] = {}
    before: list[StoredCell] = []
    now: list[StoredCell] = []
    for name, (before_cells, now_cells) in pairs.items():
        if not _has_equal_predictions(before_cells, now_cells):
            differing[name] = (before_cells, now_cells)
            before += before_cells
            now += now_cells
    if not differing:
        return []
    old = Section(tuple(before), cluster_rule)
    new = Section(tuple(now), cluster_rule)
    dialect = choice.dialect_for(old.task)
    of_metrics = [_change(differing, old, new, dialect, metric) for metric in choice.metrics_for(dialect)]
    old.clear_cache()
    new.clear_cache()
    return of_metrics


def _columns(pairs: Pairs) -> int:
    """K, the number of levels of the protocol, and one for the mean."""
    before, _ = next(iter(pairs.values()))
    return len(Section((before[0],)).levels.labels) + 1


def _has_equal_predictions(before: Sequence[StoredCell], now: Sequence[StoredCell]) -> bool:
    """Whether all predictions are bitwise equal, including those for single metrics."""
    return all(_is_equal(a, b) for a, b in zip(before, now, strict=True))


def _is_equal(before: StoredCell, now: StoredCell) -> bool:
    if cmp(before.path, now.path, shallow=False):  # much faster than decoding two files
        return True
    columns = sorted(name for name in before.names if name.startswith(PREDICTED))
    return all(name in now.names and np.array_equal(before.column(name), now.column(name)) for name in columns)


def _holm(ps: Sequence[Values]) -> list[Values]:
    """The level of each test under Holm's correction over all arrays of p-values together; 0 for NaN."""
    flat = np.concatenate([p.ravel() for p in ps])
    alphas = np.nan_to_num(holm_alphas(flat), nan=0.0)
    ends = np.cumsum([p.size for p in ps])
    parts = np.split(alphas, ends[:-1])
    return [part.reshape(p.shape) for part, p in zip(parts, ps, strict=True)]


def _change(pairs: Pairs, old: Section, new: Section, dialect: Dialect, metric: str) -> _Change:
    before, before_resampled = _by_level(old, score(old, dialect, metric), pairs)
    now, now_resampled = _by_level(new, score(new, dialect, metric), pairs)
    # Both sides are contestants of one table: the rows of the reference, then those of the results.
    rows = len(pairs)
    is_trained = [cells[0].facts.parameters > 0 for cells, _ in pairs.values()]
    difference = differences(
        np.concatenate([before, now]),
        np.concatenate([before_resampled, now_resampled], axis=1),
        [(rows + i, i) for i in range(rows)],
        np.array([*is_trained, *[False] * rows]),  # the variance over seeds is pooled over the reference only
        old.resampling.freedom,
    )
    return _Change(
        names=tuple(pairs),
        labels=(*old.levels.labels, "mean"),
        metric=METRICS[metric],
        before=before.mean(1),
        now=now.mean(1),
        difference=replace(difference, freedom=np.full_like(difference.freedom, NORMAL_FREEDOM)),
    )


def _by_level(
    section: Section, scores: Scores, pairs: Pairs
) -> tuple[Float[Values, "M S K"], Float[Values, "R M S K"]]:
    """Values and resamples by level and in the mean, with rows in the order of the pairs."""
    indices = {(row.model, row.regime): i for i, row in enumerate(section.rows)}
    order = [indices[model, regime] for _, _, model, regime in pairs]
    levels = section.levels
    return levels.with_mean(scores.values[order]), levels.with_mean(scores.resampled[:, order])


def _findings(kind: FindingKind, change: _Change, where: NDArray[np.bool_], alpha: Values) -> list[Finding]:
    """A finding for each (row, level) of a mask.

    The interval is two-sided at 2·alpha, so that its nearer end is the bound of the one-sided test at alpha.
    """
    metric = change.metric
    low, high = change.difference.interval(np.clip(2 * alpha, SMALLEST, 1))
    findings = []
    for i, k in np.argwhere(where):
        detail = f"{metric.show(change.before[i, k])} became {metric.show(change.now[i, k])}"
        if kind != "undefined":
            detail += f" ({metric.show_change(low[i, k])} … {metric.show_change(high[i, k])})"
        findings.append(Finding(kind, change.names[i], metric.name, change.labels[k], detail))
    return findings


def slower(sections: Sequence[Pairs], limits: Limits) -> list[Finding]:
    """Rows whose time per sample, relative to that of their control, grew by more than the tolerated factor."""
    findings = []
    for pairs in sections:
        for name, (before_cells, now_cells) in pairs.items():
            control = (*name[:2], CONTROL, name[3])
            if name == control or control not in pairs:
                continue
            before = _relative_time(before_cells, pairs[control][0])
            now = _relative_time(now_cells, pairs[control][1])
            if before and now and now > limits.slowdown * max(before, LEAST_SHARE):
                detail = f"{before:.2f} times the control's time became {now:.2f} (tolerated: × {limits.slowdown:g})"
                findings.append(Finding("slower", name, "speed", detail=detail))
    return findings


def _relative_time(cells: Sequence[StoredCell], control: Sequence[StoredCell]) -> float | None:
    """Time per sample divided by the control's, median over the seeds; None where no time was measured."""
    control_times = {c.cell.seed: c.facts.seconds_per_sample for c in control}
    ratios = []
    for c in cells:
        time = c.facts.seconds_per_sample
        control_time = control_times.get(c.cell.seed)
        if time and control_time:
            ratios.append(time / control_time)
    return float(np.median(ratios)) if ratios else None
