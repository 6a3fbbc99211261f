"""Interventions on quality scores: scores that replace a model's own r_m, to measure whether r_m matters.

If a score is informative about its sample, predictions get worse when it comes from another sample or is the same for
all. If predictions stay as good, the model does not use it. Two things can be informative: whether a modality is
present at all, and its quality where it is present. `shuffled` and `averaged` change both. All others change scores
only of samples that have the modality, and within one modality, so that only the quality among these is at stake.

Dimension legend: N samples of one condition, P those of them that have a modality, K permutations.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qamoe_bench.seeding import stream
from qamoe_bench.statistics.ranks import mid_ranks

QualityScores = Mapping[str, Float[Tensor, " N"]]
"""r_m by modality."""
Present = Mapping[str, Bool[Tensor, " N"]]
"""By modality, which samples have any frame of it left."""


def shuffled(quality: QualityScores, *words: object) -> dict[str, Float[Tensor, " N"]]:
    """The scores permuted between samples, those of all modalities together; the words address the permutation."""
    samples = len(next(iter(quality.values())))
    order = torch.from_numpy(stream("shuffled quality", *words).permutation(samples))  # (N,)
    return {m: r[order.to(r.device)] for m, r in quality.items()}


def averaged(quality: QualityScores) -> dict[str, Float[Tensor, " N"]]:
    """The mean over all samples for every sample, modality by modality."""
    return {m: r.mean().expand_as(r) for m, r in quality.items()}


def permutations(present: Present, count: int, *words: object) -> dict[str, Int[Tensor, "K N"]]:
    """Per modality, permutations of the samples that have it; samples without it keep their place.

    Args:
        present: Which samples have each modality.
        count: K.
        words: Address the permutations; each modality has its own.
    """
    orders = {}
    for m, has in present.items():
        places = np.flatnonzero(has.cpu().numpy())  # (P,)
        order = np.tile(np.arange(len(has)), (count, 1))  # (K, N)
        order[:, places] = stream("permuted quality", m, *words).permuted(np.tile(places, (count, 1)), axis=1)
        orders[m] = torch.from_numpy(order).to(has.device)
    return orders


def constant(quality: QualityScores, present: Present) -> dict[str, Float[Tensor, " N"]]:
    """The mean over the samples that have a modality, for each of them."""
    return {m: torch.where(present[m], r[present[m]].mean(), r) for m, r in quality.items()}


def reversed_ranks(quality: QualityScores, present: Present) -> dict[str, Float[Tensor, " N"]]:
    """The scores in reversed order: of P samples that have a modality, the k-th smallest gets the k-th largest."""
    return {m: _reordered(r, present[m], -r) for m, r in quality.items()}


def true_order(quality: QualityScores, present: Present, signal: QualityScores) -> dict[str, Float[Tensor, " N"]]:
    """The scores in the order of the truth: of P samples, that with the k-th smallest signal gets the k-th smallest.

    The values stay the model's own, so that their scale does not change. Samples of equal signal share the mean of
    the values of their ranks: they get all that the truth says, and nothing that only the model says.

    Args:
        quality: The model's own scores.
        present: Which samples have each modality.
        signal: The share of each sample's signal that is left, see `qamoe_bench.protocol.kinds.signal_left`.
    """
    return {m: _reordered(r, present[m], signal[m]) for m, r in quality.items()}


def _reordered(r: Float[Tensor, " N"], has: Bool[Tensor, " N"], key: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The scores of some samples, sorted as their keys are; equal keys share the mean of their values."""
    if not has.any():
        return r
    values = np.sort(r[has].cpu().numpy().astype(np.float64))  # (P,)
    ranks = mid_ranks(key[has].cpu().numpy().astype(np.float64))  # (P,), from 1
    # A run of n equal keys around mid-rank ρ holds the ranks ρ − (n − 1)/2 to ρ + (n − 1)/2.
    distinct, place, count = np.unique(ranks, return_inverse=True, return_counts=True)
    first = np.round(distinct - (count - 1) / 2).astype(np.int64) - 1
    total = np.concatenate([[0.0], np.cumsum(values)])
    means = (total[first + count] - total[first]) / count
    # A single value is copied, since the difference of two sums would not be exact.
    shared = np.where(count == 1, values[first], means)[place]
    changed = r.clone()
    changed[has] = torch.from_numpy(shared).to(r)
    return changed
