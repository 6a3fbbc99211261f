"""Shared layers against plain transcriptions of their formulas, and their blindness to padding."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.models.qa_moe import QAMoEConfig
from qamoe_bench.nn.attention import MaskedAttention
from qamoe_bench.nn.encoder import UtteranceEncoder
from qamoe_bench.nn.experts import GLUExperts, top_k_gate
from qamoe_bench.nn.frames import FrameStatistics, StandardisedLinear


def test_shapes_are_checked_in_the_tests_of_this_room(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("jaxtyping_packages"):
        pytest.skip("the command switched the checks off")
    with pytest.raises(TypeCheckError):
        FrameStatistics()(torch.randn(4, 6, 3), torch.zeros(4, 1, 5, dtype=torch.bool))


def test_frame_statistics_equal_mean_and_deviation_of_the_observed_frames() -> None:
    x = torch.randn(4, 6, 3)
    observed = torch.zeros(4, 2, 6, dtype=torch.bool)
    observed[0, 0, :6], observed[1, 0, 1:3], observed[2, 0, 4], observed[3, 1, 2:] = True, True, True, True
    actual = FrameStatistics()(x, observed)
    for i, of_sample in enumerate((0, 0, 0, 1)):
        kept = x[i][observed[i, of_sample]]
        torch.testing.assert_close(actual[i, of_sample, :3], kept.mean(0))
        torch.testing.assert_close(actual[i, of_sample, 3:], kept.std(0, correction=0), atol=1e-3, rtol=0)
        assert (actual[i, 1 - of_sample] == 0).all()  # the other set is empty


def test_frame_statistics_have_a_finite_gradient_for_a_single_frame() -> None:
    x = torch.randn(2, 1, 3, requires_grad=True)
    FrameStatistics()(x, torch.ones(2, 1, 1, dtype=torch.bool)).sum().backward()
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
    actual = experts.outputs(x)
    for e in range(5):
        value, gate = (x @ experts.up[e] + experts.up_bias[e]).chunk(2, dim=1)
        expected = (value * torch.sigmoid(gate)) @ experts.down[e] + experts.down_bias[e]
        torch.testing.assert_close(actual[e], expected)


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_gate_keeps_the_k_largest(renormalise: bool) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, -1.0]])
    actual = top_k_gate(logits, 2, renormalise=renormalise)
    soft = logits.softmax(1)
    share = 1 / (soft[0, 1] + soft[0, 2]) if renormalise else 1.0
    torch.testing.assert_close(actual, torch.tensor([[0, soft[0, 1] * share, soft[0, 2] * share, 0]]))


def test_a_gate_over_all_experts_is_a_softmax() -> None:
    logits = torch.randn(3, 5)
    for renormalise in (True, False):
        torch.testing.assert_close(top_k_gate(logits, 5, renormalise=renormalise), logits.softmax(1))


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="unknown setting 'expert'.*did you mean 'experts'"):
        configure(QAMoEConfig, {"expert": 2})


@pytest.mark.parametrize(("value", "words"), [("big", "a whole number"), (True, "a whole number"), (1.5, "a whole")])
def test_a_value_of_the_wrong_type_is_refused(value: object, words: str) -> None:
    with pytest.raises(BenchError, match=f"setting width: expected {words}"):
        configure(QAMoEConfig, {"width": value})


def test_a_value_that_is_not_among_the_choices_is_refused() -> None:
    with pytest.raises(BenchError, match="setting loss: expected one of nll, nll"):
        configure(QAMoEConfig, {"loss": "mse"})


@pytest.mark.parametrize(
    ("tokens", "device", "sparse"), [(127, "cpu", False), (128, "cpu", True), (4096, "meta", False)]
)
def test_experts_are_dispatched_sparsely_from_a_number_of_tokens_that_depends_on_the_device(
    tokens: int, device: str, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def note(name: str) -> Callable[[GLUExperts, Tensor, Tensor], Tensor]:
        def mixture(_: GLUExperts, x: Tensor, gate: Tensor) -> Tensor:
            used.append(name)
            return x

        return mixture

    for name in ("mixture_of_routed", "mixture_of_all"):
        monkeypatch.setattr(GLUExperts, name, note(name))
    with torch.device(device):  # `meta` computes nothing; it stands for every device but the CPU
        GLUExperts(experts=2, width=3, hidden=4)(torch.zeros(tokens, 3), torch.zeros(tokens, 2))
    assert used == ["mixture_of_routed" if sparse else "mixture_of_all"]


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("tokens", [1, 5, 300])
def test_sparse_dispatch_equals_the_dense_loop_forward_and_backward(k: int, tokens: int) -> None:
    torch.manual_seed(k)
    experts = GLUExperts(experts=8, width=16, hidden=24).double()
    x, logits = torch.randn(tokens, 16).double().requires_grad_(), torch.randn(tokens, 8).double().requires_grad_()
    outcome = []
    for mixture in (experts.mixture_of_all, experts.mixture_of_routed):
        actual = mixture(x, top_k_gate(logits, k, renormalise=True))
        weights = torch.arange(actual.numel(), dtype=actual.dtype).view_as(actual) / actual.numel()
        gradients = torch.autograd.grad((actual * weights).sum(), [x, logits, *experts.parameters()])
        outcome.append((actual, *gradients))
    for dense, sparse in zip(*outcome, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-6)


def test_dispatch_changes_nothing_in_single_precision() -> None:
    torch.manual_seed(0)
    experts, x = GLUExperts(experts=8, width=64, hidden=128), torch.randn(500, 64)
    gate = top_k_gate(torch.randn(500, 8), 3, renormalise=True)
    for dispatch in ("dense", "sparse", "auto"):
        experts.dispatch = dispatch
        torch.testing.assert_close(experts(x, gate), experts.mixture_of_all(x, gate), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("summary", ["statistics", "mean", "gru", "transformer"])
def test_every_encoder_sees_observed_frames_only(summary: Any, tiny: Dataset, batch: Batch) -> None:
    encoder = UtteranceEncoder("text", tiny.spec, 8, 0.0, summary).eval()
    actual = encoder(batch)
    poisoned = torch.where(batch.mask("text")[..., None], batch.features["text"], 99.0)
    torch.testing.assert_close(encoder(Batch({"text": poisoned}, batch.lengths)), actual)
    alone = encoder(batch.rows(slice(3, 4)))
    torch.testing.assert_close(alone, actual[3:4])
    nothing = encoder(Batch({"text": 0 * batch.features["text"]}, batch.lengths))
    torch.testing.assert_close(nothing, nothing[:1].expand(20, 8))
    assert actual.std(0).min() > 0


def test_masked_attention_equals_plain_attention_over_the_observed_frames() -> None:
    torch.manual_seed(0)
    attention = MaskedAttention(width=6, heads=2)
    query, source = torch.randn(3, 4, 6), torch.randn(3, 5, 6)
    observed = torch.tensor([[True, False, True, False, False], [True] * 5, [False] * 5])
    actual = attention(query, source, observed)
    for i in range(2):
        kept = source[i][observed[i]]
        q, (k, v) = attention.query(query[i]), attention.key_value(kept).chunk(2, dim=1)
        heads = [(q[:, s] @ k[:, s].T / 3**0.5).softmax(1) @ v[:, s] for s in (slice(0, 3), slice(3, 6))]
        torch.testing.assert_close(actual[i], attention.out(torch.cat(heads, dim=1)))
    assert (actual[2] == 0).all()
    torch.testing.assert_close(attention(query, source)[1], actual[1])
    with pytest.raises(BenchError, match="a width that 4 heads divide, got 6"):
        MaskedAttention(6, 4)
