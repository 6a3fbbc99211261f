"""The best constant answer for each metric: what a model that ignores its input can reach.

Dimension legend: N samples, K candidates.
"""

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import dialects_for
from qamoe_bench.shapes import Float
from qamoe_bench.vocabulary import REGRESSION

PERCENTILES = 101
"""Labels that are tried, spread over their distribution: all distinct labels of a large set would be thousands."""


def best_constants(label: Float[NDArray[np.floating], " N"]) -> dict[str, float]:
    """The constant with the best value of each metric on these labels, by metric; of equal ones that nearest to 0.

    The definitions are those of `mmsa`, and of the first other dialect for metrics that it lacks. Metrics that no
    constant has a value of, such as correlation, are left out.
    """
    labels = np.asarray(label, np.float64)
    # Every class has a candidate: whole steps, and labels beside the edges of other classes. The mean absolute error is
    # least at the median.
    percentiles = np.quantile(labels, np.linspace(0, 1, PERCENTILES), method="nearest")
    others = [labels.mean(), np.median(labels), -0.1, 0.1]
    candidates = np.unique(np.concatenate([percentiles, np.arange(-3, 4), others]))
    candidates = candidates[np.argsort(np.abs(candidates), kind="stable")]
    answers = np.broadcast_to(candidates[:, None], (len(candidates), len(labels)))  # (K, N)
    best = {}
    for dialect in dialects_for(REGRESSION):
        for name, definition in dialect.on_scale(labels).definitions.items():
            if name in best:
                continue
            values = METRICS[name].sign * definition(answers, labels)  # (K)
            if np.isfinite(values).any():
                best[name] = float(candidates[np.nanargmax(values)])
    return best
