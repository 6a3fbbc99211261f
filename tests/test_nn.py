"""Shared layers against plain transcriptions of their formulas, and their blindness to padding."""

import pytest
import torch
from torch import nn

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.config import configure
from qamoe_bench.nn.encoder import UtteranceEncoder
from qamoe_bench.nn.experts import GLUExperts, top_k_gate
from qamoe_bench.nn.frames import FrameStatistics, StandardisedLinear
from qamoe_bench.qamoe.model import QAMoEConfig


def test_frame_statistics_equal_mean_and_deviation_of_the_observed_frames() -> None:
    x = torch.randn(4, 6, 3)
    observed = torch.zeros(4, 6, dtype=torch.bool)
    observed[0, :6], observed[1, 1:3], observed[2, 4] = True, True, True  # the last sample has none
    found = FrameStatistics()(x, observed)
    for i in range(3):
        kept = x[i][observed[i]]
        torch.testing.assert_close(found[i, :3], kept.mean(0))
        torch.testing.assert_close(found[i, 3:], kept.std(0, correction=0), atol=1e-3, rtol=0)
    assert (found[3] == 0).all()


def test_frame_statistics_have_a_finite_gradient_for_a_single_frame() -> None:
    x = torch.randn(2, 1, 3, requires_grad=True)
    FrameStatistics()(x, torch.ones(2, 1, dtype=torch.bool)).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_a_standardised_linear_map_standardises_first() -> None:
    layer = StandardisedLinear(torch.tensor([1.0, -2.0]), torch.tensor([2.0, 0.5]), width=3)
    x = torch.randn(4, 5, 2)
    expected = layer.linear((x - torch.tensor([1.0, -2.0])) / torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(layer(x), expected)


def test_the_encoder_does_not_see_padding(tiny: Dataset, batch: Batch) -> None:
    encoder = UtteranceEncoder("text", tiny.spec, width=8, dropout=0.0).eval()
    longer = Batch({"text": nn.functional.pad(batch.features["text"], (0, 0, 0, 9))}, {"text": batch.lengths["text"]})
    torch.testing.assert_close(encoder(longer), encoder(batch))


def test_experts_equal_a_loop_over_plain_layers() -> None:
    experts = GLUExperts(experts=5, width=4, hidden=6)
    x = torch.randn(7, 4)
    found = experts.answers(x)
    for e in range(5):
        value, gate = (x @ experts.up[e] + experts.up_bias[e]).chunk(2, dim=1)
        expected = (value * torch.sigmoid(gate)) @ experts.down[e] + experts.down_bias[e]
        torch.testing.assert_close(found[e], expected)


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_gate_keeps_the_k_largest(renormalise: bool) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, -1.0]])
    found = top_k_gate(logits, 2, renormalise=renormalise)
    soft = logits.softmax(1)
    share = 1 / (soft[0, 1] + soft[0, 2]) if renormalise else 1.0
    torch.testing.assert_close(found, torch.tensor([[0, soft[0, 1] * share, soft[0, 2] * share, 0]]))


def test_a_gate_over_all_experts_is_a_softmax() -> None:
    logits = torch.randn(3, 5)
    for renormalise in (True, False):
        torch.testing.assert_close(top_k_gate(logits, 5, renormalise=renormalise), logits.softmax(1))


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="unknown field of QAMoEConfig 'expert'.*did you mean 'experts'"):
        configure(QAMoEConfig, {"expert": 2})
