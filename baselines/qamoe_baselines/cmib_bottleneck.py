"""The variational information bottleneck of C-MIB: a Gaussian code of a vector, and a prediction from the code.

Maximise I(z; y) − β I(z; x) (Alemi et al. 2017), bounded by the log-likelihood of y given z and by the divergence of
p(z|x) from N(0, I). Sizes and formulas from the authors' code; only the floor under σ is ours.

Dimension legend: B samples, W width, H hidden units, K values of the decoder.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STD_SHIFT = 5.0
"""Subtracted before the softplus, so that a new bottleneck adds almost no noise: softplus(−5) = 0.0067."""
STD_FLOOR = 1e-12
"""Lower bound of σ, below any value in training; without it softplus(−110) is 0 and the divergence infinite."""


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag std²), one per sample."""

    mean: Float[Tensor, "*B W"]
    std: Float[Tensor, "*B W"]

    def draw(self, *, sample: bool) -> Float[Tensor, "*B W"]:
        """Mean + std ⊙ ε with ε ~ N(0, I) from torch's global generator, like dropout; without `sample`, the mean."""
        return self.mean + self.std * torch.randn_like(self.std) if sample else self.mean

    def divergence(self) -> Float[Tensor, ""]:
        """KL(N(mean, std²) ‖ N(0, 1)) in nats, averaged over samples and dimensions (not summed over the latter)."""
        return 0.5 * (self.mean**2 + self.std**2 - 2 * self.std.log() - 1).mean()


@dataclass(frozen=True)
class Squeezed:
    """The output of a bottleneck.

    Attributes:
        code: p(z|x).
        z: A draw from it, or its mean.
        values: The decoder's values from z: a prediction in label units, or scores of classes or labels.
    """

    code: Gaussian
    z: Float[Tensor, "B W"]
    values: Float[Tensor, "B K"]


class Bottleneck(nn.Module):
    """h = ReLU(W₁x + b₁); μ = W_μ h + b_μ; σ = softplus(W_σ h + b_σ − 5); z = μ + σ ⊙ ε; ŷ = wᵀz + b."""

    def __init__(self, width: int, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.mean = nn.Linear(hidden, width)
        self.std = nn.Linear(hidden, width)
        self.decoder = nn.Linear(width, outputs)

    def forward(self, x: Float[Tensor, "B W"], *, sample: bool) -> Squeezed:
        """With `sample`, z is drawn; without, ε = 0."""
        h = F.relu(self.hidden(x))  # (B, H)
        code = Gaussian(self.mean(h), F.softplus(self.std(h) - STD_SHIFT).clamp(min=STD_FLOOR))
        z = code.draw(sample=sample)  # (B, W)
        return Squeezed(code, z, self.decoder(z))
