"""The error of single predictions, in every task.

Dimension legend: S seeds, C conditions, N samples.
"""

import numpy as np

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.probabilities import probability_errors
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values


def first_draw_errors(row: Row, section: Section) -> Float[Values, "S C N"]:
    """The errors of the first draw, for what follows single samples.

    |prediction − label| in label units; of classes and labels the probability that is given to what is wrong.
    """
    answers = row.predictions_for("")[:, 0].astype(np.float64)
    if section.task.is_regression:
        return np.asarray(np.abs(answers - section.label))
    return probability_errors(answers, section.label, section.task)
