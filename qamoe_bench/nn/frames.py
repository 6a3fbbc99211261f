"""From frames to vectors: observed frames, their standardisation, and summaries over time.

A frame that is exactly zero, whether padding or removed by a corruption, is not observed and does not count. Models are
not informed about corruption; they detect zeros in the input.

Dimension legend: B samples, T frames, D feature width, W width, L sets of observed frames of each sample.
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
    """The frames with unobserved ones set to zero, because a map with a bias does not keep their zeros."""
    return x * observed[..., None].to(x.dtype)


def masked_mean(x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Mean over the observed frames; zeros for a sample without any."""
    return means_of_sets(x, observed[:, None])[:, 0]


def means_of_sets(x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B L T"]) -> Float[Tensor, "B L D"]:
    """Means over several sets of observed frames, in one pass over the frames; zeros for an empty set."""
    return torch.bmm(_shares(observed, x.dtype), x)


def _shares(observed: Bool[Tensor, "B L T"], dtype: torch.dtype) -> Float[Tensor, "B L T"]:
    """The weight of every frame in the mean over the observed ones."""
    weight = observed.to(dtype)
    return weight / weight.sum(2, keepdim=True).clamp(min=1)


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
        """The mapped frames; the division is applied to the small weight matrix instead of the many frames."""
        return F.linear(x - self.mean, self.linear.weight / self.std, self.linear.bias)


class FrameStatistics(nn.Module):
    """Mean and standard deviation over sets of observed frames, concatenated; zeros for an empty set."""

    def forward(self, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B L T"]) -> Float[Tensor, "B L E"]:
        """The statistics, E = 2·D."""
        shares = _shares(observed, x.dtype)
        mean = torch.bmm(shares, x)  # (B, L, D)
        mean_square = torch.bmm(shares, x * x)  # (B, L, D)
        variance = (mean_square - mean * mean).clamp(min=0)  # rounding can make it negative
        # The small constant keeps the gradient of the root finite for one frame; its root is subtracted again.
        std = (variance + 1e-6).sqrt() - 1e-3
        return torch.cat([mean, std], dim=2)


def frame_counts(observed: Bool[Tensor, "B L T"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B L 2"]:
    """The number n of observed frames as ln(1 + n) / ln(1 + T), and their share of the valid frames; both in [0, 1]."""
    count = observed.sum(2, dtype=torch.float32)
    relative = count.log1p() / math.log1p(observed.shape[2])
    share = count / lengths.clamp(min=1)[:, None]
    return torch.stack([relative, share], dim=2)
