"""What knowing the quality of a sample is worth: predictors that know the law of the data, against each other.

Told the corruption (the oracle), inferring it from the frames, blind to quality, or taking everything for clean: their
differences say whether a quality score could help under a protocol at all, before any model is trained.

Dimension legend: M rows, P predictors, K levels and, last, the mean over all conditions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.registry.limits import ASSUMING_CLEAN, BLIND, INFERRING
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, differences
from qamoe_bench.store.cell import ORACLE

PREDICTORS = (ORACLE, INFERRING, BLIND, ASSUMING_CLEAN)
"""In the order of tables."""


@dataclass(frozen=True)
class QualityValue:
    """The value of knowledge about quality, in one metric.

    Attributes:
        metric: The metric.
        scores: The metric of each predictor of `PREDICTORS` that has a row, by level and in the mean (K).
        losses: By predictor, how much worse it is than the oracle, on the same samples: positive is worse, whatever
            the direction of the metric. Of the one that infers, the loss is the value of being told the corruption; of
            the blind one, the value of being aware of quality. Estimates over levels and the mean (K), not corrected
            for their number.
    """

    metric: Metric
    scores: Mapping[str, Float[Values, " K"]]
    losses: Mapping[str, Estimate]


def quality_value(section: Section, scores: Scores) -> QualityValue | None:
    """The value of knowledge about quality; None unless the oracle has a row and another of `PREDICTORS` has one."""
    rows = {name: row for name in PREDICTORS if (row := section.find(name)) is not None}
    if ORACLE not in rows or len(rows) < 2:
        return None
    means = scores.means(section.levels.with_mean)  # (M, K)
    others = [name for name in rows if name != ORACLE]
    pairs = [(rows[ORACLE], rows[name]) for name in others]
    # None of them is trained, so nothing is pooled over pairs.
    untrained = np.zeros(len(section.rows), bool)
    gaps = differences(*scores.reduced(section.levels.with_mean), pairs, untrained, scores.sample_freedom)  # (P, K)
    losses = {}
    for place, name in enumerate(others):
        losses[name] = _of_pair(gaps, place, scores.metric.sign)
    return QualityValue(scores.metric, {name: means[row] for name, row in rows.items()}, losses)


def _of_pair(gaps: Estimate, place: int, sign: int) -> Estimate:
    """The estimate of one pair, with its value in the direction in which the metric improves."""
    return replace(
        gaps,
        value=sign * gaps.value[place],
        of_seeds=gaps.of_seeds[place],
        of_samples=gaps.of_samples[place],
        both=gaps.both[place],
        freedom=gaps.freedom[place],
    )
