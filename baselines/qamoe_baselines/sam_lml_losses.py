"""SAM-LML's supervision: noisy versions of the input, and losses on scores, weights and vectors.

All are parts of our definition, see `qamoe_baselines.sam_lml`.

Dimension legend: B samples, T frames, D feature width, W width, P interactions.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def noisy_versions(
    x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"], std: Float[Tensor, " D"]
) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"]]:
    """x′ = x + ρ·std⊙ε and x″ = std⊙ε, with one ε ~ N(0, 1) for both and one ρ ~ U(0, 1) per sample.

    Unobserved frames stay unchanged, so that noise never adds a frame and versions differ in content only.
    """
    noise = torch.randn_like(x) * std * observed[..., None]
    rho = torch.rand(len(x), 1, 1, device=x.device)
    return x + rho * noise, noise


def ranking_loss(
    original: Float[Tensor, "B P"], perturbed: Float[Tensor, "B P"], noise: Float[Tensor, "B P"], margin: float
) -> Float[Tensor, ""]:
    """Mean of max(0, margin − (e(x) − e(x′))) + max(0, margin − (e(x′) − e(x″))): more noise, a lower score."""
    return (F.relu(margin - (original - perturbed)) + F.relu(margin - (perturbed - noise))).mean()


def anchor_loss(weights: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Mean a² of the weights of interactions that use pure noise, which should be 0."""
    return weights.square().mean()


def task_ranking_loss(
    scores: Float[Tensor, "B P"], errors: Float[Tensor, "B P"], gap: float, margin: float
) -> Float[Tensor, ""]:
    """Mean of max(0, margin − (e_p − e_q)) over pairs where p errs less than q by more than `gap`; 0 without any."""
    errors = errors.detach()
    better = errors[:, :, None] + gap < errors[:, None, :]  # (B, P, P), p before q
    short = F.relu(margin - (scores[:, :, None] - scores[:, None, :]))
    return (short * better).sum() / better.sum().clamp(min=1)


class Decomposition(nn.Module):
    """One modality's vector h in two, h = s + b: s = W h + c is specific to the sample, b to the modality."""

    def __init__(self, width: int, feature_width: int) -> None:
        super().__init__()
        self.specific = nn.Linear(width, width)
        self.reconstruct = nn.Linear(2 * width, feature_width)

    def forward(self, h: Float[Tensor, "B W"]) -> tuple[Float[Tensor, "B W"], Float[Tensor, "B W"]]:
        """The parts s and b."""
        s = self.specific(h)
        return s, h - s

    def losses(
        self, h: Float[Tensor, "B W"], x: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """Squared error of x from [s; b], |cos(s, b)| and the variance of b over the batch, each a mean."""
        s, b = self(h)
        error = F.mse_loss(self.reconstruct(torch.cat([s, b], dim=1)), x)
        return error, F.cosine_similarity(s, b).abs().mean(), b.var(0, correction=0).mean()
