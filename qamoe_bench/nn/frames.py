"""From frames to vectors: which frames are there, their standardisation, and what is left of them in one vector.

A frame that is exactly zero, whether padding or taken away, is not observed and does not count. Nothing here is told
what was corrupted; zeros are seen in the input.

Dimension legend: B samples, T frames, D feature width, W width.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import Batch


def observed_frames(batch: Batch, modality: str) -> Bool[Tensor, "B T"]:
    """True at valid frames that are not exactly zero."""
    return batch.mask(modality) & (batch.features[modality].abs().amax(-1) > 0)


def blanked(x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """Frames that are not observed as zeros, whatever a map made of them."""
    return x * observed[..., None].to(x.dtype)


def masked_mean(x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Mean over the observed frames; zeros where there are none."""
    weight = observed[:, None].to(x.dtype)  # (B, 1, T)
    return torch.bmm(weight / weight.sum(2, keepdim=True).clamp(min=1), x)[:, 0]


class StandardisedLinear(nn.Module):
    """W·(x − mean)/std + b per frame, with training statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, " D"], std: Float[Tensor, " D"], width: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        self.linear = nn.Linear(len(mean), width)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T W"]:
        """W = width. The division moves into the small matrix, for frames are many."""
        return F.linear(x - self.mean, self.linear.weight / self.std, self.linear.bias)


class FrameStatistics(nn.Module):
    """Mean and standard deviation over the observed frames, side by side; zeros where there are none."""

    def forward(self, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B E"]:
        """E = 2·D."""
        mean, square = masked_mean(x, observed), masked_mean(x * x, observed)
        variance = (square - mean * mean).clamp(min=0)
        # The small constant keeps the gradient of the root finite for one frame; it is taken off the value again.
        std = (variance + 1e-6).sqrt() - 1e-3
        return torch.cat([mean, std], dim=1)


def frame_counts(observed: Bool[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B 2"]:
    """How many frames are left, as ln(1 + n) / ln(1 + T), and which share of the valid ones; both from 0 to 1."""
    left = observed.sum(1, dtype=torch.float32)
    return torch.stack([left.log1p() / math.log1p(observed.shape[1]), left / lengths.clamp(min=1)], dim=1)
