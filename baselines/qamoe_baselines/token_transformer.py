"""The Transformer of LNLN and P-RMF: learnable tokens before the frames, of which only these tokens are kept.

    x ← x + Out(Att(LN₁x, LN₂x, LN₃x));  x ← x + W₂ GELU(W₁ LN x);  no norm at the end
Queries, keys and values have their own layer norm and no bias; the positions are learnt. From the code of LNLN
(Haoyu-ha/LNLN @ 80a052c), which follows the Vision Transformer (Dosovitskiy et al. 2021); P-RMF uses the same.
Departs: frames can be left out of attention by a mask. The authors attend to padding and lost frames as to any other.

Dimension legend: B samples, T frames, K tokens, N = K + T positions, S source positions, W width, H heads,
C head width, I = H·C.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_bench.contract import Batch, DataSpec


@dataclass(frozen=True)
class TokenSizes:
    """Sizes of a Transformer.

    Attributes:
        width: W.
        depth: Number of blocks.
        heads: H.
        head_width: C; H·C need not be W.
        hidden: Hidden units of the second half of a block.
    """

    width: int
    depth: int
    heads: int
    head_width: int
    hidden: int


class NormedAttention(nn.Module):
    """Attention whose query, key and value are normalised separately: Out(softmax(QKᵀ/√C)·V)."""

    def __init__(self, sizes: TokenSizes) -> None:
        super().__init__()
        inner = sizes.heads * sizes.head_width
        self.heads = sizes.heads
        self.norms = nn.ModuleList(nn.LayerNorm(sizes.width) for _ in range(3))  # of query, key and value
        self.query = nn.Linear(sizes.width, inner, bias=False)
        self.key = nn.Linear(sizes.width, inner, bias=False)
        self.value = nn.Linear(sizes.width, inner, bias=False)
        self.out = nn.Linear(inner, sizes.width)

    def forward(
        self, x: Float[Tensor, "B N W"], source: Float[Tensor, "B S W"], observed: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B N W"]:
        """One output per position of x; every sample must have an observed source position."""
        query_norm, key_norm, value_norm = self.norms
        q = split_heads(self.query(query_norm(x)), self.heads)
        k = split_heads(self.key(key_norm(source)), self.heads)
        v = split_heads(self.value(value_norm(source)), self.heads)
        mask = None if observed is None else observed[:, None, None]  # (B, 1, 1, S)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, H, N, C)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


def split_heads(x: Float[Tensor, "B N I"], heads: int) -> Float[Tensor, "B H N C"]:
    """The heads of vectors of width I = H·C."""
    split: Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]
    return split


class TokenBlock(nn.Module):
    """Attention and two linear maps, each with a residual connection."""

    def __init__(self, sizes: TokenSizes) -> None:
        super().__init__()
        self.attention = NormedAttention(sizes)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(sizes.width),
            nn.Linear(sizes.width, sizes.hidden),
            nn.GELU(),
            nn.Linear(sizes.hidden, sizes.width),
        )

    def forward(
        self, x: Float[Tensor, "B N W"], source: Float[Tensor, "B S W"], observed: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B N W"]:
        """The positions of x after attending to those of the source, which may be x itself."""
        x = x + self.attention(x, source, observed)
        y: Tensor = x + self.feed_forward(x)
        return y


class TokenTransformer(nn.Module):
    """Blocks over learnable tokens (none, with `tokens` 0) and given vectors, with learnt positions."""

    def __init__(self, sizes: TokenSizes, frames: int, tokens: int = 0) -> None:
        super().__init__()
        self.count = tokens
        self.positions = nn.Parameter(torch.randn(1, tokens + frames, sizes.width))
        self.tokens = nn.Parameter(torch.zeros(1, tokens, sizes.width)) if tokens else None
        self.blocks = nn.ModuleList(TokenBlock(sizes) for _ in range(sizes.depth))

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B N W"]:
        """The output at every position, tokens first."""
        return self.states(x, observed)[-1]

    def states(
        self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"] | None = None
    ) -> list[Float[Tensor, "B N W"]]:
        """The input with positions, and the output of every block."""
        if self.tokens is not None:
            x = torch.cat([self.tokens.expand(len(x), -1, -1), x], dim=1)
            if observed is not None:  # the tokens are always attended to
                observed = F.pad(observed, (self.count, 0), value=True)
        x = x + self.positions[:, : x.shape[1]]
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], states[-1], observed))
        return states


class FrameTokens(nn.Module):
    """The encoder of one modality: a linear map of each frame, the Transformer, and the outputs at its K tokens."""

    def __init__(
        self, modality: str, spec: DataSpec, sizes: TokenSizes, tokens: int, *, standardise: bool, masked: bool
    ) -> None:
        super().__init__()
        self.masked = masked
        self.count = tokens
        self.input = MaskedFrames(modality, spec, standardise=standardise)
        self.frame = nn.Linear(self.input.width, sizes.width)
        self.transformer = TokenTransformer(sizes, spec.lengths[modality], tokens)

    def forward(self, batch: Batch) -> Float[Tensor, "B K W"]:
        """K vectors; with `masked`, those of a sample without observed frames depend on the tokens alone."""
        x, observed = self.input(batch)
        states: Tensor = self.transformer(self.frame(x), observed if self.masked else None)
        return states[:, : self.count]
