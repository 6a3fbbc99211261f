"""A chapter of the page: one protocol on one data set, with its figures and tables in every dialect that fits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qamoe_bench.analysis.analyse import Analysis, analyse_section
from qamoe_bench.analysis.comparisons import ranking
from qamoe_bench.analysis.quality_curves import quality_curves
from qamoe_bench.analysis.scores import Scores, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.sensitivity import Sensitivity, sensitivity
from qamoe_bench.analysis.stability import fitting_dialects
from qamoe_bench.metrics.choice import MetricChoice
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.page.board import board
from qamoe_bench.page.calibration import calibration_figure
from qamoe_bench.page.compare import error_origins, level_differences
from qamoe_bench.page.cost import cost_figures
from qamoe_bench.page.curves import curve_figure
from qamoe_bench.page.figure import Figure
from qamoe_bench.page.landscape import difference_figure, landscape_figure
from qamoe_bench.page.left_out import reasons_left_out
from qamoe_bench.page.marks import Look
from qamoe_bench.page.modalities import modality_figure
from qamoe_bench.page.quality import quality_charts
from qamoe_bench.page.samples import hard_samples
from qamoe_bench.page.significance import significance_figure
from qamoe_bench.report.audit_tables import corruption_table, model_table, uncertainty_table
from qamoe_bench.report.class_tables import class_tables
from qamoe_bench.report.metric_tables import how_to_read, level_table, summary_table
from qamoe_bench.report.quality_tables import intervention_table, permutation_table
from qamoe_bench.report.table import Table
from qamoe_bench.report.tables import clustering

# Predictions of a section above which only the requested dialect is computed, to bound the time
MOST_PREDICTIONS = 30_000_000


@dataclass(frozen=True)
class ChapterInDialect:
    """The parts of a chapter that depend on the dialect.

    Attributes:
        dialect: The dialect.
        boards: By metric, the ranking; see `qamoe_bench.page.board`.
        differences: By metric, the differences of all pairs by level; see `qamoe_bench.page.compare`.
        how_to_read: Legend of the tables.
        figures: Figures of the metrics shown.
        more: Curves of the other metrics of the dialect, folded at first.
        tables: Tables over the whole sweep.
    """

    dialect: Dialect
    boards: Mapping[str, Mapping[str, Any]]
    differences: Mapping[str, Mapping[str, Any]]
    how_to_read: str
    figures: tuple[Figure, ...]
    more: tuple[Figure, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class PageChapter:
    """One section of the report.

    Attributes:
        name: Identifier of its place on the page.
        section: Rows and levels.
        about: Description of the protocol in the manifest; may be empty.
        dialects: The parts that depend on the dialect, the requested one first.
        figures: Figures that are the same in all dialects.
        tables: Tables that are the same in all dialects.
        samples: Data about individual samples; None if there is nothing to compare.
        origins: Where differences between models come from; None if that cannot be said.
        absent: Reasons why some parts are left out.
        clustering: A sentence on the clusters of the test samples, if they have any.
    """

    name: str
    section: Section
    about: Mapping[str, Any]
    dialects: tuple[ChapterInDialect, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    samples: Mapping[str, Any] | None
    origins: Mapping[str, Any] | None
    absent: tuple[str, ...]
    clustering: tuple[str, ...]


def applicable_dialects(section: Section, choice: MetricChoice) -> list[Dialect]:
    """The requested dialect, then all others that fit the labels and define the metrics."""
    requested = choice.dialect_for(section.task)
    wanted = choice.metrics_for(requested) if choice.metrics else ()
    predictions = len(section.cells) * len(section.conditions) * section.samples
    if predictions > MOST_PREDICTIONS:
        return [requested]
    # The requested dialect stays even if it does not fit: the user chose it.
    dialects = [requested]
    for dialect in fitting_dialects(section):
        has_metrics = all(metric in dialect.definitions for metric in wanted)
        if has_metrics and dialect is not requested:
            dialects.append(dialect)
    return dialects


def page_chapter(
    name: str, section: Section, about: Mapping[str, Any], choice: MetricChoice, look: Look, texts: Mapping[str, str]
) -> PageChapter:  # fmt: skip
    """Compute and draw everything about a section.

    Args:
        name: Identifier of its place on the page.
        section: Rows and levels; its cache is cleared at the end.
        about: Description of the protocol in the manifest; may be empty.
        choice: The dialect that comes first, and the metrics to show.
        look: Styles of the rows.
        texts: Transcripts by sample id; may be empty.
    """
    cache = _MetricCache(section)
    dialects: list[ChapterInDialect] = []
    first: Analysis | None = None
    for analysis in _analyses(section, choice):
        first = first or analysis
        dialects.append(_in_dialect(analysis, look, cache, has_more=not choice.metrics))
    assert first is not None
    samples = hard_samples(section, texts)
    origins = error_origins(section)
    figures = tuple(_common_figures(first, look))
    tables = _common_tables(first)
    section.clear_cache()  # figures and tables hold no reference to the predictions
    return PageChapter(
        name=name,
        section=section,
        about=about,
        dialects=tuple(dialects),
        figures=figures,
        tables=tables,
        samples=samples,
        origins=origins,
        absent=reasons_left_out((*dialects[0].figures, *figures), samples is not None),
        clustering=clustering(first),
    )


def _analyses(section: Section, choice: MetricChoice) -> Iterator[Analysis]:
    """The section in every applicable dialect, one at a time because each holds many resamples.

    What dialects share is computed for the first one only.
    """
    first: Analysis | None = None
    for dialect in applicable_dialects(section, choice):
        analysis = analyse_section(section, dialect, choice.metrics_for(dialect), first)
        first = first or analysis
        yield analysis


class _MetricCache:
    """Results by metric and definition, because dialects share many definitions."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._scores: dict[tuple[str, Definition], Scores] = {}
        self._sensitivities: dict[tuple[str, Definition], Sensitivity | None] = {}
        self._boards: dict[tuple[str, Definition], Mapping[str, Any]] = {}
        self._differences: dict[tuple[str, Definition], Mapping[str, Any]] = {}

    def score(self, dialect: Dialect, metric: str) -> Scores:
        # Definitions are values: dialects that define a metric alike share one entry.
        key = (metric, dialect.definitions[metric])
        if key not in self._scores:
            self._scores[key] = score(self._section, dialect, metric)
        return self._scores[key]

    def sensitivity(self, dialect: Dialect, metric: str) -> Sensitivity | None:
        key = (metric, dialect.definitions[metric])
        if key not in self._sensitivities:
            self._sensitivities[key] = sensitivity(self._section, dialect, metric)
        return self._sensitivities[key]

    def board(self, analysis: Analysis, scores: Scores) -> Mapping[str, Any]:
        metric = scores.metric
        key = (metric.name, analysis.dialect.definitions[metric.name])
        if key not in self._boards:
            mean = analysis.summaries[metric.name]["mean"].estimate()
            self._boards[key] = board(self._section, metric, mean, analysis.pairs[metric.name])
        return self._boards[key]

    def differences(self, analysis: Analysis, scores: Scores) -> Mapping[str, Any]:
        name = scores.metric.name
        key = (name, analysis.dialect.definitions[name])
        if key not in self._differences:
            self._differences[key] = level_differences(self._section, scores, analysis.pairs[name])
        return self._differences[key]


def _in_dialect(analysis: Analysis, look: Look, cache: _MetricCache, *, has_more: bool) -> ChapterInDialect:
    figures = tuple(figure for figure in _figures(analysis, look, cache) if figure is not None)
    tables = [summary_table(analysis, scores) for scores in analysis.scores]
    permutations = permutation_table(analysis)
    if permutations.rows:
        tables.append(permutations)
    if analysis.intervention_effects:
        tables.append(intervention_table(analysis))
    return ChapterInDialect(
        dialect=analysis.dialect,
        boards={s.metric.name: cache.board(analysis, s) for s in analysis.scores},
        differences=_level_differences(analysis, cache),
        how_to_read=how_to_read(analysis),
        figures=figures,
        more=_more_curves(analysis, look, cache) if has_more else (),
        tables=tuple(tables),
    )


def _level_differences(analysis: Analysis, cache: _MetricCache) -> Mapping[str, Mapping[str, Any]]:
    if len(analysis.section.rows) < 2:
        return {}
    return {s.metric.name: cache.differences(analysis, s) for s in analysis.scores}


def _more_curves(analysis: Analysis, look: Look, cache: _MetricCache) -> tuple[Figure, ...]:
    """Curves of the metrics of the dialect that the analysis leaves out."""
    section = analysis.section
    dialect = analysis.dialect
    analysed = {scores.metric.name for scores in analysis.scores}
    figures = []
    for metric in dialect.definitions:
        if metric not in analysed:
            scores = cache.score(dialect, metric)
            figures.append(curve_figure(section, scores, ranking(section, scores), look, dialect.name))
    return tuple(figures)


def _figures(analysis: Analysis, look: Look, cache: _MetricCache) -> Iterator[Figure | None]:
    """The figures of the dialect by kind, and by metric within a kind."""
    section = analysis.section
    dialect = analysis.dialect.name
    for scores in analysis.scores:
        ranks = analysis.rankings[scores.metric.name]
        yield curve_figure(section, scores, ranks, look, dialect, level_table(analysis, scores))
    for scores in analysis.scores:
        yield landscape_figure(section, scores, dialect)
        yield difference_figure(section, scores, dialect)
    for scores in analysis.scores:
        losses = cache.sensitivity(analysis.dialect, scores.metric.name)
        # None where the protocol never removes whole modalities.
        yield modality_figure(section, losses, look, dialect) if losses else None
    for scores in analysis.scores:
        mean = analysis.summaries[scores.metric.name]["mean"]
        yield significance_figure(section, scores.metric, analysis.pairs[scores.metric.name], dialect)
        yield from cost_figures(section, scores.metric, mean, look, dialect)


def _common_figures(analysis: Analysis, look: Look) -> Iterator[Figure]:
    yield from quality_charts(analysis, quality_curves(analysis.section), look)
    if analysis.uncertainty:
        yield calibration_figure(analysis, look)


def _common_tables(analysis: Analysis) -> tuple[Table, ...]:
    tables = [corruption_table(analysis), model_table(analysis)]
    tables += class_tables(analysis)
    if analysis.uncertainty:
        tables.append(uncertainty_table(analysis))
    return tuple(tables)
