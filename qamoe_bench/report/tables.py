"""The report of stored cells: one chapter of tables per protocol and data set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qamoe_bench.analysis.analyse import Analysis, analyse_section
from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule
from qamoe_bench.analysis.parallel import map_in_order
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.metrics.choice import MetricChoice
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.report.audit_tables import (
    corruption_table,
    evaluation_table,
    expert_table,
    model_table,
    uncertainty_table,
)
from qamoe_bench.report.class_tables import class_tables
from qamoe_bench.report.learning_table import learning_chapters
from qamoe_bench.report.metric_tables import (
    SINGLE_CHECKPOINT,
    how_to_read,
    level_table,
    profile_table,
    runs_table,
    specialist_table,
    summary_table,
)
from qamoe_bench.report.overview import SectionSummary, learning_points, overview_of, section_summary, whole_sections
from qamoe_bench.report.quality_tables import quality_tables
from qamoe_bench.report.selection_table import selection_table
from qamoe_bench.report.summary import names_by_rank, ranking_table, summary_tables, verdict
from qamoe_bench.report.table import Chapter, Table, counted, sorted_by
from qamoe_bench.report.tuning_table import tuning_table
from qamoe_bench.store.selection import CurveFiles
from qamoe_bench.store.store import StoredCell
from qamoe_bench.vocabulary import Task

ProtocolFacts = Mapping[tuple[str, str], Any]
"""The manifests' descriptions of protocols, by (digest, name)."""


def analyses(
    cells: Iterable[StoredCell],
    dialect: Dialect | None = None,
    metrics: Sequence[str] = (),
    cluster_rule: ClusterRule = BY_IDS,
    *,
    audits: bool = True,
) -> Iterator[Analysis]:
    """Analyse cells, given in any order, section by section.

    An analysis can take up to 100 MB: keep only what you render from it, and drop it before you take the next one.

    Args:
        cells: The cells.
        dialect: See `MetricChoice`, as for the metrics.
        metrics: Names of metrics.
        cluster_rule: How test samples are assigned to clusters.
        audits: Whether to analyse variances, quality scores and experts, which a summary does not need.

    Raises:
        BenchError: If the dialect or one of the metrics fits none of the cells.
    """
    choice = MetricChoice(dialect, tuple(metrics))
    parts = sections(cells, cluster_rule)
    choice.check(section.task for section in parts)

    def analysed(section: Section) -> Analysis:
        own = choice.dialect_for(section.task)
        return analyse_section(section, own, choice.metrics_for(own), audits=audits)

    return map_in_order(analysed, parts)


def chapters(
    analyses: Iterable[Analysis],
    manifests: Sequence[Mapping[str, Any]],
    *,
    complete: bool = True,
    against_published: bool = False,
    with_stability: bool = False,
) -> list[Chapter]:
    """Render analyses as tables: an overview and learning curves if there are several, and a chapter for each.

    Args:
        analyses: One per chapter.
        manifests: Of their runs; they supply the definitions of the protocols.
        complete: Whether to show all tables, and not only the summary of each chapter.
        against_published: Whether to add published numbers.
        with_stability: Whether to add which comparisons depend on dialect, draws, seeds, levels and clusters.
    """
    protocols = _protocol_facts(manifests)
    curves = CurveFiles()
    made = []
    summaries: dict[tuple[str, str], list[SectionSummary]] = {}
    for analysis in analyses:  # one at a time, because each may be large
        chapter = (_complete_chapter if complete else _summary_chapter)(analysis, protocols, curves)
        if against_published:
            chapter = _with_published(chapter, analysis)
        if with_stability:
            chapter = _with_stability(chapter, analysis)
        made.append(chapter)
        metric = analysis.headline.metric.name
        # Results of one task have one dialect and one first metric, and only these are compared.
        summaries.setdefault((analysis.dialect.name, metric), []).append(section_summary(analysis, metric))
    return [*_comparing_chapters(summaries), *made]


def _protocol_facts(manifests: Iterable[Mapping[str, Any]]) -> ProtocolFacts:
    protocols = {}
    for run in manifests:
        for name, protocol in run["protocols"].items():
            protocols[protocol["digest"], name] = protocol
    return protocols


def _comparing_chapters(summaries: Mapping[tuple[str, str], Sequence[SectionSummary]]) -> list[Chapter]:
    """Overviews and learning curves of sections by dialect and metric; none of a single section."""
    learning = learning_chapters(point for of_task in summaries.values() for point in learning_points(of_task))
    overviews = []
    for (dialect, metric), of_task in summaries.items():
        # A learning curve compares the sizes; the overview compares protocols and data sets.
        compared = whole_sections(of_task) if learning else of_task
        if len(compared) > 1:
            overviews.append(overview_of(compared, dialect, metric))
    return [*overviews, *learning]


def _summary_chapter(analysis: Analysis, protocols: ProtocolFacts, curves: CurveFiles) -> Chapter:
    heading = f"{analysis.section.protocol} on {analysis.section.dataset}"
    title = _about(analysis, protocols).get("title", "")
    lines = (f"{title + ': ' if title else ''}{_setting(analysis)} {_realised(analysis)}", *clustering(analysis))
    tables = summary_tables(analysis)
    for asked_for in (_value_of_quality(analysis), tuning_table(analysis), selection_table(analysis, curves)):
        if asked_for is not None:
            tables = (*tables, asked_for)
    return Chapter(heading, lines, tables, verdict(analysis))


def _about(analysis: Analysis, protocols: ProtocolFacts) -> Mapping[str, Any]:
    """The description of the protocol; empty if the manifest is lost."""
    # Two definitions of one name can be in a store, so the digest is part of the key.
    section = analysis.section
    about: Mapping[str, Any] = protocols.get((section.cells[0].cell.protocol_digest, section.protocol), {})
    return about


def _realised(analysis: Analysis) -> str:
    """The largest realised corruption, since nominal levels mean different things in different protocols."""
    largest = {name: float(values.max()) for name, values in analysis.realised.items()}
    parts = [f"{100 * largest[name]:.1f} % of {name} missing" for name in ("modalities", "frames") if largest[name]]
    noise = max((value for name, value in largest.items() if name.startswith("noise_")), default=0.0)
    if noise:
        parts.append(f"noise of {noise:.2f} σ_ref")
    return f"Realised corruption at the worst level: {', '.join(parts) or 'nothing'}."


def _complete_chapter(analysis: Analysis, protocols: ProtocolFacts, curves: CurveFiles) -> Chapter:
    section = analysis.section
    about = _about(analysis, protocols)
    lines = [line for line in (about.get("title"), about.get("definition")) if line]
    lines += [_setting(analysis), *clustering(analysis), how_to_read(analysis)]
    names = names_by_rank(analysis)
    tables = [ranking_table(analysis), *(sorted_by(names, table) for table in _tables(analysis, curves))]
    return Chapter(f"{section.protocol} on {section.dataset}", tuple(lines), tuple(tables), verdict(analysis))


def _with_published(chapter: Chapter, analysis: Analysis) -> Chapter:
    """The chapter with published numbers, or with a line that there are none."""
    from qamoe_bench.report.published import published_table

    table = published_table(analysis)
    if table is not None:
        return replace(chapter, tables=(*chapter.tables, table))
    section = analysis.section
    none = f"There are no published numbers for {section.dataset} under {section.protocol}."
    return replace(chapter, lines=(*chapter.lines, none))


def _with_stability(chapter: Chapter, analysis: Analysis) -> Chapter:
    from qamoe_bench.report.stability_table import stability_tables

    return replace(chapter, tables=(*chapter.tables, *stability_tables(analysis)))


def _value_of_quality(analysis: Analysis) -> Table | None:
    """What knowing quality is worth; None without rows of predictors that know the law of the data."""
    if not any(analysis.section.find(name) is not None for name in LIMITS):
        return None
    from qamoe_bench.report.quality_value_table import quality_value_table

    return quality_value_table(analysis)


def _setting(analysis: Analysis) -> str:
    """Samples, training, seeds and metrics in one line."""
    section = analysis.section
    regimes = sorted({row.regime for row in section.rows} - {""})  # the oracle is not trained and has none
    seeds = ", ".join(map(str, section.seeds))
    fewer = [f"{row.name} has {len(row.seeds)}" for row in section.rows if len(row.seeds) < len(section.seeds)]
    exceptions = f" (of these, {', '.join(fewer)})" if fewer else ""
    return (
        f"{section.samples} test samples{_task(section.task)}; training regime: {' and '.join(regimes) or 'none'}; "
        f"seeds: {seeds}{exceptions}; metric dialect: {analysis.dialect.name}. All values are means over all seeds of "
        "a row."
    )


def _task(task: Task) -> str:
    """The classes or labels of the samples, as the end of a phrase; empty for labels on a scale."""
    if task.is_regression:
        return ""
    what = "classes" if task.kind == "classes" else "labels, of which any may hold,"
    return f" of {len(task.names)} {what} ({', '.join(task.names)})"


def clustering(analysis: Analysis) -> tuple[str, ...]:
    """The clusters of the test samples and what they do to the intervals, as a line; empty for independent samples."""
    effect = analysis.widening
    if effect is None:
        return ()
    clusters = effect.clusters
    wider = f"intervals of {effect.metric} are {effect.means:.1f} times as wide"
    if np.isfinite(effect.differences):
        wider += f", those of differences {effect.differences:.1f} times,"
    return (
        f"The test samples come from {counted(clusters.count, clusters.kind)} of {clusters.sizes.min()} to "
        f"{clusters.sizes.max()} samples ({clusters.source}), and samples of one {clusters.kind} are alike: intervals "
        f"and tests resample whole {clusters.kind}s, with {clusters.count - 1} degrees of freedom. By that, {wider} as "
        "if samples were independent (medians).",
    )


def _tables(analysis: Analysis, curves: CurveFiles) -> Iterator[Table]:
    yield model_table(analysis)
    yield corruption_table(analysis)
    for scores in analysis.scores:
        yield level_table(analysis, scores)
        yield summary_table(analysis, scores)
        for regime in SINGLE_CHECKPOINT:
            if (gap := specialist_table(analysis, scores, regime)) is not None:  # only with models of both regimes
                yield gap
    if (value := _value_of_quality(analysis)) is not None:
        yield value
    if (tuning := tuning_table(analysis)) is not None:  # only with rows that `tune` chose the settings of
        yield tuning
    yield runs_table(analysis)
    if (diagnosis := selection_table(analysis, curves)) is not None:  # only with curves of `run --diagnose-selection`
        yield diagnosis
    if (profile := profile_table(analysis)) is not None:  # only with MAE, `mean` and the oracle
        yield profile
    yield from _audits(analysis)


def _audits(analysis: Analysis) -> Iterator[Table]:
    """Tables for rows that store more than predictions: variances, quality scores, interventions, gate weights."""
    yield from class_tables(analysis)
    if analysis.uncertainty:
        yield uncertainty_table(analysis)
    yield from quality_tables(analysis)
    if analysis.evaluation_effects:
        yield evaluation_table(analysis)
    if analysis.experts:
        yield expert_table(analysis)
