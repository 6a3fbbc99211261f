"""An overview of many protocols: one metric's mean over each sweep, a line per protocol and a line per model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule
from qamoe_bench.analysis.comparisons import (
    Difference,
    Ranking,
    differences_from_control,
    pairwise_differences,
    ranking,
)
from qamoe_bench.analysis.learning import LearningPoint, learning_point
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.scores import over_conditions, score
from qamoe_bench.analysis.section import CONTROL, Section, sections
from qamoe_bench.analysis.summaries import summaries as sweep_summaries
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.choice import MetricChoice, headline
from qamoe_bench.metrics.dialects import Dialect, find_dialect
from qamoe_bench.report.learning_table import learning_chapters
from qamoe_bench.report.table import Chapter, Table, counted, without_empty
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.store.store import StoredCell

MAX_COLUMNS = 6  # protocols up to which a table has a column for each
MAX_NAMED = 3  # leading rows of a protocol that are named; further ones are counted


@dataclass(frozen=True)
class SectionSummary:
    """One metric of a section.

    Attributes:
        section: Its rows.
        means: Mean over seeds and conditions of each row.
        ranks: See `qamoe_bench.analysis.comparisons`.
        differences: By row, from the control.
        sign: 1 if higher is better, −1 if lower is better.
        point: The section as a point of a learning curve; None where no data set has several sizes.
    """

    section: Section
    means: Float[Values, " M"]
    ranks: Ranking
    differences: Mapping[int, Difference]
    sign: int
    point: LearningPoint | None

    def leaders(self) -> list[int]:
        """The rows that no row is significantly better than, by decreasing quality of their means."""
        order = np.argsort(-self.means * self.sign, kind="stable")  # best first; ties in the order of the rows
        return [int(i) for i in order if self.ranks.best[i, -1] == 1]


@dataclass
class _ModelRecord:
    """The results of one model in all protocols.

    Attributes:
        protocols: Number of protocols that have the row.
        better: In how many of them it is significantly better than the control.
        not_significant: In how many the difference is not significant.
        worse: In how many it is significantly worse.
        firsts: In how many no row is significantly better.
        ranks: Midpoint of the possible ranks in each protocol.
    """

    protocols: int = 0
    better: int = 0
    not_significant: int = 0
    worse: int = 0
    firsts: int = 0
    ranks: list[float] = field(default_factory=list)


def overviews(cells: Iterable[StoredCell], choice: MetricChoice, cluster_rule: ClusterRule = BY_IDS) -> list[Chapter]:
    """Leading models of each protocol, and how often each model is significantly better than the control.

    One chapter for each task, in one metric: the chosen one, or the first that decides the order of a report.

    Raises:
        BenchError: If the choice fits none of the cells.
    """
    parts = sections(cells, cluster_rule)
    choice.check(section.task for section in parts)
    by_metric: dict[tuple[str, str], list[Section]] = {}
    for section in parts:
        dialect = choice.dialect_for(section.task)
        names = choice.metrics_for(dialect)
        by_metric.setdefault((dialect.name, headline(names)), []).append(section)
    chapters = []
    for (name, metric), of_task in by_metric.items():
        definitions = find_dialect(name)
        # Sections are independent, so threads summarise them; the order of the sections is kept.
        # Points of learning curves need resamples, which nothing else in an overview does.
        has_sizes = any(section.train_size for section in of_task)
        summarise = partial(_summary, dialect=definitions, metric=metric, with_point=has_sizes)
        summaries = list(map_in_order(summarise, of_task))
        learning = learning_chapters(learning_points(summaries))
        compared = whole_sections(summaries) if learning else summaries
        if compared:
            chapters.append(overview_of(compared, name, metric))
        chapters += learning
    return chapters


def learning_points(summaries: Iterable[SectionSummary]) -> list[LearningPoint]:
    """The points of learning curves."""
    return [summary.point for summary in summaries if summary.point is not None]


def whole_sections(summaries: Iterable[SectionSummary]) -> list[SectionSummary]:
    """Those of data sets with all their training samples; a mean over several numbers of them would say nothing."""
    return [summary for summary in summaries if not summary.section.train_size]


def section_summary(analysis: Analysis, metric: str) -> SectionSummary:
    """The part of an analysis that an overview shows."""
    (scores,) = (scores for scores in analysis.scores if scores.metric.name == metric)
    differences = analysis.differences[metric]
    means = scores.means(over_conditions)
    point = learning_point(analysis.section, scores, analysis.summaries[metric])
    return SectionSummary(analysis.section, means, analysis.rankings[metric], differences, scores.metric.sign, point)


def overview_of(summaries: Sequence[SectionSummary], dialect: str, metric: str) -> Chapter:
    """The overview of sections that are summarised already, in a metric of a dialect."""
    shown = METRICS[metric]
    lines = (
        f"{metric}, mean over all levels of each protocol and over seeds ({shown.better} is better: {shown.title}); "
        f"metric dialect: {dialect}.",
        "Pairs within a protocol are tested at 5 % (Holm-corrected over its pairs, not across protocols); ranks and "
        "differences from the control are two views of these tests.",
    )
    heading = f"Overview of {counted(len(summaries), 'protocol')}"
    tables = [_protocol_table(summaries, shown), _model_table(summaries)]
    if len(summaries) <= MAX_COLUMNS:
        tables.append(_matrix(summaries, shown, [row[0] for row in tables[1].rows]))
    return Chapter(heading, lines, tuple(tables))


def _summary(section: Section, dialect: Dialect, metric: str, *, with_point: bool) -> SectionSummary:
    scores = score(section, dialect, metric)
    differences = differences_from_control(section, scores, pairwise_differences(section, scores))
    means = scores.means(over_conditions)
    point = learning_point(section, scores, sweep_summaries(section, scores)) if with_point else None
    summary = SectionSummary(section, means, ranking(section, scores), differences, scores.metric.sign, point)
    section.clear_cache()  # or the predictions of all protocols would stay in memory
    return summary


def _protocol_table(summaries: Sequence[SectionSummary], metric: Metric) -> Table:
    rows = tuple(_protocol_row(summary, metric) for summary in summaries)
    head = ("protocol", "data", "rows", "seeds", "samples", metric.name, "best or tied")
    return Table("By protocol", head, rows)


def _protocol_row(summary: SectionSummary, metric: Metric) -> tuple[str, ...]:
    section = summary.section
    leaders = summary.leaders()
    names = [section.rows[i].name for i in leaders[:MAX_NAMED]]
    if len(leaders) > MAX_NAMED:
        names.append(f"and {len(leaders) - MAX_NAMED} more")
    best = metric.show(float(summary.means[leaders[0]])) if leaders else "–"
    sizes = (str(len(section.rows)), str(len(section.seeds)), str(section.samples))
    return section.protocol, section.dataset, *sizes, best, ", ".join(names) or "–"


def _model_table(summaries: Sequence[SectionSummary]) -> Table:
    records: dict[str, _ModelRecord] = {}
    for summary in summaries:
        for i, row in enumerate(summary.section.rows):
            _add(records.setdefault(row.name, _ModelRecord()), summary, i)
    rows = tuple(_model_row(name, record) for name, record in sorted(records.items(), key=_by_mean_rank))
    head = ("model", "protocols", "best or tied", "mean rank", "better", "undecided", "worse")
    note = (
        "best or tied: protocols where no model is significantly better; mean rank: middle of the possible ranks, mean "
        f"over protocols; better, undecided, worse: protocols by the significance of the difference from {CONTROL}"
    )
    return without_empty(Table("By model", head, rows, (note,)))


def _matrix(summaries: Sequence[SectionSummary], metric: Metric, names: Sequence[str]) -> Table:
    """Mean and rank of every model under every protocol."""
    datasets = {summary.section.dataset for summary in summaries}
    head = ["model"]
    columns = [list(names)]
    for summary in summaries:
        section = summary.section
        head.append(section.protocol if len(datasets) == 1 else f"{section.protocol} on {section.dataset}")
        cells = {row.name: _mean_and_rank(summary, metric, i) for i, row in enumerate(section.rows)}
        columns.append([cells.get(name, "–") for name in names])
    rows = tuple(zip(*columns, strict=True))
    return Table(f"{metric.name} and rank by protocol", tuple(head), rows)


def _mean_and_rank(summary: SectionSummary, metric: Metric, row: int) -> str:
    rank = summary.ranks.show(row)
    value = metric.show(float(summary.means[row]))
    return f"{value} ({rank})" if rank else value


def _add(record: _ModelRecord, summary: SectionSummary, row: int) -> None:
    record.protocols += 1
    best = summary.ranks.best[row, -1]  # 0: the row has no rank
    worst = summary.ranks.worst[row, -1]
    if best:
        record.ranks.append((best + worst) / 2)
    if best == 1:
        record.firsts += 1
    difference = summary.differences.get(row)
    if difference is None or not np.isfinite(difference.value):
        return
    if not difference.is_significant:
        record.not_significant += 1
    elif summary.sign * difference.value > 0:
        record.better += 1
    else:
        record.worse += 1


def _by_mean_rank(item: tuple[str, _ModelRecord]) -> tuple[float, str]:
    """Sorting key: best mean rank first, models without a rank (the oracle) last."""
    name, record = item
    return float(np.mean(record.ranks)) if record.ranks else np.inf, name


def _model_row(name: str, record: _ModelRecord) -> tuple[str, ...]:
    counts = (record.better, record.not_significant, record.worse)
    # The control itself is never compared, which is not the same as 0 protocols.
    compared = [str(n) for n in counts] if sum(counts) else ["–"] * len(counts)
    firsts = str(record.firsts) if record.ranks else "–"
    mean_rank = f"{np.mean(record.ranks):.1f}" if record.ranks else "–"
    return name, str(record.protocols), firsts, mean_rank, *compared
