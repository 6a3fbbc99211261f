"""Many protocols at a glance: one metric's mean over each sweep, a line per protocol and a line per model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qamoe_bench.analysis.comparisons import Difference, Ranking, differences_from_control, ranking
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.scores import score
from qamoe_bench.analysis.section import CONTROL, Section, sections
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.report.table import Chapter, Table, without_empty
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import mean_of_defined
from qamoe_bench.store.store import StoredCell

SHOWN = 3
"""First rows of a protocol that are named; the others are counted."""


@dataclass(frozen=True)
class Glance:
    """One metric of a section.

    Attributes:
        section: Its rows.
        means: Over seeds and conditions, by row, (M).
        ranks: See `qamoe_bench.analysis.comparisons`.
        differences: By row, from the control.
        sign: 1 where higher is better, −1 where lower is.
    """

    section: Section
    means: Values
    ranks: Ranking
    differences: Mapping[int, Difference]
    sign: int

    def firsts(self) -> list[int]:
        """The rows that may be the best, best mean first."""
        return [int(i) for i in np.argsort(-self.means * self.sign, kind="stable") if self.ranks.best[i, -1] == 1]


@dataclass
class _Record:
    """What came of a row in all protocols."""

    protocols: int = 0
    better: int = 0
    unsure: int = 0
    worse: int = 0
    firsts: int = 0
    ranks: list[float] = field(default_factory=list)


def overview(cells: Iterable[StoredCell], dialect: Dialect, metric: str) -> Chapter:
    """Which models lead under which protocol, and how often each is surely better than the control."""
    shown = METRICS[metric]
    found = list(map_in_order(lambda section: _glance(section, dialect, metric), sections(cells)))
    lines = (
        f"{metric}, mean over all levels of each protocol and over seeds ({shown.better} is better: {shown.title}); "
        f"metric dialect {dialect.name}.",
        "Pairs of a protocol are told apart at 5 % (Holm over all its pairs); differences from the control are "
        "corrected over the rows of a protocol, not over protocols.",
    )
    return Chapter(
        f"Overview of {len(found)} protocol{'s' * (len(found) > 1)}", lines, (_protocols(found, shown), _models(found))
    )


def _glance(section: Section, dialect: Dialect, metric: str) -> Glance:
    scores = score(section, dialect, metric)
    differences = {row: d for (_, row), d in differences_from_control(section, [scores]).items()}
    means = mean_of_defined(scores.values.mean(-1), 1)
    found = Glance(section, means, ranking(section, scores), differences, scores.metric.sign)
    section.clear_cache()
    return found


def _protocols(found: Sequence[Glance], metric: Metric) -> Table:
    rows = tuple(_protocol(glance, metric) for glance in found)
    head = ("protocol", "data", "rows", "seeds", "samples", metric.name, "best, or not surely worse than the best")
    return Table("By protocol", head, rows)


def _protocol(glance: Glance, metric: Metric) -> tuple[str, ...]:
    section, firsts = glance.section, glance.firsts()
    named = [section.rows[i].name for i in firsts[:SHOWN]]
    more = [f"and {len(firsts) - SHOWN} more"] if len(firsts) > SHOWN else []
    best = metric.show(float(glance.means[firsts[0]])) if firsts else "–"
    sizes = (str(n) for n in (len(section.rows), len(section.seeds), section.samples))
    return section.protocol, section.dataset, *sizes, best, ", ".join(named + more) or "–"


def _models(found: Sequence[Glance]) -> Table:
    records: dict[str, _Record] = {}
    for glance in found:
        for i, row in enumerate(glance.section.rows):
            _add(records.setdefault(row.name, _Record()), glance, i)
    rows = tuple(_line(name, r) for name, r in sorted(records.items(), key=_standing))
    head = ("model", "protocols", "may be best", "mean rank", "better", "≈", "worse")
    note = f"mean rank: of the middle of the ranks that are possible; better, ≈, worse: than {CONTROL}, in how many"
    return without_empty(Table("By model", head, rows, (f"{note} protocols for certain",)))


def _add(record: _Record, glance: Glance, row: int) -> None:
    record.protocols += 1
    low, high = glance.ranks.best[row, -1], glance.ranks.worst[row, -1]
    record.firsts += int(low == 1)
    record.ranks += [(low + high) / 2] if low else []
    if (d := glance.differences.get(row)) is not None and np.isfinite(d.value):
        gain = glance.sign * d.value
        record.better += d.is_significant and gain > 0
        record.worse += d.is_significant and gain < 0
        record.unsure += not d.is_significant


def _standing(item: tuple[str, _Record]) -> tuple[float, str]:
    name, record = item
    return float(np.mean(record.ranks)) if record.ranks else np.inf, name


def _line(name: str, r: _Record) -> tuple[str, ...]:
    compared = r.better + r.unsure + r.worse
    counts = [str(n) if compared else "–" for n in (r.better, r.unsure, r.worse)]
    rank = f"{np.mean(r.ranks):.1f}" if r.ranks else "–"
    return name, str(r.protocols), str(r.firsts) if r.ranks else "–", rank, *counts
