"""Residual blocks whose channels are weighted by their means over time, which refine what IMDer has recovered.

    h = W₁ x + b₁;   x̂ = W₂ (h + conv₃ R(…R(h))) + b₂;   R(h) = h + g ⊙ v,  v = conv₃ ReLU(conv₃ h),
    g = sigmoid(W₄ ReLU(W₃ mean_t v + b₃) + b₄)
From mdswyz/IMDer @ 1901a92, after RCAN (Zhang et al., ECCV 2018).

Dimension legend: B samples, S positions in time, W width, C = 2·W channels.
"""

from jaxtyping import Float
from torch import Tensor, nn

REDUCTION = 16
"""How many times fewer hidden units than channels g has; code."""


class WeightedChannels(nn.Module):
    """R of the module docstring."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 1)
        self.body = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1)
        )
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, h: Float[Tensor, "B C S"]) -> Float[Tensor, "B C S"]:
        """The same shape."""
        v = self.body(h)
        refined: Tensor = h + self.gate(v.mean(2))[..., None] * v
        return refined


class ChannelRefinement(nn.Module):
    """X̂ of the module docstring."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 2 * width)
        self.blocks = nn.Sequential(*(WeightedChannels(2 * width) for _ in range(blocks)))
        self.close = nn.Conv1d(2 * width, 2 * width, 3, padding=1)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Float[Tensor, "B S W"]) -> Float[Tensor, "B S W"]:
        """The refined positions."""
        h = self.widen(x).transpose(1, 2)
        h = h + self.close(self.blocks(h))
        refined: Tensor = self.narrow(h.transpose(1, 2))
        return refined
