"""Bootstrap over the test samples: how often each sample is drawn, and a metric of all resamples at once.

Dimension legend: R resamples, N samples.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.metrics.definitions import Array, Definition, Labels
from qamoe_bench.seeding import stream

RESAMPLES = 1000

# Whole numbers below this limit, and so their sums, are exact in single precision.
_MAX_EXACT = 2**24


@lru_cache(maxsize=4)
def sample_weights(samples: int, resamples: int = RESAMPLES) -> Float[NDArray[np.float64], "R N"]:
    """How often each of N samples occurs in N draws with replacement, (R, N); the same at every call.

    Everything that is compared uses the same resamples, so differences between models are paired.
    """
    drawn = stream("resample", samples).integers(samples, size=(resamples, samples))
    # One bincount over all resamples: those of resample r are counted from r·N on.
    rows = np.arange(resamples)[:, None] * samples
    counts = np.bincount((drawn + rows).ravel(), minlength=resamples * samples)
    return counts.reshape(resamples, samples).astype(np.float64)


def resampled(
    definition: Definition, prediction: Array, label: Labels, weights: Float[NDArray[np.float64], "R N"]
) -> Array:
    """A metric of every resample, (R, ...), from predictions (..., N) and labels (N)."""
    return resampled_terms(definition, definition.terms(prediction, label), weights)


def resampled_terms(
    definition: Definition, terms: Sequence[NDArray[Any]], weights: Float[NDArray[np.float64], "R N"]
) -> Array:
    """A metric of every resample, (R, ...), from the terms of its definition.

    Measured values are summed in double precision: the order of summation differs between machines and numbers of
    threads, and in single precision the difference would be seen in figures. Counts are exact in both, and single
    precision takes half of the time. The resamples of one value are contiguous in memory, since most reductions are
    over resamples.
    """
    single = weights.astype(np.float32)
    exact = weights.shape[1] < _MAX_EXACT
    sums = [_sums(term, single if exact and term.dtype == np.bool_ else weights) for term in terms]
    values = np.asarray(definition.value(*sums))  # (..., R)
    return np.moveaxis(values, -1, 0)  # (R, ...), a view


def _sums(term: NDArray[Any], weights: Float[NDArray[Any], "R N"]) -> Float[NDArray[np.float64], "... R"]:
    """Sums over the samples of every resample, in the precision of the weights."""
    flat = term.reshape(-1, term.shape[-1]).astype(weights.dtype)  # (X, N)
    sums: NDArray[np.float64] = (flat @ weights.T).astype(np.float64)  # (X, R)
    return sums.reshape(*term.shape[:-1], len(weights))
