"""Attention over observed frames, and sinusoidal positions (Vaswani et al. 2017).

Dimension legend: B samples, T and S frames, W width, H heads, C = W / H.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.errors import BenchError
from qamoe_bench.nn.dropout import Dropout


class MaskedAttention(nn.Module):
    """Multi-head attention softmax(QKᵀ/√C)·V over the observed frames of the source; zeros for a source without any."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise BenchError(f"attention: expected a width that {heads} heads divide, got {width}; change either")
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        query: Float[Tensor, "B T W"],
        source: Float[Tensor, "B S W"],
        observed: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B T W"]:
        """The attention output for each query; without `observed`, every frame of the source counts as observed."""
        key, value = self.key_value(source).chunk(2, dim=-1)  # (B, S, W) twice
        q = self._split(self.query(query))  # (B, H, T, C)
        k = self._split(key)  # (B, H, S, C)
        v = self._split(value)  # (B, H, S, C)
        if observed is None:
            return self._join(self._attend(q, k, v, None))
        has_frame = observed.any(1)  # (B,)
        # A softmax over no frame is NaN, so a sample without observed frames attends to all, and its output is zeroed.
        mask = (observed | ~has_frame[:, None])[:, None, None]  # (B, 1, 1, S)
        return self._join(self._attend(q, k, v, mask)) * has_frame[:, None, None]

    def _attend(
        self,
        query: Float[Tensor, "B H T C"],
        key: Float[Tensor, "B H S C"],
        value: Float[Tensor, "B H S C"],
        mask: Bool[Tensor, "B 1 1 S"] | None,
    ) -> Float[Tensor, "B H T C"]:
        dropout = self.dropout.p if self.training else 0.0
        if not dropout or query.device.type != "cpu":
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        # The same, with our own dropout; on a processor PyTorch also has the weights as a whole.
        logits = query @ key.mT / math.sqrt(query.shape[-1])  # (B, H, T, S)
        if mask is not None:
            logits = logits.masked_fill(~mask, -math.inf)
        dropped: Tensor = self.dropout(logits.softmax(-1)) @ value
        return dropped

    def _split(self, x: Float[Tensor, "B N W"]) -> Float[Tensor, "B H N C"]:
        heads: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]
        return heads

    def _join(self, heads: Float[Tensor, "B H T C"]) -> Float[Tensor, "B T W"]:
        joined: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return joined


def sinusoidal_positions(frames: int, width: int, like: Tensor) -> Float[Tensor, "T W"]:
    """Sine and cosine of position × 10000^(−2i/W), for positions from 1; the last column of an odd width is zero."""
    half = width // 2
    rate = torch.exp(torch.arange(half, device=like.device) * (-math.log(10_000) / max(half - 1, 1)))
    angle = torch.arange(1, frames + 1, device=like.device)[:, None] * rate  # (T, W/2)
    return F.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, width % 2)).to(like.dtype)
