"""P-RMF against a transcription of its formulas, sample by sample."""

import pytest
import torch
from plainlayers import (
    Weights,
    attended,
    count_of,
    damaged,
    frame_tokens,
    linear,
    normed,
    token_states,
    token_transformer_count,
)  # fmt: skip
from qamoe_baselines.gradient_reversal import reverse_gradient
from qamoe_baselines.p_rmf import CARD, PRMF, VARIANTS, build, gaussian_divergence
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES = {"width": 8, "hidden": 6, "heads": 2, "head_width": 3, "depth": 2, "tokens": 3, "rounds": 2}


@pytest.fixture
def model(tiny: Dataset) -> PRMF:
    with seeded("p-rmf"):
        return build(tiny.spec, **SIZES).eval()


def codes_of(w: Weights, m: str, h: Tensor) -> tuple[Tensor, Tensor]:
    encoded = token_states(w, f"codes.{m}.encoder", linear(w, f"codes.{m}.input", h).clamp(min=0), 2)[-1]
    mean, log_variance = (linear(w, f"codes.{m}.{kind}", encoded) for kind in ("mean", "log_variance"))
    return mean.clamp(-10, 10), log_variance.clamp(-10, 10)


def predicted(w: Weights, h: dict[str, Tensor]) -> float:
    codes = {m: codes_of(w, m, h[m]) for m in MODALITIES}
    exponentials = {m: (1 / (log_variance / 2).exp()).exp() for m, (_, log_variance) in codes.items()}
    weights = {m: e / sum(exponentials.values()) for m, e in exponentials.items()}
    proxy = sum((weights[m] * codes[m][0] for m in MODALITIES), torch.zeros(3, 8))
    for _ in range(2):
        q = proxy
        for m in MODALITIES:
            at = f"fusion.attend.{m}"
            source = normed(w, f"{at}.source_norm", h[m])
            query = linear(w, f"{at}.query", normed(w, f"{at}.query_norm", proxy))
            context = attended(query, linear(w, f"{at}.key", source), linear(w, f"{at}.value", source), 1)
            q = q + weights[m] * linear(w, f"{at}.out", context)
        proxy = q + linear(w, "fusion.linear", normed(w, "fusion.norm", q))
    return linear(w, "head.3", linear(w, "head.0", proxy.mean(0)).clamp(min=0)).item()


def divergence(mean: Tensor, log_variance: Tensor, mean_q: Tensor, log_variance_q: Tensor) -> Tensor:
    p = torch.distributions.Normal(mean, (log_variance / 2).exp())
    return torch.distributions.kl_divergence(p, torch.distributions.Normal(mean_q, (log_variance_q / 2).exp())).mean()


def test_predictions_follow_the_formulas(model: PRMF, batch: TrainingBatch) -> None:
    incomplete = damaged(batch)
    w = model.state_dict()
    for row, prediction in enumerate(model(incomplete).prediction[:12].tolist()):
        h = {m: frame_tokens(w, m, incomplete, row, 2, clean=False) for m in MODALITIES}
        assert prediction == pytest.approx(predicted(w, h), abs=1e-5)


def test_the_loss_follows_the_formulas(model: PRMF, batch: TrainingBatch) -> None:
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    output = model(few)
    torch.manual_seed(3)
    actual = model.loss(output, few)
    torch.manual_seed(3)
    noise = {m: torch.randn(5, 3, 8) for m in MODALITIES}
    h = {m: torch.stack([frame_tokens(w, m, few, i, 2, clean=False) for i in range(5)]) for m in MODALITIES}
    clean = {m: torch.stack([frame_tokens(w, m, few, i, 2, clean=True) for i in range(5)]) for m in MODALITIES}
    codes, rebuilt, own = {}, torch.zeros(()), torch.zeros(())
    for m in MODALITIES:
        mean, log_variance = map(torch.stack, zip(*(codes_of(w, m, x) for x in h[m]), strict=True))
        codes[m] = (mean, log_variance)
        z = mean + (log_variance / 2).exp() * noise[m]
        decoder = [
            token_states(w, f"codes.{m}.decoder", linear(w, f"codes.{m}.latent", x).clamp(min=0), 2)[-1] for x in z
        ]
        own = own + (linear(w, f"codes.{m}.output", torch.stack(decoder)) - clean[m]).square().mean()
        own = own + divergence(mean, log_variance, torch.zeros(5, 3, 8), torch.zeros(5, 3, 8))
        again = torch.stack([token_states(w, f"reconstructors.{m}", x, 2)[-1] for x in h[m]])
        rebuilt = rebuilt + (again - clean[m]).square().mean() / 3
    pairs = [("vision", "text"), ("audio", "text"), ("audio", "vision")]
    between = sum(divergence(*codes[later], *codes[earlier]) for later, earlier in pairs)
    error = (output.prediction - few.target).square().mean()
    torch.testing.assert_close(actual, error + 0.1 * rebuilt + 0.5 * (own + between) / 3, rtol=1e-5, atol=1e-5)


def test_weights_of_tiny_variances_do_not_overflow(model: PRMF, batch: TrainingBatch) -> None:
    for code in model.codes.values():
        torch.nn.init.constant_(code.log_variance.bias, -100)  # type: ignore[union-attr, arg-type]
    # σ is exp(−5) after the clamp, and exp(1/σ) infinite in float32.
    assert model(batch).prediction.isfinite().all()


def test_the_faithful_variant_reverses_the_proxy_and_leaves_the_reconstructor(tiny: Dataset) -> None:
    model = build(tiny.spec, **VARIANTS["faithful"])
    assert not any(p.requires_grad for p in model.reconstructors.parameters())
    x = torch.ones(2, requires_grad=True)
    torch.autograd.backward((3 * reverse_gradient(x, 0.5)).sum())
    torch.testing.assert_close(x.grad, torch.full((2,), -1.5))


def test_the_divergence_of_equal_codes_is_zero() -> None:
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(gaussian_divergence(mean, log_variance, mean, log_variance), torch.tensor(0.0))


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]
    encoders = sum(width * 128 + 128 for width in (5, 3, 4))
    encoders += sum(token_transformer_count(frames, 8, 2) for frames in (4, 6, 5))
    # The encoder of a code has 3 linear maps, the decoder 2.
    codes = 3 * (2 * token_transformer_count(8, 0, 2) + 5 * (128 * 128 + 128))
    fusion = 3 * (2 * 256 + 4 * (128 * 128 + 128)) + 256 + 128 * 128 + 128
    head = 128 * 128 + 128 + 129
    assert count_of(model) == encoders + codes + fusion + head + 3 * token_transformer_count(8, 0, 2)
