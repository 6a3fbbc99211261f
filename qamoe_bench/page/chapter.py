"""A chapter of the page: one protocol on one data set, with its figures and tables in every dialect that fits."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from qamoe_bench.analysis.analyse import Analysis, analyse_section
from qamoe_bench.analysis.comparisons import ranking
from qamoe_bench.analysis.quality_curves import quality_curves
from qamoe_bench.analysis.scores import Scores, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.sensitivity import sensitivity
from qamoe_bench.analysis.shared_results import SharedResults
from qamoe_bench.analysis.stability import fitting_dialects
from qamoe_bench.metrics.choice import MetricChoice, headline
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.page.board import board
from qamoe_bench.page.calibration import calibration_figure
from qamoe_bench.page.compare import error_origins, level_differences
from qamoe_bench.page.cost import cost_figures
from qamoe_bench.page.curves import curve_figure
from qamoe_bench.page.figure import Figure
from qamoe_bench.page.landscape import difference_figure, landscape_figure
from qamoe_bench.page.left_out import reasons_left_out
from qamoe_bench.page.modalities import modality_figure
from qamoe_bench.page.quality import quality_charts
from qamoe_bench.page.samples import hard_samples
from qamoe_bench.page.significance import significance_figure
from qamoe_bench.page.value import ValueOfQuality, value_of_quality
from qamoe_bench.report.audit_tables import corruption_table, model_table, uncertainty_table
from qamoe_bench.report.class_tables import class_tables
from qamoe_bench.report.metric_tables import how_to_read, level_table, summary_table
from qamoe_bench.report.quality_tables import intervention_table, permutation_table
from qamoe_bench.report.table import Table
from qamoe_bench.report.tables import clustering

Result = TypeVar("Result")
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
        value: What knowing quality is worth; None without predictors that know the law of the data.
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
    value: ValueOfQuality | None
    samples: Mapping[str, Any] | None
    origins: Mapping[str, Any] | None
    absent: tuple[str, ...]
    clustering: tuple[str, ...]

    def shown(self, group: str) -> list[tuple[Figure, list[str]]]:
        """The figures of a section of the page, each once, with the names of the dialects that show it."""
        return self._once(lambda part: [figure for figure in part.figures if figure.group == group])

    def folded(self) -> list[tuple[Figure, list[str]]]:
        """The curves that are folded at first, in the same way."""
        return self._once(lambda part: part.more)

    def _once(self, select: Callable[[ChapterInDialect], Iterable[Figure]]) -> list[tuple[Figure, list[str]]]:
        users: dict[int, tuple[Figure, list[str]]] = {}  # by id(), since figures are not hashable
        for part in self.dialects:
            for figure in select(part):
                users.setdefault(id(figure), (figure, []))[1].append(part.dialect.name)
        return list(users.values())


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
    name: str,
    section: Section,
    about: Mapping[str, Any],
    choice: MetricChoice,
    texts: Mapping[str, str],
    *,
    is_brief: bool = False,
) -> PageChapter:
    """Compute and draw everything about a section.

    Args:
        name: Identifier of its place on the page.
        section: Rows and levels; its cache is cleared at the end.
        about: Description of the protocol in the manifest; may be empty.
        choice: The dialect that comes first, and the metrics to show.
        texts: Transcripts by sample id; may be empty.
        is_brief: Whether to show only what compares the models, in one dialect and one metric unless some are chosen.
    """
    if is_brief:
        return _brief_chapter(name, section, about, choice)
    shared = SharedResults(section)
    analysed = list(_analyses(section, choice, shared))
    first = analysed[0]
    # After all analyses, since most of the other metrics of a dialect are analysed in another one.
    dialects = [_in_dialect(analysis, shared, has_more=not choice.metrics) for analysis in analysed]
    samples = hard_samples(section, texts)
    origins = error_origins(section)
    figures = tuple(_common_figures(first))
    tables = _common_tables(first)
    section.clear_cache()  # figures and tables hold no reference to the predictions
    return PageChapter(
        name=name,
        section=section,
        about=about,
        dialects=tuple(dialects),
        figures=figures,
        tables=tables,
        value=value_of_quality(first),
        samples=samples,
        origins=origins,
        absent=reasons_left_out((*dialects[0].figures, *figures), samples is not None),
        clustering=clustering(first),
    )


def _brief_chapter(name: str, section: Section, about: Mapping[str, Any], choice: MetricChoice) -> PageChapter:
    """The chapter of a page of many cells: curves, ranking, pairs and cost."""
    dialect = choice.dialect_for(section.task)
    metrics = choice.metrics_for(dialect) if choice.metrics else (headline(dialect.shown),)
    shared = SharedResults(section)
    analysis = analyse_section(section, dialect, metrics, shared=shared, audits=False)
    part = _in_dialect(analysis, shared, has_more=False, kinds=BRIEF)
    value = value_of_quality(analysis)
    section.clear_cache()
    return PageChapter(
        name=name,
        section=section,
        about=about,
        dialects=(part,),
        figures=(),
        tables=(corruption_table(analysis), model_table(analysis)),
        value=value,
        samples=None,
        origins=None,
        absent=(),
        clustering=clustering(analysis),
    )


def _analyses(section: Section, choice: MetricChoice, shared: SharedResults) -> Iterator[Analysis]:
    """The section in every applicable dialect; what dialects share is computed once."""
    first: Analysis | None = None
    for dialect in applicable_dialects(section, choice):
        analysis = analyse_section(section, dialect, choice.metrics_for(dialect), first, shared)
        first = first or analysis
        yield analysis


def _in_dialect(
    analysis: Analysis, shared: SharedResults, *, has_more: bool, kinds: Sequence[str] = ()
) -> ChapterInDialect:
    """The parts in the dialect of an analysis; figures of some kinds, or of all."""
    tables = [summary_table(analysis, scores) for scores in analysis.scores]
    permutations = permutation_table(analysis)
    if permutations.rows:
        tables.append(permutations)
    if analysis.intervention_effects:
        tables.append(intervention_table(analysis))

    def by_metric(kind: str, compute: Callable[[Analysis, Scores], Result]) -> dict[str, Result]:
        made = {}
        for s in analysis.scores:
            made[s.metric.name] = shared.once(kind, analysis.dialect, s.metric.name, partial(compute, analysis, s))
        return made

    figures: list[Figure] = []
    for kind in kinds or FIGURES:
        figures += chain.from_iterable(by_metric(kind, FIGURES[kind]).values())
    return ChapterInDialect(
        dialect=analysis.dialect,
        boards=by_metric("board", _board),
        differences=by_metric("differences by level", _differences) if len(analysis.section.rows) > 1 else {},
        how_to_read=how_to_read(analysis),
        figures=tuple(figures),
        more=_more_curves(analysis, shared) if has_more else (),
        tables=tuple(tables),
    )


def _board(analysis: Analysis, scores: Scores) -> Mapping[str, Any]:
    metric = scores.metric
    mean = analysis.summaries[metric.name]["mean"].estimate()
    return board(analysis.section, metric, mean, analysis.pairs[metric.name])


def _differences(analysis: Analysis, scores: Scores) -> Mapping[str, Any]:
    return level_differences(analysis.section, scores, analysis.pairs[scores.metric.name])


def _more_curves(analysis: Analysis, shared: SharedResults) -> tuple[Figure, ...]:
    """Curves of the metrics of the dialect that the analysis leaves out."""
    dialect = analysis.dialect
    analysed = {scores.metric.name for scores in analysis.scores}

    def draw(metric: str) -> Figure:
        # Not kept, unlike those of an analysis: resamples of many metrics are large.
        section = analysis.section
        scores = shared.known("scores", dialect, metric) or score(section, dialect, metric)
        ranks = shared.once("rankings", dialect, metric, partial(ranking, section, scores))
        return curve_figure(section, scores, ranks)

    others = [metric for metric in dialect.definitions if metric not in analysed]
    return tuple(shared.once("folded curve", dialect, metric, partial(draw, metric)) for metric in others)


def _curves(analysis: Analysis, scores: Scores) -> list[Figure]:
    table = level_table(analysis, scores)
    return [curve_figure(analysis.section, scores, analysis.rankings[scores.metric.name], table)]


def _landscapes(analysis: Analysis, scores: Scores) -> list[Figure]:
    figures = (landscape_figure(analysis.section, scores), difference_figure(analysis.section, scores))
    return [figure for figure in figures if figure is not None]


def _modalities(analysis: Analysis, scores: Scores) -> list[Figure]:
    losses = sensitivity(analysis.section, analysis.dialect, scores.metric.name)
    # None where the protocol never removes whole modalities.
    return [] if losses is None else [modality_figure(analysis.section, losses)]


def _pairs_and_cost(analysis: Analysis, scores: Scores) -> list[Figure]:
    section = analysis.section
    metric = scores.metric
    pairs = significance_figure(section, metric, analysis.pairs[metric.name])
    costs = cost_figures(section, metric, analysis.summaries[metric.name]["mean"])
    return costs if pairs is None else [pairs, *costs]


FIGURES: Mapping[str, Callable[[Analysis, Scores], list[Figure]]] = {
    "curves": _curves,
    "landscapes": _landscapes,
    "modalities": _modalities,
    "pairs and cost": _pairs_and_cost,
}
"""The figures of one metric, by the part of the page that they are drawn for."""
BRIEF = ("curves", "pairs and cost")
"""Those of a page of many cells."""


def _common_figures(analysis: Analysis) -> Iterator[Figure]:
    yield from quality_charts(analysis, quality_curves(analysis.section))
    if analysis.uncertainty:
        yield calibration_figure(analysis)


def _common_tables(analysis: Analysis) -> tuple[Table, ...]:
    tables = [corruption_table(analysis), model_table(analysis)]
    tables += class_tables(analysis)
    if analysis.uncertainty:
        tables.append(uncertainty_table(analysis))
    return tuple(tables)
