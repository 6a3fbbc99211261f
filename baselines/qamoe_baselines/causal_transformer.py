"""The Transformer of MulT's code, as TFR-Net uses it: attention from one modality to another, to the past only.

    x ← √W·x + positions, as is the source;   x ← x + Att(LN x, LN source);   x ← x + W₂ ReLU(W₁ LN x);   a last LN
With T queries and S sources, a query t attends to the sources s ≤ t + |T − S|. A vector whose first entry is zero has
no position, as in the code, which takes it for padding. From thuiar/MMSA @ a94e65d, after yaohungt's MulT (Tsai et al.
2019) and fairseq. Unlike `qamoe_bench.nn.transformer` it has a source and a causal mask, and attends to padding.

Dimension legend: B samples, T frames, S source frames, W width.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.token_transformer import split_heads
from qamoe_bench.nn.attention import sinusoidal_positions
from qamoe_bench.nn.dropout import Dropout


@dataclass(frozen=True)
class CausalSizes:
    """Sizes and dropout rates of a Transformer.

    Attributes:
        width: W.
        heads: Number of heads.
        layers: Number of blocks.
        attention: Dropout of attention weights.
        hidden: Dropout of hidden units.
        residual: Dropout of residual branches.
        embedding: Dropout of the input.
    """

    width: int
    heads: int
    layers: int
    attention: float = 0.0
    hidden: float = 0.0
    residual: float = 0.0
    embedding: float = 0.0


class CausalBlock(nn.Module):
    """Attention and two linear maps; query and source share a layer norm."""

    def __init__(self, sizes: CausalSizes) -> None:
        super().__init__()
        width = sizes.width
        self.sizes = sizes
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        hidden = [nn.Linear(width, 4 * width), nn.ReLU(), Dropout(sizes.hidden), nn.Linear(4 * width, width)]
        self.feed_forward = nn.Sequential(nn.LayerNorm(width), *hidden)
        self.residual = Dropout(sizes.residual)

    def forward(self, x: Float[Tensor, "B T W"], source: Float[Tensor, "B S W"] | None) -> Float[Tensor, "B T W"]:
        """The queries after attending to the source, or to themselves without one."""
        normal = self.norm(x)
        context = normal if source is None else self.norm(source)
        q = split_heads(self.query(normal), self.sizes.heads)
        key, value = self.key_value(context).chunk(2, dim=-1)
        k = split_heads(key, self.sizes.heads)
        v = split_heads(value, self.sizes.heads)
        mask = past_mask(x.shape[1], context.shape[1], x.device)
        dropout = self.sizes.attention if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        x = x + self.residual(self.out(attended.transpose(1, 2).flatten(2)))
        y: Tensor = x + self.residual(self.feed_forward(x))
        return y


def past_mask(queries: int, sources: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """True where a query may attend."""
    query = torch.arange(queries, device=device)[:, None]
    return torch.arange(sources, device=device) <= query + abs(sources - queries)


class CausalTransformer(nn.Module):
    """The Transformer of the module docstring."""

    def __init__(self, sizes: CausalSizes, *, positions: bool = True) -> None:
        super().__init__()
        self.positions = positions
        self.dropout = Dropout(sizes.embedding)
        self.blocks = nn.ModuleList(CausalBlock(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)

    def forward(
        self, x: Float[Tensor, "B T W"], source: Float[Tensor, "B S W"] | None = None
    ) -> Float[Tensor, "B T W"]:
        """One output per query."""
        x = self._embedded(x)
        source = None if source is None else self._embedded(source)
        for block in self.blocks:
            x = block(x, source)
        normal: Tensor = self.norm(x)
        return normal

    def _embedded(self, x: Float[Tensor, "B T W"]) -> Float[Tensor, "B T W"]:
        _, frames, width = x.shape
        scaled = math.sqrt(width) * x
        if self.positions:
            scaled = scaled + sinusoidal_positions(frames, width, x) * (x[..., :1] != 0)
        embedded: Tensor = self.dropout(scaled)
        return embedded
