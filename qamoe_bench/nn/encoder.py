"""An encoder from frames to one vector per utterance, shared by models so that comparisons are about fusion.

Standardise with training statistics, map each frame linearly, take mean and standard deviation over the observed
frames, then a two-layer perceptron. Frames that are exactly zero, whether padding or taken away, are not observed:
they stay zero after standardising and do not count in the statistics. A modality without any observed frame is
encoded as the perceptron's answer to zeros. Nothing here is told what was corrupted; zeros are seen in the input.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qamoe_bench.contract import Batch, DataSpec


class Standardise(nn.Module):
    """(x − mean) / std per dimension with training statistics, at observed frames; zero elsewhere."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, " D"], std: Float[Tensor, " D"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Standardised frames."""
        return torch.where(observed[..., None], (x - self.mean) / self.std, 0.0)


class FrameStatistics(nn.Module):
    """Mean and standard deviation over the observed frames, side by side; zeros where there are none."""

    def forward(self, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B E"]:
        """E = 2·D."""
        weight = observed[..., None].to(x.dtype)  # (B, T, 1)
        count = weight.sum(1).clamp(min=1)  # (B, 1)
        mean = (x * weight).sum(1) / count  # (B, D)
        variance = ((x - mean[:, None]) ** 2 * weight).sum(1) / count
        # The small constant keeps the gradient of the root finite for one frame; it is taken off the value again.
        std = (variance + 1e-6).sqrt() - 1e-3
        return torch.cat([mean, std], dim=1)


class UtteranceEncoder(nn.Module):
    """One modality of a batch to one vector per sample."""

    def __init__(self, modality: str, spec: DataSpec, width: int, dropout: float) -> None:
        super().__init__()
        self.modality = modality
        self.standardise = Standardise(spec.feature_mean[modality], spec.feature_std[modality])
        self.frame = nn.Linear(spec.widths[modality], width)
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
        observed = batch.mask(self.modality) & (x != 0).any(-1)  # (B, T)
        frames = self.frame(self.standardise(x, observed))  # (B, T, W)
        encoded: Tensor = self.perceptron(self.pool(frames, observed))  # (B, W)
        return encoded
