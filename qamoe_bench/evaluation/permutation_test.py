"""Metrics of a model whose quality scores are permuted many times, for a permutation test of whether they matter.

Dimension legend: N samples of one condition, K permutations, J = K + 1, C classes or labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.metrics.dialects import default_dialect
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.vocabulary import Task

METRICS_TESTED = ("mae", "acc2_has0", "acc2_non0", "corr")
"""Metrics of regression whose values under every permutation are kept, by their definition in the dialect `mmsa`. Of
other tasks these are all that the default dialect shows."""


def metrics_of(
    own: Float[NDArray[np.float32], "N ..."],
    permuted: Float[NDArray[np.float32], "K N ..."],
    label: Float[NDArray[np.floating], " N"],
    task: Task,
) -> dict[str, Float[Values, " J"]]:
    """Each metric with the model's own scores and then under every permutation; NaN where it is undefined.

    Args:
        own: Predictions (N), or log-probabilities (N, C), with the model's own scores.
        permuted: Those under every permutation.
        label: Labels.
        task: What they say.
    """
    answers = np.concatenate([own[None], permuted]).astype(np.float64)  # (K+1, N) or (K+1, N, C)
    y = label.astype(np.float64)
    dialect = default_dialect(task)
    names = METRICS_TESTED if task.is_regression else dialect.shown
    return {name: np.asarray(dialect.definitions[name](answers, y)) for name in names}


def mean_over_trials(trials: Sequence[Mapping[str, Float[Values, " J"]]]) -> dict[str, list[float]]:
    """The mean over conditions and draws of each metric, first with the model's own scores.

    Conditions in which a metric is undefined are left out; a metric that is undefined in all of them is too.
    """
    means: dict[str, list[float]] = {}
    for name in trials[0] if trials else ():
        values = np.stack([trial[name] for trial in trials])  # (trials, K+1)
        is_defined = np.isfinite(values).all(1)
        if is_defined.any():
            means[name] = [float(x) for x in values[is_defined].mean(0)]
    return means
