"""A metric of every row, seed and condition, with its bootstrap resamples over the test samples.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, R resamples; B (row, seed) pairs of a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.definitions import Array, Definition
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, estimate, mean_of_defined
from qamoe_bench.statistics.resampling import RESAMPLES, resampled_terms

Reduction = Callable[[Values], Values]
"""Maps values whose last axis is conditions to values without it, or with another last axis."""
BATCH = 200_000
"""Number of predictions that are resampled in one matrix product."""
SMALL = RESAMPLES // 5
"""Samples that each vector of predictions counts for at least."""


def over_conditions(values: Float[Values, "*more C"]) -> Float[Values, "*more"]:
    """The mean over all conditions."""
    return np.asarray(values.mean(-1))


def _unchanged(values: Values) -> Values:
    return values


@dataclass(frozen=True)
class Scores:
    """One metric of all rows of a section.

    Attributes:
        metric: The metric.
        values: (M, S, C), the mean over draws; NaN where it is undefined, or where a row lacks the seed.
        resampled: The same for every resample of the test samples, (R, M, S, C).
        has_seed: Whether a row has a seed, (M, S).
        sample_freedom: Degrees of freedom of a variance over resamples.
    """

    metric: Metric
    values: Float[Values, "M S C"]
    resampled: Float[Values, "R M S C"]
    has_seed: Bool[NDArray[np.bool_], "M S"]
    sample_freedom: float

    def reduced(self, reduce: Reduction = _unchanged) -> tuple[Float[Values, "M S ..."], Float[Values, "R M S ..."]]:
        """Values and resamples after a reduction of the conditions; NaN for a row where one of its seeds is undefined.

        A mean over the other seeds would look like any other mean, though it stands for other runs.
        """
        return self.complete(reduce(self.values)), reduce(self.resampled)

    def complete(self, values: Float[Values, "M S ..."]) -> Float[Values, "M S ..."]:
        """Values by row and seed, with NaN for all seeds of a row if one that it has is undefined."""
        is_lost = ~np.isfinite(values) & self.has_seed.reshape(*self.has_seed.shape, *[1] * (values.ndim - 2))
        return np.where(is_lost.any(1, keepdims=True), np.nan, values)

    def means(self, reduce: Reduction = _unchanged) -> Float[Values, "M ..."]:
        """The mean over the seeds of each row; NaN where one of them is undefined."""
        return mean_of_defined(self.complete(reduce(self.values)), 1)

    def estimate(self, reduce: Reduction = _unchanged) -> Estimate:
        """As `means`, with variances.

        Args:
            reduce: Applied first; a reduction of the conditions, which are the last axis.
        """
        values, resampled = self.reduced(reduce)
        return estimate(np.moveaxis(values, 1, 0), np.moveaxis(resampled, 2, 1), self.sample_freedom)


def score(section: Section, dialect: Dialect, metric: str) -> Scores:
    """One metric of every row."""
    definition = dialect.on_scale(section.label).definitions[metric]
    shape = (len(section.rows), len(section.seeds), len(section.conditions))
    values = np.full(shape, np.nan)
    resampled = np.empty((*shape, RESAMPLES))  # resamples last, as the products return them
    has_seed = np.zeros(shape[:2], bool)
    for batch in _batches(section):
        # The seeds of the first row of the batch, then those of the next.
        # (B, V, C, N), or (B, V, C, N, K) log-probabilities.
        predictions = np.concatenate([section.rows[i].predictions_for(metric) for i in batch])
        where = _rows_and_seeds(section, batch)
        terms = definition.terms(predictions.astype(np.float64), section.label)
        by_draw = definition.of(terms)  # (B, V, C)
        values[where] = by_draw.mean(1)
        has_seed[where] = True
        resampled[where] = np.moveaxis(resample(terms, section, definition), 0, -1)
    resampled[~has_seed] = np.nan
    return Scores(METRICS[metric], values, np.moveaxis(resampled, -1, 0), has_seed, section.resampling.freedom)


def resample(terms: Sequence[NDArray[Any]], section: Section, definition: Definition) -> Float[Values, "R S C"]:
    """A metric of every resample of the test samples, mean over draws, from its terms (S, V, C, N) or (N)."""
    return _mean_over_draws(resampled_terms(definition, terms, section.resampling))


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
        vectors = row.column("prediction").size // section.samples * section.task.outputs
        # The resamples of few samples take more memory than the samples.
        own_size = vectors * max(section.samples, SMALL)
        if size + own_size > BATCH:
            batches.append([])
            size = 0
        batches[-1].append(i)
        size += own_size
    return batches
