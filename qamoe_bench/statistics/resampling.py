"""Resampling the test samples: how often each sample is drawn, and a metric of every resample at once.

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


@lru_cache(maxsize=4)
def sample_weights(samples: int, resamples: int = RESAMPLES) -> Float[NDArray[np.float32], "R N"]:
    """How often each sample occurs when as many as there are are drawn with replacement; always the same draws.

    Everything that is compared shares them, so differences between models are paired.
    """
    drawn = stream("resample", samples).integers(samples, size=(resamples, samples))
    rows = np.arange(resamples)[:, None] * samples
    counts = np.bincount((drawn + rows).ravel(), minlength=resamples * samples)
    return counts.reshape(resamples, samples).astype(np.float32)


def resampled(
    definition: Definition, prediction: Array, label: Labels, weights: Float[NDArray[np.float32], "R N"]
) -> Array:
    """A metric of every resample: from predictions (..., N) and labels (N) to (R, ...)."""
    return resampled_terms(definition, definition.terms(prediction, label), weights)


def resampled_terms(
    definition: Definition, terms: Sequence[NDArray[Any]], weights: Float[NDArray[np.float32], "R N"]
) -> Array:
    """The same from the terms of a definition.

    The product is in single precision: its error is a thousand times less than what resampling itself leaves open.
    Resamples are next to each other in memory, for they are what is reduced over most.
    """
    sums = (_sums(term, weights) for term in terms)
    return np.moveaxis(np.asarray(definition.value(*sums)), -1, 0)


def _sums(term: NDArray[Any], weights: Float[NDArray[np.float32], "R N"]) -> Float[NDArray[np.float64], "... R"]:
    flat = term.reshape(-1, term.shape[-1]).astype(np.float32)
    return (flat @ weights.T).astype(np.float64).reshape(*term.shape[:-1], len(weights))
