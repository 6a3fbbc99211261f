"""A mixture of gated-linear-unit experts with top-k routing.

Dimension legend: B tokens, W width, H hidden width, E experts, K chosen experts.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class GLUExperts(nn.Module):
    """E feed-forward blocks E_k(x) = W₂((W₁x + b₁) ⊙ sigmoid(W_g x + b_g)) + b₂, evaluated together (Dauphin 2017)."""

    def __init__(self, experts: int, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.empty(experts, width, 2 * hidden))
        self.up_bias = nn.Parameter(torch.zeros(experts, 1, 2 * hidden))
        self.down = nn.Parameter(torch.empty(experts, hidden, width))
        self.down_bias = nn.Parameter(torch.zeros(experts, 1, width))
        for weight, fan_in in ((self.up, width), (self.down, hidden)):
            nn.init.uniform_(weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))  # nn.Linear's own default

    def forward(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "B E W"]:
        """Every expert's answer to every token."""
        everyone = x.expand(self.up.shape[0], *x.shape)  # (E, B, W)
        value, gate = torch.baddbmm(self.up_bias, everyone, self.up).chunk(2, dim=-1)  # (E, B, H) twice
        return torch.baddbmm(self.down_bias, value * gate.sigmoid(), self.down).transpose(0, 1)  # (B, E, W)


def top_k_gate(logits: Float[Tensor, "B E"], k: int, *, renormalise: bool) -> Float[Tensor, "B E"]:
    """Gate weights: softmax over the k largest logits, 0 for the others.

    With `renormalise` the kept weights sum to 1 (softmax over the kept logits); without, they are what a softmax over
    all experts gives them.
    """
    kept, index = logits.topk(k, dim=-1)  # (B, K)
    weights = kept.softmax(-1) if renormalise else logits.softmax(-1).gather(-1, index)
    return torch.zeros_like(logits).scatter(-1, index, weights)
