"""Interventions on quality scores: scores that replace a model's own r_m, to measure whether r_m matters.

If a score is informative about its sample, predictions get worse when it comes from another sample or is the same for
all. If predictions stay as good, the model does not use it.

Dimension legend: N samples of one condition.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from qamoe_bench.seeding import stream


def shuffled(quality: Mapping[str, Float[Tensor, " N"]], *words: object) -> dict[str, Float[Tensor, " N"]]:
    """The scores permuted between samples, those of all modalities together; the words address the permutation."""
    samples = len(next(iter(quality.values())))
    order = torch.from_numpy(stream("shuffled quality", *words).permutation(samples))  # (N,)
    return {m: r[order.to(r.device)] for m, r in quality.items()}


def averaged(quality: Mapping[str, Float[Tensor, " N"]]) -> dict[str, Float[Tensor, " N"]]:
    """The mean over all samples for every sample, modality by modality."""
    return {m: r.mean().expand_as(r) for m, r in quality.items()}
