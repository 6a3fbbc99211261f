"""A chapter of the page: a protocol on a data set, with all its figures, in every dialect that applies."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qamoe_bench.analysis.analyse import Analysis, analyse
from qamoe_bench.analysis.comparisons import ranking
from qamoe_bench.analysis.quality_curves import quality_curves
from qamoe_bench.analysis.scores import Scores, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.sensitivity import Sensitivity, sensitivity
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import DIALECTS, Dialect
from qamoe_bench.page import calibration, cost, modalities, samples, significance
from qamoe_bench.page.curves import curves
from qamoe_bench.page.figure import Figure, listed
from qamoe_bench.page.landscape import difference, landscape
from qamoe_bench.page.leaderboard import Entry, entries
from qamoe_bench.page.marks import Look
from qamoe_bench.page.quality import quality
from qamoe_bench.report.audit_tables import corruption_table, intervention_table, model_table, uncertainty_table
from qamoe_bench.report.metric_tables import how_to_read, level_table, summary_table
from qamoe_bench.report.table import Table
from qamoe_bench.report.tables import shown_metrics

SIMS = "sims"
LANDSCAPE = "There is no landscape: the protocol has no two axes. mixed has."
QUALITY = "Quality scores are left out: no model of this protocol gives any."
MOST_PREDICTIONS = 30_000_000
"""Of a section, above which only the dialect that was asked for is computed."""


@dataclass(frozen=True)
class InDialect:
    """What depends on the dialect."""

    dialect: Dialect
    headline: str
    how_to_read: str
    figures: tuple[Figure, ...]
    more: tuple[Figure, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class PageChapter:
    """One section of the report.

    Attributes:
        name: Of its place on the page.
        section: Rows and levels.
        about: What the manifest says of the protocol.
        dialects: What depends on the dialect, that which was asked for first.
        entries: Its lines of the leaderboard.
        figures: What is the same in all dialects.
        tables: The same.
        samples: For the drill-down; None where there is nothing to compare.
        absent: Why some parts are left out.
    """

    name: str
    section: Section
    about: Mapping[str, Any]
    dialects: tuple[InDialect, ...]
    entries: tuple[Entry, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    samples: Mapping[str, Any] | None
    absent: tuple[str, ...]


def dialects_of(section: Section, asked: Dialect, metrics: Sequence[str]) -> list[Dialect]:
    """The one that was asked for and all others that fit the labels and define the metrics."""
    count = len(section.cells) * len(section.conditions) * section.samples
    if count > MOST_PREDICTIONS:
        return [asked]
    is_sims = bool(np.abs(section.label).max() <= 1)  # as annotated there; elsewhere labels go to 3
    fits = [d for d in DIALECTS.values() if (d.name == SIMS) == is_sims and all(m in d.definitions for m in metrics)]
    return [asked, *(d for d in fits if d is not asked)]


def chapter(
    name: str, section: Section, about: Mapping[str, Any], asked: Dialect, metrics: Sequence[str], look: Look,
    texts: Mapping[str, str],
) -> PageChapter:  # fmt: skip
    """Compute and draw everything of a section."""
    parts, lines = list[InDialect](), list[Entry]()
    first: Analysis | None = None
    known = _Known(section)
    for dialect in dialects_of(section, asked, metrics):
        found = analyse(section, dialect, shown_metrics(dialect, metrics), first)
        parts.append(_in_dialect(found, look, known, () if metrics else tuple(dialect.definitions)))
        lines += entries(name, found)
        first = first or found
    assert first is not None
    told = samples.samples(section, texts)
    figures = tuple(_common(first, look))
    kinds = {f.kind for f in (*parts[0].figures, *figures)}
    tables = [corruption_table(first), model_table(first), *([uncertainty_table(first)] if first.uncertainty else [])]
    section.clear_cache()
    return PageChapter(
        name, section, about, tuple(parts), tuple(lines), figures, tuple(tables), told, _absent(kinds, told is not None)
    )


class _Known:
    """What was computed for one dialect and is the same in the next, by metric and definition."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._scores: dict[tuple[str, Definition], Scores] = {}
        self._worth: dict[tuple[str, Definition], Sensitivity | None] = {}

    def score(self, dialect: Dialect, metric: str) -> Scores:
        key = metric, dialect.definitions[metric]
        if key not in self._scores:
            self._scores[key] = score(self._section, dialect, metric)
        return self._scores[key]

    def sensitivity(self, dialect: Dialect, metric: str) -> Sensitivity | None:
        key = metric, dialect.definitions[metric]
        if key not in self._worth:
            self._worth[key] = sensitivity(self._section, dialect, metric)
        return self._worth[key]


def _in_dialect(found: Analysis, look: Look, known: _Known, every: Sequence[str]) -> InDialect:
    figures = tuple(f for f in _figures(found, look, known) if f is not None)
    others = [m for m in every if m not in {s.metric.name for s in found.scores}]
    dialect = found.dialect
    scores = [known.score(dialect, m) for m in others]
    more = tuple(curves(found.section, s, ranking(found.section, s), look, dialect.name) for s in scores)
    tables = [summary_table(found, s) for s in found.scores]
    tables += [intervention_table(found)] if found.intervention_effects else []
    return InDialect(dialect, _headline(found), how_to_read(found), figures, more, tuple(tables))


def _figures(found: Analysis, look: Look, known: _Known) -> Iterator[Figure | None]:
    section, dialect = found.section, found.dialect.name
    for s in found.scores:
        yield curves(section, s, found.rankings[s.metric.name], look, dialect, level_table(found, s))
    for s in found.scores:
        yield landscape(section, s, dialect)
        yield difference(section, s, dialect)
    for s in found.scores:
        worth = known.sensitivity(found.dialect, s.metric.name)
        yield modalities.modalities(section, worth, look, dialect) if worth else None
    for s in found.scores:
        yield significance.significance(section, s, dialect)
        yield from cost.costs(section, s.metric, found.summaries[s.metric.name]["mean"], look, dialect)


def _common(found: Analysis, look: Look) -> Iterator[Figure]:
    yield from quality(found, quality_curves(found.section), look)
    if found.uncertainty:
        yield calibration.calibration(found, look)


def _absent(kinds: Collection[str], has_samples: bool) -> tuple[str, ...]:
    """Why some kinds of figures are not there."""
    reasons = {
        "landscape": LANDSCAPE, "modalities": modalities.ABSENT, "significance": significance.ABSENT,
        "cost": cost.ABSENT, "quality": QUALITY, "calibration": calibration.ABSENT,
    }  # fmt: skip
    left_out = [why for kind, why in reasons.items() if kind not in kinds]
    return (*left_out, *(() if has_samples else (samples.ABSENT,)))


def _headline(found: Analysis) -> str:
    """The chapter in a sentence: who leads in which metric, and how surely."""
    words = []
    for s in found.scores:
        ranks, metric = found.rankings[s.metric.name], s.metric
        leaders = [i for i in range(len(found.section.rows)) if ranks.best[i, -1] == 1]
        if not leaders:
            continue
        value = found.summaries[metric.name]["mean"].estimate().value
        best = max(leaders, key=lambda i: metric.sign * value[i])
        tied = [found.section.rows[i].name for i in leaders if i != best]
        amount = f"{metric.show(float(value[best]))}{' %' if metric.unit == '%' else ''}"
        name = found.section.rows[best].name
        rest = f"not surely ahead of {listed(tied)}" if tied else "surely ahead of all others"
        words.append(f"in {metric.name} {name} with {amount}, {rest}")
    return f"Best over the sweep: {'; '.join(words)}." if words else "There is one row, so there is nothing to rank."
