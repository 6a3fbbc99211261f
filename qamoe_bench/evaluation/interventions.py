"""Interventions on quality scores: what a model is given in the place of r_m, to see whether r_m matters.

A score that tells something of its sample is missed when it comes from another sample, or is the same for all. Where
the answers stay as good without it, the model has no use for it.

Dimension legend: N samples of one condition.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from qamoe_bench.seeding import stream


def shuffled(quality: Mapping[str, Float[Tensor, " N"]], *words: object) -> dict[str, Float[Tensor, " N"]]:
    """The scores permuted between samples, those of all modalities together; the words address the permutation."""
    order = torch.from_numpy(stream("shuffled quality", *words).permutation(len(next(iter(quality.values())))))
    return {m: r[order.to(r.device)] for m, r in quality.items()}


def averaged(quality: Mapping[str, Float[Tensor, " N"]]) -> dict[str, Float[Tensor, " N"]]:
    """For every sample the mean over all of them, modality by modality."""
    return {m: r.mean().expand_as(r) for m, r in quality.items()}
