"""Dropout from 16-bit random numbers, alone and inside attention."""

import math

import pytest
import torch
from torch import nn

from qamoe_bench.nn.attention import MaskedAttention
from qamoe_bench.nn.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(400, 253), (7,), (0, 3)])
def test_elements_are_zeroed_at_the_rate_and_the_others_scaled(rate: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    dropped = Dropout(rate)(torch.ones(shape))
    assert dropped.shape == shape
    kept = dropped[dropped != 0]
    assert torch.allclose(kept, torch.tensor(1 / (1 - rate)), rtol=1e-4)
    # Four standard errors of a share.
    assert abs(len(kept) - (1 - rate) * dropped.numel()) <= 4 * math.sqrt(rate * (1 - rate) * dropped.numel()) + 1e-9


def test_neighbours_are_independent() -> None:
    torch.manual_seed(1)
    is_kept = (Dropout(0.5)(torch.ones(200_000)) != 0).float()
    for distance in (1, 2, 3, 4, 5, 8):
        correlation = torch.corrcoef(torch.stack([is_kept[:-distance], is_kept[distance:]]))[0, 1]
        assert abs(correlation) < 4 / math.sqrt(200_000)


def test_the_gradient_is_dropped_where_the_value_is() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 20, requires_grad=True)
    dropped = Dropout(0.3)(x)
    dropped.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad * x.detach(), dropped.detach())


def test_nothing_is_dropped_in_evaluation_or_at_rate_0_and_everything_at_rate_1() -> None:
    x = torch.randn(30, 20)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(30, 20))


def test_the_seed_decides() -> None:
    first, second, other = (_dropped(seed) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_attention_drops_weights_and_has_the_right_mean() -> None:
    torch.manual_seed(0)
    attention = MaskedAttention(8, 2, dropout=0.4)
    x = torch.randn(3, 5, 8)
    observed = torch.tensor([[True, True, True, False, False], [True] * 5, [False] * 5])
    expected = attention.eval()(x, x, observed)
    attention.train()
    with torch.no_grad():
        drawn = torch.stack([attention(x, x, observed) for _ in range(4000)])
    error = (drawn.mean(0) - expected).abs()
    assert (drawn.std(0)[:2] > 0.01).all()
    assert (error <= 5 * drawn.std(0) / math.sqrt(len(drawn)) + 1e-6).all()


def test_without_a_drop_it_is_pytorchs_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    # A dropout that keeps everything leaves the explicit softmax, which must equal the fused one.
    torch.manual_seed(0)
    attention = MaskedAttention(8, 2, dropout=0.4)
    x = torch.randn(3, 5, 8)
    observed = torch.tensor([[True, True, True, False, False], [True] * 5, [False] * 5])
    expected = attention.eval()(x, x, observed)
    monkeypatch.setattr(Dropout, "forward", lambda _, weights: weights)
    assert torch.allclose(attention.train()(x, x, observed), expected, atol=1e-6)


def _dropped(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    module: nn.Module = Dropout(0.5)
    return torch.Tensor(module(torch.ones(100)))
