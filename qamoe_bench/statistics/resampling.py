"""Bootstrap over the test samples: how often each sample is drawn, and a metric of all resamples at once.

Dimension legend: R resamples, N samples, G clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.metrics.definitions import Array, Definition, Labels
from qamoe_bench.seeding import stream
from qamoe_bench.shapes import Float, Int

RESAMPLES = 1000
Weights = Float[NDArray[np.float64], "R N"]

# Whole numbers below this limit, and so their sums, are exact in single precision.
_MAX_EXACT = 2**24


@dataclass(frozen=True)
class Resampling:
    """Resamples of the test samples.

    Attributes:
        weights: How often each sample occurs in each resample, (R, N).
        freedom: Degrees of freedom of a variance over the resamples; infinite where samples are independent, since
            there are hundreds of them.
    """

    weights: Weights
    freedom: float = math.inf

    @cached_property
    def single(self) -> Float[NDArray[np.float32], "R N"]:
        """The weights in single precision, in which sums of counts are exact and take half of the time."""
        return self.weights.astype(np.float32)


def resampling(samples: int, clusters: Int[NDArray[np.int64], " N"] | None = None) -> Resampling:
    """The resamples of N samples, the same at every call, so that differences between models are paired.

    Args:
        samples: N.
        clusters: The cluster of each sample, from 0 to G − 1, such as the video that a segment was cut from; whole
            clusters are drawn then. None if the samples are independent.
    """
    if clusters is None:
        return Resampling(sample_weights(samples))
    count = int(clusters.max()) + 1
    # G − 1 of G clusters are drawn: the variance of a mean over G draws would be too small by (G − 1)/G, which matters
    # for few clusters (Rao and Wu, JASA 1988).
    return Resampling(_counts(count, count - 1)[:, clusters], freedom=count - 1)


@lru_cache(maxsize=4)
def sample_weights(samples: int, resamples: int = RESAMPLES) -> Weights:
    """How often each of N samples occurs in N draws with replacement, (R, N); the same at every call."""
    return _counts(samples, samples, resamples)


def _counts(items: int, draws: int, resamples: int = RESAMPLES) -> Weights:
    """How often each item occurs in so many draws with replacement, for every resample."""
    drawn = stream("resample", items).integers(items, size=(resamples, draws))
    # One bincount over all resamples: the items of resample r are counted from r·items on.
    rows = np.arange(resamples)[:, None] * items
    counts = np.bincount((drawn + rows).ravel(), minlength=resamples * items)
    return counts.reshape(resamples, items).astype(np.float64)


def resampled(definition: Definition, prediction: Array, label: Labels, resamples: Resampling) -> Array:
    """A metric of every resample, (R, ...), from predictions (..., N) and labels (N)."""
    return resampled_terms(definition, definition.terms(prediction, label), resamples)


def resampled_terms(definition: Definition, terms: Sequence[NDArray[Any]], resamples: Resampling) -> Array:
    """A metric of every resample, (R, ...), from the terms of its definition.

    The resamples of one value are contiguous in memory, since most reductions are over resamples.
    """
    values = np.asarray(definition.value(*resampled_sums(terms, resamples)))  # (..., R)
    return np.moveaxis(values, -1, 0)  # (R, ...), a view


def resampled_sums(terms: Sequence[NDArray[Any]], resamples: Resampling) -> list[Array]:
    """Sums of each term (..., N) over the samples of every resample, (..., R) each.

    Measured values are summed in double precision: the order of summation differs between machines and numbers of
    threads, and in single precision the difference would be seen in figures. Counts are exact in both.
    """
    is_exact = resamples.weights.shape[1] < _MAX_EXACT
    is_count = [is_exact and term.dtype == np.bool_ for term in terms]
    sums: list[Array] = [np.empty(0)] * len(terms)
    for weights, counts in ((resamples.single, True), (resamples.weights, False)):
        chosen = [i for i, is_one in enumerate(is_count) if is_one == counts]
        for i, summed in zip(chosen, _sums([terms[i] for i in chosen], weights), strict=True):
            sums[i] = summed
    return sums


def _sums(terms: Sequence[NDArray[Any]], weights: Float[NDArray[Any], "R N"]) -> list[Array]:
    """Sums of each term over the samples of every resample, (..., R) each, in the precision of the weights."""
    if not terms:
        return []
    flat = [term.reshape(-1, term.shape[-1]).astype(weights.dtype, copy=False) for term in terms]  # (X, N) each
    # One product reads the weights, which are larger than a processor's cache, once for all terms.
    sums = (np.concatenate(flat) @ weights.T).astype(np.float64, copy=False)  # (ΣX, R)
    ends = np.cumsum([len(rows) for rows in flat])[:-1]
    return [
        part.reshape(*term.shape[:-1], len(weights)) for part, term in zip(np.split(sums, ends), terms, strict=True)
    ]
