"""A Transformer encoder with layer normalisation before each block (pre-LN), as in MulT and C-MIB.

x ← √W·x + positions;  x ← x + attention(LN x);  x ← x + W₂ ReLU(W₁ LN x);  a last LN.

Dimension legend: B samples, T frames, W width.
"""

import math
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from qamoe_bench.nn.attention import MaskedAttention, sinusoidal_positions
from qamoe_bench.nn.dropout import Dropout


@dataclass(frozen=True)
class Dropouts:
    """Dropout rates of MulT: attention weights, hidden units, residual branches, and the embedding."""

    attention: float = 0.0
    hidden: float = 0.0
    residual: float = 0.0
    embedding: float = 0.0


class TransformerLayer(nn.Module):
    """A block of attention and a block of two linear maps, each with a residual connection."""

    def __init__(self, width: int, heads: int, dropouts: Dropouts) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = MaskedAttention(width, heads, dropouts.attention)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.ReLU(),
            Dropout(dropouts.hidden),
            nn.Linear(4 * width, width),
        )
        self.residual = Dropout(dropouts.residual)

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T W"]:
        """Every frame after attending to the observed ones (to all, without `observed`)."""
        normal = self.attention_norm(x)
        x = x + self.residual(self.attention(normal, normal, observed))
        update: Tensor = self.residual(self.feed_forward(x))
        return x + update


class TransformerEncoder(nn.Module):
    """The encoder of the module docstring."""

    def __init__(self, width: int, heads: int, layers: int, dropouts: Dropouts) -> None:
        super().__init__()
        self.embedding_dropout = Dropout(dropouts.embedding)
        self.layers = nn.ModuleList(TransformerLayer(width, heads, dropouts) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B T W"]:
        """Every frame after attending to the observed ones (to all, without `observed`)."""
        _, frames, width = x.shape
        x = self.embedding_dropout(math.sqrt(width) * x + sinusoidal_positions(frames, width, x))
        for layer in self.layers:
            x = layer(x, observed)
        normal: Tensor = self.norm(x)
        return normal
