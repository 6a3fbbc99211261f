"""A metric of every row, seed and condition, with its resamples over the test samples.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, R resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.definitions import Array, Definition
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.statistics.intervals import Estimate, estimate
from qamoe_bench.statistics.resampling import RESAMPLES, resampled, resampled_terms, sample_weights

Values = NDArray[np.float64]
BATCH = 200_000
"""Predictions to resample in one product."""


@dataclass(frozen=True)
class Scores:
    """One metric of the rows of a section.

    Attributes:
        metric: Which.
        values: (M, S, C), the mean over draws; NaN where it is undefined, or a row lacks the seed.
        resampled: The same of every resample of the test samples, (R, M, S, C).
        undefined: In how many (row, seed, draw, condition) the metric is undefined.
    """

    metric: Metric
    values: Float[Values, "M S C"]
    resampled: Float[Values, "R M S C"]
    undefined: int

    def estimate(self, reduced: Callable[[Values], Values] = lambda x: x) -> Estimate:
        """Mean over seeds of each row, (M, ...), of what a reduction leaves of the conditions, which are last."""
        values, again = reduced(self.values), reduced(self.resampled)
        return estimate(np.moveaxis(values, 1, 0), np.moveaxis(again, 2, 1))


def score(section: Section, dialect: Dialect, metric: str) -> Scores:
    """One metric of every row."""
    definition, weights = dialect.definitions[metric], sample_weights(section.samples)
    shape = len(section.rows), len(section.seeds), len(section.conditions)
    values, again = np.full(shape, np.nan), np.empty((*shape, RESAMPLES))
    missing, undefined = np.ones(shape[:2], bool), 0
    for batch in _batches(section):
        where = tuple(np.array([(i, place) for i in batch for place in section.seed_indices(section.rows[i])]).T)
        answers = np.concatenate(
            [section.rows[i].predictions_for(metric) for i in batch]
        )  # a row's seeds, then the next's
        terms = definition.terms(answers.astype(np.float64), section.label)
        of_draws = definition.of(terms)  # (S, V, C)
        undefined += int(np.isnan(of_draws).sum())
        values[where], missing[where] = of_draws.mean(1), False
        again[where] = np.moveaxis(_over_draws(resampled_terms(definition, terms, weights)), 0, -1)
    again[missing] = np.nan
    return Scores(METRICS[metric], values, np.moveaxis(again, -1, 0), undefined)


def resample(
    predictions: Float[NDArray[np.floating], "S V C N"], section: Section, definition: Definition
) -> Float[Values, "R S C"]:
    """A metric of every resample of the test samples, mean over draws."""
    return _over_draws(resampled(definition, predictions, section.label, sample_weights(section.samples)))


def _over_draws(found: Float[Array, "R S V C"]) -> Float[Values, "R S C"]:
    return np.asarray(found[:, :, 0] if found.shape[2] == 1 else found.mean(2), np.float64)


def _batches(section: Section) -> list[list[int]]:
    """Rows, several at a time where they are small: products are cheaper together, as long as a cache holds them."""
    batches, size = list[list[int]](), BATCH
    for i, row in enumerate(section.rows):
        own = row.column("prediction").size
        if size + own > BATCH:
            batches.append([])
            size = 0
        batches[-1].append(i)
        size += own
    return batches
