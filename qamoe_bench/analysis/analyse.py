"""The complete analysis of a section, computed once for all output formats."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from qamoe_bench.analysis.audits import UncertaintyAudit, experts_in_use, realised, uncertainty
from qamoe_bench.analysis.comparisons import (
    Difference,
    PairDifferences,
    Ranking,
    differences_from_control,
    evaluation_effects,
    pairwise_differences,
    ranking,
)
from qamoe_bench.analysis.confusion import ClassResults, class_results
from qamoe_bench.analysis.quality_effects import PermutationTest, intervention_effects, permutation_tests
from qamoe_bench.analysis.quality_validity import QualityAudit, quality
from qamoe_bench.analysis.scores import Scores, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.shared_results import SharedResults
from qamoe_bench.analysis.summaries import SweepSummary, summaries
from qamoe_bench.analysis.widening import Widening, widening
from qamoe_bench.metrics.choice import headline
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.on_access import OnAccess
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate

Result = TypeVar("Result")


@dataclass(frozen=True)
class Analysis:
    """All results of a section.

    Attributes:
        section: Its rows and levels.
        dialect: The definitions of the metrics.
        scores: The metrics shown, in order.
        summaries: By metric, see `qamoe_bench.analysis.summaries`.
        rankings: By metric.
        pairs: Differences of all pairs of contestants, by metric.
        differences: By metric, from the control by row.
        evaluation_effects: By the index of a row and that of the same weights under default settings of the
            evaluation; arrays over the metrics in order.
        realised: The realised corruption, by condition.
        uncertainty: By row name, for rows with variances.
        quality: By row name and modality, for rows with quality scores.
        intervention_effects: By row name and intervention; arrays over the metrics in order.
        permutation_tests: By row name, for rows that predict with given quality scores.
        experts: By row name and modality, the effective number of experts.
        class_results: By row name, of tasks with classes or labels.
        widening: The effect of clusters on the intervals of the metric that decides the order; None without clusters.
    """

    section: Section
    dialect: Dialect
    scores: Sequence[Scores]
    summaries: Mapping[str, Mapping[str, SweepSummary]]
    rankings: Mapping[str, Ranking]
    pairs: Mapping[str, PairDifferences]
    differences: Mapping[str, Mapping[int, Difference]]
    evaluation_effects: Mapping[tuple[int, int], Estimate]
    realised: Mapping[str, Values]
    uncertainty: Mapping[str, UncertaintyAudit]
    quality: Mapping[str, Mapping[str, QualityAudit]]
    intervention_effects: Mapping[str, Mapping[str, Estimate]]
    permutation_tests: Mapping[str, Sequence[PermutationTest]]
    experts: Mapping[str, Mapping[str, float]]
    class_results: Mapping[str, ClassResults]
    widening: Widening | None

    @property
    def headline(self) -> Scores:
        """The scores that decide the order of the rows, see `qamoe_bench.metrics.choice.headline`."""
        return _headline(self.scores)


def analyse_section(
    section: Section,
    dialect: Dialect,
    metrics: Sequence[str],
    like: Analysis | None = None,
    shared: SharedResults | None = None,
    *,
    audits: bool = True,
) -> Analysis:
    """Analyse a section; its cached columns are released afterwards.

    Args:
        section: The section to analyse.
        dialect: The definitions of the metrics.
        metrics: The metrics shown.
        like: An analysis of the same section in another dialect; what concerns no metric is taken from it.
        shared: Results of single metrics of the section, which analyses in several dialects share.
        audits: Whether to compute what concerns single rows: variances, quality scores and experts. A summary does
            without, in half of the time.
    """
    shared = shared or SharedResults(section)
    if not audits:
        for row in section.rows:
            row.read_predictions()
    scores = [shared.once("scores", dialect, name, partial(score, section, dialect, name)) for name in metrics]

    def by_metric(kind: str, compute: Callable[[Section, Scores], Result]) -> OnAccess[Result]:
        own = {s.metric.name: s for s in scores}
        return OnAccess(own, lambda name: shared.once(kind, dialect, name, partial(compute, section, own[name])))

    pairs = by_metric("pairs", pairwise_differences)
    rankings = by_metric("rankings", ranking)
    differences = by_metric("differences", lambda _, s: differences_from_control(section, s, pairs[s.metric.name]))
    # Here rather than on demand, because sections are analysed in threads.
    for name in metrics if audits else (_headline(scores).metric.name,):
        _ = rankings[name], differences[name]
    analysis = Analysis(
        section=section,
        dialect=dialect,
        scores=scores,
        summaries=by_metric("summaries", summaries),
        rankings=rankings,
        pairs=pairs,
        differences=differences,
        evaluation_effects=evaluation_effects(section, scores),
        realised=like.realised if like else realised(section),
        uncertainty=like.uncertainty if like else uncertainty(section) if audits else {},
        quality=like.quality if like else quality(section) if audits else {},
        intervention_effects=intervention_effects(section, dialect, scores, shared) if audits else {},
        permutation_tests=like.permutation_tests if like else permutation_tests(section) if audits else {},
        experts=like.experts if like else experts_in_use(section) if audits else {},
        class_results=like.class_results if like else _class_results(section) if audits else {},
        widening=like.widening if like else widening(section, dialect, _headline(scores)),
    )
    section.clear_cache()
    return analysis


def _class_results(section: Section) -> Mapping[str, ClassResults]:
    if section.task.is_regression:
        return {}
    return {row.name: class_results(section, row) for row in section.rows}


def _headline(scores: Sequence[Scores]) -> Scores:
    name = headline([s.metric.name for s in scores])
    return next(s for s in scores if s.metric.name == name)
