"""Ways to a quality score r_m of one modality, each with what it is trained on.

    none         r = 1
    described    r = 1 / (1 + mean_d softplus(W_σ u + b_σ)), trained by whatever the fused prediction is trained on
    label-nll    the same, and the variance v = Var(y)·(1 − r) of a unimodal prediction of the label pays for its errors
    feature-nll  r = 1 / (1 + κ·mean_d σ²), where N(μ, σ²) predicts the clean features from the corrupted ones

`described` is QA-MoE's own, `none` its ablation. The other two are ours: they give the score something to know. The
last is trained on nothing but its own target, and the mixture takes r as a fact (its gradient stops there).

Dimension legend: B samples, W width of an encoding, C width of a code, P width of a projection.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import Batch, DataSpec, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.frames import FrameStatistics, frame_counts, masked_mean, observed_frames

QualityKind = Literal["none", "described", "label-nll", "feature-nll"]


def gaussian_nll(error: Float[Tensor, "*S"], variance: Float[Tensor, "*S"]) -> Float[Tensor, ""]:
    """½·(error²/variance + ln variance), averaged; the constant ½·ln 2π is left out."""
    return 0.5 * (error**2 / variance + variance.log()).mean()


class Quality(nn.Module):
    """The score of one modality; this one is always 1."""

    code_width = 0
    """C, how much of its own encoding of the modality it needs beside the model's."""

    def encode(self, batch: Batch) -> Float[Tensor, "B C"]:
        """Its own encoding of the modality."""
        return next(iter(batch.features.values())).new_zeros(batch.size, 0)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score (B,) in [0, 1], and what `loss` needs."""
        return u.new_ones(len(u)), {}

    def loss(self, parts: dict[str, Tensor], batch: TrainingBatch) -> Float[Tensor, ""] | None:
        """What the score itself is trained on; None where it is trained by the prediction alone."""
        return None


class DescribedQuality(Quality):
    """r = 1 / (1 + mean_d σ²_d) with σ² = softplus(W_σ u + b_σ)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Linear(width, width)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score; there is nothing to keep for a loss."""
        return 1 / (1 + F.softplus(self.spread(u)).mean(dim=1)), {}


class LabelQuality(DescribedQuality):
    """The described score, made to pay: ½·((y − ŷ_m)²/v + ln v) with v = Var(y)·(1 − r) and ŷ_m from u alone."""

    def __init__(self, width: int, spec: DataSpec) -> None:
        super().__init__(width)
        self.predict = nn.Linear(width, 1)
        self.label_mean, self.label_std = spec.label_mean, spec.label_std

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score, and ŷ_m in label units."""
        score, _ = super().forward(u, code)
        return score, {"score": score, "label": self.label_mean + self.label_std * self.predict(u)[:, 0]}

    def loss(self, parts: dict[str, Tensor], batch: TrainingBatch) -> Float[Tensor, ""] | None:
        """The unimodal likelihood, in units of the label's standard deviation."""
        variance = (1 - parts["score"]).clamp(min=1e-4)
        return gaussian_nll((batch.target - parts["label"]) / self.label_std, variance)


class FeatureQuality(Quality):
    """How well the clean features can be told from what is left of them.

    The target is a fixed random projection of the clean frames' mean, each of its P dimensions standardised over the
    batch, so that the best prediction from nothing has σ² = 1 and r = 1 / (1 + κ). μ is the mean of the projected
    frames that are left, shrunk; how much, and σ², follow from their standard deviation and from how many they are. So
    the score cannot follow what the frames say, only how they scatter.
    """

    projection: Tensor
    centre: Tensor

    def __init__(self, modality: str, spec: DataSpec, kappa: float, targets: int = 32, hidden: int = 64) -> None:
        super().__init__()
        if modality in spec.token_ids:
            raise BenchError(
                f"quality 'feature-nll': expected features, got token ids of {modality}, which have no mean to "
                "predict; use 'described', 'label-nll' or 'none'"
            )
        self.modality, self.kappa, self.code_width = modality, kappa, 2 * targets
        mean, std = spec.feature_mean[modality], spec.feature_std[modality]
        projection = torch.randn(len(std), targets) / (math.sqrt(len(std)) * std[:, None])  # (D, P)
        self.register_buffer("projection", projection)
        self.register_buffer("centre", mean @ projection)
        self.scale = nn.Parameter(torch.ones(targets))
        self.pool = FrameStatistics()
        self.read = nn.Sequential(
            nn.Linear(2 * targets + 2, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, 2 * targets),
        )  # fmt: skip

    def encode(self, batch: Batch) -> Float[Tensor, "B C"]:
        """μ and the logarithm of σ² side by side."""
        observed = observed_frames(batch, self.modality)
        mean, std = self.pool(self._projected(batch.features[self.modality]), observed).chunk(2, dim=1)  # (B, P) twice
        # The logarithm of std²/n, of the variance of a mean of n frames, is nearly what is asked for.
        of_mean = (std**2 / observed.sum(1, keepdim=True).clamp(min=1) + 1e-4).log()
        known = torch.cat([std, 0.2 * of_mean, frame_counts(observed, batch.lengths[self.modality])], dim=1)
        shrink, log_variance = self.read(known).chunk(2, dim=1)  # (B, P) twice
        return torch.cat([(1 + shrink) * self.scale * mean, log_variance], dim=1)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score, and the prediction of the clean features."""
        mean, log_variance = code.chunk(2, dim=1)  # (B, P) twice
        variance = log_variance.clamp(-10, 10).exp()
        return 1 / (1 + self.kappa * variance.mean(1)).detach(), {"mean": mean, "variance": variance}

    def loss(self, parts: dict[str, Tensor], batch: TrainingBatch) -> Float[Tensor, ""] | None:
        """The likelihood of the clean features."""
        target = masked_mean(self._projected(batch.clean[self.modality]), batch.mask(self.modality))  # (B, P)
        target = (target - target.mean(0)) / target.std(0, correction=0).clamp(min=1e-6)
        return gaussian_nll(target - parts["mean"], parts["variance"])

    def _projected(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T P"]:
        return x @ self.projection - self.centre


def make_quality(kind: QualityKind, modality: str, spec: DataSpec, width: int, kappa: float) -> Quality:
    """The score of one modality, for encodings of a width."""
    match kind:
        case "none":
            return Quality()
        case "described":
            return DescribedQuality(width)
        case "label-nll":
            return LabelQuality(width, spec)
        case "feature-nll":
            return FeatureQuality(modality, spec, kappa)
