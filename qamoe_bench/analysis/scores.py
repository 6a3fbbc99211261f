"""A metric of every row, seed and condition, with its bootstrap resamples over the test samples.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, R resamples; B (row, seed) pairs of a batch.
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
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, estimate
from qamoe_bench.statistics.resampling import RESAMPLES, resampled_terms, sample_weights

BATCH = 200_000
"""Number of predictions that are resampled in one matrix product."""


@dataclass(frozen=True)
class Scores:
    """One metric of all rows of a section.

    Attributes:
        metric: The metric.
        values: (M, S, C), the mean over draws; NaN where it is undefined, or where a row lacks the seed.
        resampled: The same for every resample of the test samples, (R, M, S, C).
        undefined: The number of (row, seed, draw, condition) in which the metric is undefined.
    """

    metric: Metric
    values: Float[Values, "M S C"]
    resampled: Float[Values, "R M S C"]
    undefined: int

    def estimate(self, reduced: Callable[[Values], Values] = lambda x: x) -> Estimate:
        """Mean over seeds of each row, (M, ...), with its variances.

        Args:
            reduced: Applied first; a reduction of the conditions, which are the last axis.
        """
        values = np.moveaxis(reduced(self.values), 1, 0)  # (S, M, ...)
        resampled = np.moveaxis(reduced(self.resampled), 2, 1)  # (R, S, M, ...)
        return estimate(values, resampled)


def score(section: Section, dialect: Dialect, metric: str) -> Scores:
    """One metric of every row."""
    definition = dialect.on_scale(section.label).definitions[metric]
    weights = sample_weights(section.samples)
    shape = (len(section.rows), len(section.seeds), len(section.conditions))
    values = np.full(shape, np.nan)
    resampled = np.empty((*shape, RESAMPLES))  # resamples last, as the products return them
    is_missing = np.ones(shape[:2], bool)
    undefined = 0
    for batch in _batches(section):
        # The seeds of the first row of the batch, then those of the next.
        predictions = np.concatenate([section.rows[i].predictions_for(metric) for i in batch])  # (B, V, C, N)
        where = _rows_and_seeds(section, batch)
        terms = definition.terms(predictions.astype(np.float64), section.label)
        by_draw = definition.of(terms)  # (B, V, C)
        undefined += int(np.isnan(by_draw).sum())
        values[where] = by_draw.mean(1)
        is_missing[where] = False
        resampled[where] = np.moveaxis(_mean_over_draws(resampled_terms(definition, terms, weights)), 0, -1)
    resampled[is_missing] = np.nan
    return Scores(METRICS[metric], values, np.moveaxis(resampled, -1, 0), undefined)


def resample(
    predictions: Float[NDArray[np.floating], "S V C N"], section: Section, definition: Definition
) -> Float[Values, "R S C"]:
    """A metric of every resample of the test samples, mean over draws."""
    terms = definition.terms(predictions, section.label)
    return _mean_over_draws(resampled_terms(definition, terms, sample_weights(section.samples)))


def _mean_over_draws(values: Float[Array, "R S V C"]) -> Float[Values, "R S C"]:
    return np.asarray(values[:, :, 0] if values.shape[2] == 1 else values.mean(2), np.float64)


def _rows_and_seeds(section: Section, batch: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of row and seed for each (row, seed) of a batch, (B) each."""
    rows: list[int] = []
    seeds: list[int] = []
    for i in batch:
        own_seeds = section.seed_indices(section.rows[i])
        rows += [i] * len(own_seeds)
        seeds += own_seeds
    return np.array(rows), np.array(seeds)


def _batches(section: Section) -> list[list[int]]:
    """Groups of consecutive rows, so that small rows share a product while its operands still fit a processor cache."""
    batches: list[list[int]] = []
    size = BATCH
    for i, row in enumerate(section.rows):
        own_size = row.column("prediction").size
        if size + own_size > BATCH:
            batches.append([])
            size = 0
        batches[-1].append(i)
        size += own_size
    return batches
