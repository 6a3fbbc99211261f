"""Definitions of the quality score r_m of one modality, each with its training objective.

    none         r = 1
    described    r = 1 / (1 + mean_d softplus(W_σ u + b_σ)), trained through the fused prediction only
    label-nll    the same r, also trained by a unimodal prediction of the label with variance v = Var(y)·(1 − r)
    feature-nll  r = 1 / (1 + κ·mean_d σ²), where N(μ, σ²) predicts the clean features from the corrupted ones

`described` is QA-MoE's own, `none` its ablation. The other two are ours and give the score a target of its own. The
last is trained on that target alone: the mixture takes r as a constant, and no gradient flows back into it. Classes and
several labels have no variance; `label-nll` predicts them from u as r · p(u) + (1 − r) · their shares in the training
split, so that r is high where u tells more than the shares.

Dimension legend: B samples, T frames, L sets of observed frames of each sample, W width of an encoding, C width of a
code, P width of a projection.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import Batch, DataSpec, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.answers import label_loss, log_probabilities_of, prior_scores
from qamoe_bench.nn.frames import FrameStatistics, frame_counts, masked_mean

QualityKind = Literal["none", "described", "label-nll", "feature-nll"]


def gaussian_loss(error: Float[Tensor, "*S"], variance: Float[Tensor, "*S"]) -> Float[Tensor, ""]:
    """Mean of ½·(error²/variance + ln variance), a Gaussian's negative log-likelihood without the constant ½·ln 2π."""
    return 0.5 * (error**2 / variance + variance.log()).mean()


class Quality(nn.Module):
    """The quality score of one modality. This base class is the score that is always 1."""

    code_width = 0
    """C, the width of the score's own encoding of the modality, in addition to the model's."""

    def map_frames(self, batch: Batch) -> tuple[Float[Tensor, "B T _"], ...]:
        """The score's own map of every frame of the modality; none, where it reads the model's encoding alone."""
        return ()

    def encode(
        self, mapped: Sequence[Float[Tensor, "B T _"]], observed: Bool[Tensor, "B L T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B L C"]:
        """The score's own encoding of the modality, from what it mapped."""
        return torch.zeros(*observed.shape[:2], 0, device=observed.device)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score (B,) in [0, 1], and the tensors that `loss` needs."""
        return u.new_ones(len(u)), {}

    def loss(self, parts: dict[str, Tensor], batch: TrainingBatch) -> Float[Tensor, ""] | None:
        """The objective of the score itself; None if it is trained through the fused prediction alone."""
        return None


class DescribedQuality(Quality):
    """r = 1 / (1 + mean_d σ²_d) with σ² = softplus(W_σ u + b_σ)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Linear(width, width)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score; it has no loss of its own."""
        return 1 / (1 + F.softplus(self.spread(u)).mean(dim=1)), {}


class LabelQuality(DescribedQuality):
    """The described score, also trained by a prediction from u alone; see the module docstring.

    Its loss is ½·((y − ŷ_m)²/v + ln v) with v = Var(y)·(1 − r), or the negative log-likelihood of classes or labels.
    """

    log_shares: Tensor

    def __init__(self, width: int, spec: DataSpec) -> None:
        super().__init__(width)
        self.predict = nn.Linear(width, spec.task.outputs)
        self.task = spec.task
        self.label_mean = spec.label_mean
        self.label_std = spec.label_std
        if not self.task.is_regression:
            self.register_buffer("log_shares", log_probabilities_of(prior_scores(spec), self.task), persistent=False)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score, and ŷ_m in label units, or log-probabilities."""
        score, _ = super().forward(u, code)
        if not self.task.is_regression:
            return score, {"score": score, "log_probabilities": self._mixture(score, self.predict(u))}
        prediction = self.label_mean + self.label_std * self.predict(u)[:, 0]
        return score, {"score": score, "label": prediction}

    def loss(self, parts: dict[str, Tensor], batch: TrainingBatch) -> Float[Tensor, ""] | None:
        """The unimodal negative log-likelihood; of numbers in units of the label's standard deviation."""
        if not self.task.is_regression:
            return label_loss(parts["log_probabilities"], batch.target, self.task, batch.class_weights)
        variance = (1 - parts["score"]).clamp(min=1e-4)  # r = 1 would make the loss infinite
        return gaussian_loss((batch.target - parts["label"]) / self.label_std, variance)

    def _mixture(self, score: Float[Tensor, " B"], values: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """The logarithm of r · p(u) + (1 − r) · shares."""
        r = score.clamp(1e-4, 1 - 1e-4)[:, None]  # logarithms of 0 have no finite gradient
        own = log_probabilities_of(values, self.task)
        return torch.logaddexp(r.log() + own, (1 - r).log() + self.log_shares)


class FeatureQuality(Quality):
    """How well the clean features can be predicted from the observed ones.

    The target is a fixed random projection of the clean frames' mean, each of its P dimensions standardised over the
    batch, so that the best prediction without any frame has σ² = 1 and r = 1 / (1 + κ). μ is the shrunk mean of the
    projected observed frames; the shrinkage and σ² depend on the standard deviation and the number of these frames. The
    score therefore cannot depend on the content of the frames, only on their spread.
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
        self.modality = modality
        self.kappa = kappa
        self.code_width = 2 * targets
        mean = spec.feature_mean[modality]
        std = spec.feature_std[modality]
        projection = torch.randn(len(std), targets) / (math.sqrt(len(std)) * std[:, None])  # (D, P)
        self.register_buffer("projection", projection)
        self.register_buffer("centre", mean @ projection)
        self.scale = nn.Parameter(torch.ones(targets))
        self.pool = FrameStatistics()
        self.read = nn.Sequential(
            nn.Linear(2 * targets + 2, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, 2 * targets),
        )  # fmt: skip

    def map_frames(self, batch: Batch) -> tuple[Float[Tensor, "B T _"], ...]:
        """The projection of every frame."""
        return (self._projected(batch.features[self.modality]),)

    def encode(
        self, mapped: Sequence[Float[Tensor, "B T _"]], observed: Bool[Tensor, "B L T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B L C"]:
        """μ and the logarithm of σ², concatenated; C = 2·P."""
        mean, std = self.pool(*mapped, observed).chunk(2, dim=2)  # (B, L, P) twice
        # The variance of a mean of n frames is std²/n, so its logarithm is close to the ln σ² to be predicted.
        count = observed.sum(2, keepdim=True).clamp(min=1)  # (B, L, 1)
        log_mean_variance = (std**2 / count + 1e-4).log()  # (B, L, P)
        counts = frame_counts(observed, lengths)  # (B, L, 2)
        # The factor brings the logarithm to the scale of the other inputs.
        inputs = torch.cat([std, 0.2 * log_mean_variance, counts], dim=2)  # (B, L, 2·P + 2)
        shrink, log_variance = self.read(inputs).chunk(2, dim=2)  # (B, L, P) twice
        return torch.cat([(1 + shrink) * self.scale * mean, log_variance], dim=2)

    def forward(self, u: Float[Tensor, "B W"], code: Float[Tensor, "B C"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The score, and the prediction of the clean features."""
        mean, log_variance = code.chunk(2, dim=1)  # (B, P) twice
        variance = log_variance.clamp(-10, 10).exp()
        return 1 / (1 + self.kappa * variance.mean(1)).detach(), {"mean": mean, "variance": variance}

    def loss(self, parts: dict[str, Tensor], batch: TrainingBatch) -> Float[Tensor, ""] | None:
        """The negative log-likelihood of the clean features."""
        target = masked_mean(self._projected(batch.clean[self.modality]), batch.mask(self.modality))  # (B, P)
        target = (target - target.mean(0)) / target.std(0, correction=0).clamp(
            min=1e-6
        )  # per dimension, over the batch
        return gaussian_loss(target - parts["mean"], parts["variance"])

    def _projected(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T P"]:
        return x @ self.projection - self.centre


def make_quality(kind: QualityKind, modality: str, spec: DataSpec, width: int, kappa: float) -> Quality:
    """The quality score of one modality.

    Args:
        kind: The definition; see the module docstring.
        modality: The modality that is scored.
        spec: Specification of the data.
        width: Width of the model's encoding u.
        kappa: κ of `feature-nll`; ignored by the others.
    """
    match kind:
        case "none":
            return Quality()
        case "described":
            return DescribedQuality(width)
        case "label-nll":
            return LabelQuality(width, spec)
        case "feature-nll":
            return FeatureQuality(modality, spec, kappa)
