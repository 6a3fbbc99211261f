"""Counted multiply-adds against closed formulas, worked by hand for each kind of layer."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.cost.counter import count
from qamoe_bench.cost.operations import multiply_adds_of
from qamoe_bench.errors import RunFailed
from qamoe_bench.nn.attention import MaskedAttention
from qamoe_bench.nn.experts import GLUExperts

B, T, S, W = 3, 7, 5, 8


def counted(model: nn.Module, *inputs: object) -> int:
    return sum(count(model, *inputs)[0].values())


def test_linear() -> None:
    assert counted(nn.Linear(W, 6), torch.randn(B, T, W)) == B * T * W * 6
    assert counted(nn.Linear(W, 6, bias=False), torch.randn(B, W)) == B * W * 6


def test_convolutions() -> None:
    assert counted(nn.Conv1d(W, 6, 3, padding=1), torch.randn(B, W, T)) == B * T * 6 * W * 3
    assert counted(nn.Conv1d(W, 6, 3, stride=2, groups=2), torch.randn(B, W, T)) == B * 3 * 6 * W // 2 * 3
    assert counted(nn.Conv2d(4, 6, (3, 2)), torch.randn(B, 4, 5, 5)) == B * 3 * 4 * 6 * 4 * 6
    assert counted(nn.ConvTranspose1d(W, 6, 3), torch.randn(B, W, T)) == B * T * W * 6 * 3


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrences(kind: type[nn.LSTM | nn.GRU | nn.RNN], gates: int) -> None:
    hidden = 6
    one = kind(W, hidden, batch_first=True)
    assert counted(one, torch.randn(B, T, W)) == B * T * gates * hidden * (W + hidden)
    two = kind(W, hidden, num_layers=2, bidirectional=True, batch_first=True)
    first, second = 2 * gates * hidden * (W + hidden), 2 * gates * hidden * (2 * hidden + hidden)
    assert counted(two, torch.randn(B, T, W)) == B * T * (first + second)


@pytest.mark.parametrize("need_weights", [True, False])
def test_multi_head_attention(need_weights: bool) -> None:
    attention = nn.MultiheadAttention(W, 2, batch_first=True)
    query, source = torch.randn(B, T, W), torch.randn(B, S, W)
    counts = count(attention, query, source, source, None, need_weights)[0]
    assert sum(counts.values()) == B * (2 * T * W * W + 2 * S * W * W + 2 * T * S * W)


def test_transformer_layers() -> None:
    one = B * (T * (4 * W * W + 2 * W * 16) + 2 * T * T * W)
    layer = nn.TransformerEncoderLayer(W, 2, 16, batch_first=True)
    assert counted(layer, torch.randn(B, T, W)) == one
    assert counted(nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), torch.randn(B, T, W)) == 3 * one


def test_masked_attention() -> None:
    observed = torch.arange(S) < torch.tensor([5, 2, 0])[:, None]  # masked positions are computed too
    expected = B * (2 * T * W * W + 2 * S * W * W + 2 * T * S * W)
    for mask in (None, observed):
        assert counted(MaskedAttention(W, 2), torch.randn(B, T, W), torch.randn(B, S, W), mask) == expected


def test_dense_experts_count_every_expert() -> None:
    tokens, experts, hidden = 9, 4, 6
    gate = torch.rand(tokens, experts)
    of_experts = tokens * experts * (W * 2 * hidden + hidden * W)
    total = counted(GLUExperts(experts, W, hidden, "dense"), torch.randn(tokens, W), gate)
    assert total == of_experts + tokens * experts * W  # and the mixture, a product of gate and outputs


def test_sparse_experts_count_what_is_routed() -> None:
    hidden, gate = 6, torch.zeros(9, 4)
    gate[:5, 0], gate[0, 3], gate[8, 3] = 1.0, 0.5, 1.0  # 5, 0, 0 and 2 tokens
    assert counted(GLUExperts(4, W, hidden, "sparse"), torch.randn(9, W), gate) == 7 * (W * 2 * hidden + hidden * W)


class Products(nn.Module):
    """Products outside any layer."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x = torch.einsum("bik,bjk->bij", a, b) + torch.baddbmm(a.new_ones(B, T, S), a, b.mT)  # 2·B·T·S·W
        product: Tensor = x.sum((0, 1)) @ x.new_ones(S) + b[0] @ a.new_ones(W)  # S, then S·W
        return product


def test_products_outside_layers() -> None:
    assert counted(Products(), torch.randn(B, T, W), torch.randn(B, S, W)) == 2 * B * T * S * W + S + S * W


def test_multiply_adds_belong_to_the_innermost_module() -> None:
    model = nn.Sequential(nn.Linear(W, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    counts, output = count(model, torch.randn(B, W))
    assert {name: n for name, n in counts.items() if n} == {"0": B * W * 4, "1.1": B * 4 * 2}
    assert output.shape == (B, 2)


class Uncountable(nn.Module):
    """Solves linear equations, whose products are hidden in a library."""

    def forward(self, x: Tensor) -> Tensor:
        inverse: Tensor = torch.linalg.inv(x)
        return inverse


class Distances(nn.Module):
    """Distances, which a fused kernel may get from a product."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, x)


class Fused(nn.Module):
    """An attention that insists on a kernel that hides its products."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize("model", [Uncountable(), Distances(), Fused()], ids=lambda m: type(m).__name__)
def test_what_cannot_be_counted_fails_loudly(model: nn.Module) -> None:
    with pytest.raises(RunFailed, match="cannot count aten"):
        count(model, torch.randn(2, 2, 4, 4))


def test_fused_kernels_and_custom_operators_are_not_free() -> None:
    for name in ("_transformer_encoder_layer_fwd", "_native_multi_head_attention", "mkldnn_rnn_layer", "_cudnn_rnn"):
        with pytest.raises(RunFailed, match=name):
            multiply_adds_of(getattr(torch.ops.aten, name).default, (), None)


def test_switches_are_as_before_afterwards_and_no_hook_is_left() -> None:
    model = nn.Linear(2, 2)
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    count(model, torch.randn(1, 2))
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == before
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
