"""Metrics of a model whose quality scores are permuted many times, for a permutation test of whether they matter.

Dimension legend: N samples of one condition, K permutations, J = K + 1.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.metrics.dialects import MMSA
from qamoe_bench.statistics.arrays import Values

METRICS_TESTED = ("mae", "acc2_has0", "acc2_non0", "corr")
"""Metrics whose values under every permutation are kept, by their definition in the dialect `mmsa`."""


def metrics_of(
    own: Float[NDArray[np.float32], " N"],
    permuted: Float[NDArray[np.float32], "K N"],
    label: Float[NDArray[np.floating], " N"],
) -> dict[str, Float[Values, " J"]]:
    """Each metric with the model's own scores and then under every permutation; NaN where it is undefined."""
    prediction = np.concatenate([own[None], permuted]).astype(np.float64)  # (K+1, N)
    y = label.astype(np.float64)
    return {name: np.asarray(MMSA.definitions[name](prediction, y)) for name in METRICS_TESTED}


def mean_over_trials(trials: Sequence[Mapping[str, Float[Values, " J"]]]) -> dict[str, list[float]]:
    """The mean over conditions and draws of each metric, first with the model's own scores.

    Conditions in which a metric is undefined are left out; a metric that is undefined in all of them is too.
    """
    means: dict[str, list[float]] = {}
    for name in METRICS_TESTED if trials else ():
        values = np.stack([trial[name] for trial in trials])  # (trials, K+1)
        is_defined = np.isfinite(values).all(1)
        if is_defined.any():
            means[name] = [float(x) for x in values[is_defined].mean(0)]
    return means
