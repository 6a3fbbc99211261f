"""Everything that is computed of a section, once, for every format to render."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qamoe_bench.analysis.audits import (
    QualityAudit,
    UncertaintyAudit,
    experts_in_use,
    intervention_effects,
    quality,
    realised,
    uncertainty,
)
from qamoe_bench.analysis.comparisons import Difference, Ranking, differences_from_control, evaluation_effects, ranking
from qamoe_bench.analysis.scores import Scores, Values, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.summaries import SweepSummary, summaries
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.statistics.intervals import Estimate


@dataclass(frozen=True)
class Analysis:
    """What is known of a section.

    Attributes:
        section: Its rows and levels.
        dialect: How metrics were computed.
        scores: The metrics shown, in order.
        summaries: Per metric, see `qamoe_bench.analysis.summaries`.
        rankings: Per metric.
        differences: By metric and row, from the control.
        evaluation_effects: By row and the same weights asked as usual, over the metrics in order.
        realised: What the corruption did, by condition.
        uncertainty: By row name, for rows that give a variance.
        quality: By row name and modality, for rows that give quality scores.
        intervention_effects: By row name and intervention, over the metrics in order.
        experts: By row name and modality, the number of experts in use.
    """

    section: Section
    dialect: Dialect
    scores: Sequence[Scores]
    summaries: Mapping[str, Mapping[str, SweepSummary]]
    rankings: Mapping[str, Ranking]
    differences: Mapping[tuple[str, int], Difference]
    evaluation_effects: Mapping[tuple[int, int], Estimate]
    realised: Mapping[str, Values]
    uncertainty: Mapping[str, UncertaintyAudit]
    quality: Mapping[str, Mapping[str, QualityAudit]]
    intervention_effects: Mapping[str, Mapping[str, Estimate]]
    experts: Mapping[str, Mapping[str, float]]


def analyse(section: Section, dialect: Dialect, metrics: Sequence[str], like: Analysis | None = None) -> Analysis:
    """Compute everything.

    Args:
        section: What is analysed.
        dialect: How metrics are computed.
        metrics: The metrics shown.
        like: The same section in another dialect: what is the same in both is taken from there.
    """
    same = {s.metric.name: s for s in like.scores if _is_shared(s.metric.name, like.dialect, dialect)} if like else {}
    scores = [same.get(name) or score(section, dialect, name) for name in metrics]
    found = Analysis(
        section,
        dialect,
        scores,
        {s.metric.name: summaries(section, s) for s in scores},
        {s.metric.name: ranking(section, s) for s in scores},
        differences_from_control(section, scores),
        evaluation_effects(section, scores),
        like.realised if like else realised(section),
        like.uncertainty if like else uncertainty(section),
        like.quality if like else quality(section),
        intervention_effects(section, dialect, scores),
        like.experts if like else experts_in_use(section),
    )
    section.clear_cache()
    return found


def _is_shared(metric: str, one: Dialect, other: Dialect) -> bool:
    return one.definitions[metric] == other.definitions.get(metric)
