"""An encoder from frames to one vector per utterance, shared by models so that comparisons are about fusion.

Standardise with training statistics, map each frame linearly, take mean and standard deviation over the observed
frames, then a two-layer perceptron. Frames that are exactly zero, whether padding or taken away, are not observed and
do not count in the statistics. A modality without any observed frame is encoded as the perceptron's answer to zeros.
Nothing here is told what was corrupted; zeros are seen in the input.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.errors import BenchError


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
        weight = observed[:, None].to(x.dtype)  # (B, 1, T)
        weight = weight / weight.sum(2, keepdim=True).clamp(min=1)
        mean, square = (torch.bmm(weight, v)[:, 0] for v in (x, x * x))  # (B, D)
        variance = (square - mean * mean).clamp(min=0)
        # The small constant keeps the gradient of the root finite for one frame; it is taken off the value again.
        std = (variance + 1e-6).sqrt() - 1e-3
        return torch.cat([mean, std], dim=1)


class UtteranceEncoder(nn.Module):
    """One modality of a batch to one vector per sample."""

    def __init__(self, modality: str, spec: DataSpec, width: int, dropout: float) -> None:
        super().__init__()
        if modality in spec.token_ids:
            raise BenchError(f"{modality} holds token ids: this encoder takes features; encode the tokens first")
        self.modality = modality
        self.frame = StandardisedLinear(spec.feature_mean[modality], spec.feature_std[modality], width)
        self.pool = FrameStatistics()
        self.perceptron = nn.Sequential(
            nn.LayerNorm(2 * width),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, batch: Batch) -> Float[Tensor, "B W"]:
        """W = the encoder's width."""
        x = batch.features[self.modality]  # (B, T, D)
        observed = batch.mask(self.modality) & (x.abs().amax(-1) > 0)  # (B, T)
        encoded: Tensor = self.perceptron(self.pool(self.frame(x), observed))  # (B, W)
        return encoded
