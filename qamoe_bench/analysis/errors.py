"""The error of every single prediction, in every task.

Dimension legend: S seeds, V draws, C conditions, N samples.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.probabilities import probability_errors
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values


def sample_errors(row: Row, section: Section) -> Float[Values, "S V C N"]:
    """|prediction − label| in label units; of classes and labels the probability that is given to what is wrong."""
    return _errors(row.predictions_for(""), section)


def first_draw_errors(row: Row, section: Section) -> Float[Values, "S C N"]:
    """The errors of the first draw, for what follows single samples."""
    return _errors(row.predictions_for("")[:, 0], section)


def _errors(answers: NDArray[Any], section: Section) -> Values:
    exact = answers.astype(np.float64)
    if section.task.is_regression:
        return np.asarray(np.abs(exact - section.label))
    return probability_errors(exact, section.label, section.task)
