"""A mixture of gated-linear-unit experts with top-k routing.

Dimension legend: B tokens, W width, V output width, H hidden width, E experts, K chosen experts, R = B·K routed tokens.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Dispatch = Literal["auto", "dense", "sparse"]
SPARSE_FROM = {"cpu": 128, "cuda": 32768}
"""Number of tokens from which `auto` is sparse, by kind of device. Below it, many small products cost more than one
large product; on a GPU each of them costs its launch, and routing waits for the GPU. See `docs/gpu.md`."""


class GLUExperts(nn.Module):
    """E feed-forward blocks E_k(x) = W₂((W₁x + b₁) ⊙ sigmoid(W_g x + b_g)) + b₂, mixed by a gate (Dauphin 2017).

    The mixture is Σ_k g_k E_k(x). `dense` computes every expert for every token, `sparse` only the experts whose weight
    is not 0; both give the same result. `auto` is sparse for batches that are large enough to be faster that way.
    """

    def __init__(self, experts: int, width: int, hidden: int, dispatch: Dispatch = "auto") -> None:
        super().__init__()
        self.dispatch = dispatch
        self.up = nn.Parameter(torch.empty(experts, width, 2 * hidden))
        self.up_bias = nn.Parameter(torch.zeros(experts, 1, 2 * hidden))
        self.down = nn.Parameter(torch.empty(experts, hidden, width))
        self.down_bias = nn.Parameter(torch.zeros(experts, 1, width))
        for weight, fan_in in ((self.up, width), (self.down, hidden)):
            nn.init.uniform_(weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))  # nn.Linear's own default

    def forward(self, x: Float[Tensor, "B W"], gate: Float[Tensor, "B E"]) -> Float[Tensor, "B W"]:
        """Σ_k g_k E_k(x) for every token."""
        # Other accelerators launch their kernels as CUDA does.
        enough = len(x) >= SPARSE_FROM.get(x.device.type, SPARSE_FROM["cuda"])
        sparse = self.dispatch == "sparse" or (self.dispatch == "auto" and enough)
        return self.mixture_of_routed(x, gate) if sparse else self.mixture_of_all(x, gate)

    def outputs(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "E B W"]:
        """Every expert's output for every token."""
        repeated = x.expand(self.up.shape[0], *x.shape)  # (E, B, W), without a copy
        value, gate = torch.baddbmm(self.up_bias, repeated, self.up).chunk(2, dim=-1)  # (E, B, H) twice
        return torch.baddbmm(self.down_bias, value * gate.sigmoid(), self.down)

    def mixture_of_all(self, x: Float[Tensor, "B W"], gate: Float[Tensor, "B E"]) -> Float[Tensor, "B W"]:
        """Dense dispatch: the weighted sum of all outputs."""
        return torch.einsum("be,ebw->bw", gate, self.outputs(x))

    def mixture_of_routed(self, x: Float[Tensor, "B W"], gate: Float[Tensor, "B E"]) -> Float[Tensor, "B W"]:
        """Sparse dispatch: tokens sorted by expert, one pair of products per expert, outputs summed per token."""
        expert, token = gate.T.nonzero(as_tuple=True)  # (R,) twice, by expert
        counts = torch.bincount(expert, minlength=len(self.up)).tolist()
        tokens = torch.split(x.index_select(0, token), counts)  # (tokens of the expert, W) each
        # Unbound once, because the gradient of an expert selected by index is as large as all experts together.
        weights = zip(*(p.unbind() for p in (self.up, self.up_bias, self.down, self.down_bias)), strict=True)
        outputs = [_apply_expert(x_k, *weights_k) for x_k, weights_k in zip(tokens, weights, strict=True)]
        weighted = torch.cat(outputs) * gate[token, expert][:, None]  # (R, W)
        return torch.zeros_like(x, dtype=weighted.dtype).index_add(0, token, weighted)


def _apply_expert(x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor) -> Tensor:
    """E_k(x) with the weights of one expert."""
    value, gate = torch.addmm(up_bias, x, up).chunk(2, dim=-1)
    return torch.addmm(down_bias, value * gate.sigmoid(), down)


def top_k_gate(logits: Float[Tensor, "B E"], k: int, *, renormalise: bool) -> Float[Tensor, "B E"]:
    """Gate weights: softmax over the k largest logits, 0 for the others.

    With `renormalise` the kept weights sum to 1 (a softmax over the kept logits); without, they keep the values of a
    softmax over all experts.
    """
    kept, index = logits.topk(k, dim=-1)  # (B, K)
    weights = kept.softmax(-1) if renormalise else logits.softmax(-1).gather(-1, index)
    return torch.zeros_like(logits, dtype=weights.dtype).scatter(-1, index, weights)
