"""A metric of every row, seed and condition, with its resamples over the test samples.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, R resamples.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.dialects import Definition, Dialect
from qamoe_bench.metrics import METRICS, Metric
from qamoe_bench.report.rows import Section
from qamoe_bench.statistics.resampling import RESAMPLES, resampled, sample_weights

Values = NDArray[np.float64]


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


def score(section: Section, dialect: Dialect, metric: str) -> Scores:
    """One metric of every row."""
    definition = dialect.definitions[metric]
    shape = len(section.rows), len(section.seeds), len(section.conditions)
    values, again = np.full(shape, np.nan), np.moveaxis(np.empty((*shape, RESAMPLES)), -1, 0)
    undefined = 0
    for i, row in enumerate(section.rows):
        places, answers = section.places(row), row.answer(metric)
        of_draws = definition(answers.astype(np.float64), section.label)  # (S, V, C)
        undefined += int(np.isnan(of_draws).sum())
        values[i, places], again[:, i, places] = of_draws.mean(1), resample(answers, section, definition)
        again[:, i, [s for s in range(shape[1]) if s not in places]] = np.nan
    return Scores(METRICS[metric], values, again, undefined)


def resample(
    predictions: Float[NDArray[np.floating], "S V C N"], section: Section, definition: Definition
) -> Float[Values, "R S C"]:
    """A metric of every resample of the test samples, mean over draws."""
    found = resampled(definition, predictions, section.label, sample_weights(section.samples))  # (R, S, V, C)
    return np.asarray(found[:, :, 0] if found.shape[2] == 1 else found.mean(2))
