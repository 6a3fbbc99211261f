"""QA-MoE against a literal transcription of its formulas."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from qamoe_bench.contract import Batch, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.models.qa_moe import build
from qamoe_bench.models.quality import make_quality
from qamoe_bench.nn.frames import observed_frames
from qamoe_bench.registry import find_model


def literal(
    model: Any, batch: Batch, given: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The formulas one sample and one expert at a time, with r_m as given."""
    predictions, variances, qualities = [], [], {m: [] for m in model.modalities}  # type: ignore[var-annotated]
    encoded = model.encode(batch)
    for i in range(batch.size):
        mixed = []
        for m in model.modalities:
            u = encoded[m][i]
            mu = model.mean[m](u)
            sigma2 = torch.log1p(torch.exp(model.quality[m].spread(u)))
            r = given[m][i] if given else 1 / (1 + sigma2.mean())
            logits = model.gate[m](mu)
            best = logits.argsort(descending=True)[: model.config.k]
            mixture = torch.zeros_like(mu)
            for k in best:
                weight = logits[k].exp() / logits[best].exp().sum()
                mixture = mixture + weight * model.experts[0].outputs(mu[None])[k, 0]
            mixed.append(r * mixture + (1 - r) * model.prior[0])
            qualities[m].append(r)
        h = model.fusion(torch.cat(mixed))
        predictions.append(model.answers.mean + model.answers.std * model.predict(h)[0])
        variances.append(model.answers.std**2 * model.log_variance(h)[0].exp())
    return torch.stack(predictions), torch.stack(variances), {m: torch.stack(q) for m, q in qualities.items()}


def test_forward_equals_the_formulas(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8, expert_hidden=5).eval()
    torch.nn.init.normal_(model.prior)
    with torch.no_grad():
        output, (prediction, variance, quality) = model(batch), literal(model, batch)
    torch.testing.assert_close(output.prediction, prediction)
    torch.testing.assert_close(output.variance, variance)
    for m in model.modalities:
        torch.testing.assert_close(output.quality[m], quality[m])


def test_loss_is_the_gaussian_likelihood_without_its_constant(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec)
    output = Output(torch.randn(20), torch.rand(20) + 0.1)
    assert output.variance is not None
    normal = torch.distributions.Normal(output.prediction, output.variance.sqrt())
    log_prob = normal.log_prob(batch.target)  # type: ignore[no-untyped-call]
    expected = -log_prob.mean() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(model.loss(output, batch), expected)
    l1 = (output.prediction - batch.target).abs().mean()
    torch.testing.assert_close(build(tiny.spec, loss="nll+l1").loss(output, batch), expected + l1)
    without = build(tiny.spec, loss="l1")
    torch.testing.assert_close(without.loss(output, batch), l1)
    assert without(batch).variance is None


def test_a_quality_of_zero_leaves_the_prior_alone(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8).eval()
    for quality in model.quality.values():
        torch.nn.init.constant_(quality.spread.bias, 1e9)  # type: ignore[arg-type,union-attr]
    output = model(batch)
    assert torch.allclose(output.prediction, output.prediction[0].expand(20))
    assert all((q < 1e-6).all() for q in output.quality.values())


def test_with_scores_from_outside_the_formulas_take_these(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8, expert_hidden=5).eval()
    torch.nn.init.normal_(model.prior)
    given = {m: torch.rand(20) for m in reversed(model.modalities)}  # whatever their order
    with torch.no_grad():
        output, (prediction, variance, _) = model.predict_with_quality(batch, given), literal(model, batch, given)
    torch.testing.assert_close(output.prediction, prediction)
    torch.testing.assert_close(output.variance, variance)
    assert all(output.quality[m] is given[m] for m in model.modalities)
    permuted = {m: r.roll(1) for m, r in given.items()}
    assert not torch.allclose(model.predict_with_quality(batch, permuted).prediction, prediction, atol=1e-3)


def test_without_a_quality_gate_scores_from_outside_change_nothing(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, quality="none").eval()
    given = model.predict_with_quality(batch, {m: torch.rand(20) for m in model.modalities})
    assert torch.equal(given.prediction, model(batch).prediction)
    assert given.quality == {}


def test_own_experts_and_priors_per_modality_when_not_shared(tiny: Dataset, batch: TrainingBatch) -> None:
    shared = build(tiny.spec, width=8)
    own = build(tiny.spec, width=8, share_experts=False, share_prior=False)
    assert len(own.experts) == 3
    assert own.prior.shape == (3, 8)
    assert own(batch).prediction.shape == shared(batch).prediction.shape


def test_fusing_what_was_encoded_is_the_forward_pass(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    torch.testing.assert_close(model.fuse(model.encode(batch)).prediction, model(batch).prediction)


def test_ablations_leave_out_what_they_say(tiny: Dataset, batch: TrainingBatch) -> None:
    def made(name: str) -> Any:
        torch.manual_seed(0)
        return build(tiny.spec, **find_model(f"qa-moe:{name}").settings).eval()

    gateless = made("-quality-gate")
    assert gateless(batch).quality == {}
    assert not hasattr(gateless, "prior")
    assert not hasattr(made("-fallback"), "prior")
    assert set(made("-fallback")(batch).quality) == {"text", "audio", "vision"}
    assert made("-nll")(batch).variance is None
    assert all((w == 1).all() for w in made("-experts")(batch).routing.values())


@pytest.mark.parametrize("k", range(1, 9))
def test_k_experts_are_active(k: int, tiny: Dataset, batch: TrainingBatch) -> None:
    routing = build(tiny.spec, k=k).eval()(batch).routing
    for weights in routing.values():
        assert ((weights > 0).sum(1) == k).all()
        torch.testing.assert_close(weights.sum(1), torch.ones(20))


def test_k_is_at_most_the_number_of_experts(tiny: Dataset) -> None:
    with pytest.raises(BenchError, match="expected 1 to 8"):
        build(tiny.spec, k=9)


def test_label_quality_pays_for_the_errors_of_its_own_prediction(tiny: Dataset, batch: TrainingBatch) -> None:
    quality = make_quality("label-nll", "text", tiny.spec, width=8, kappa=1.0)
    u = torch.randn(20, 8)
    score, parts = quality(u, torch.empty(20, 0))
    error, variance = batch.target - parts["label"], tiny.spec.label_std**2 * (1 - score)
    normal = torch.distributions.Normal(parts["label"], variance.sqrt())
    # The loss is in units of the label's deviation, and without the constant.
    expected = -normal.log_prob(batch.target).mean() - math.log(math.sqrt(2 * math.pi) * tiny.spec.label_std)  # type: ignore[no-untyped-call]
    actual = quality.loss(parts, batch)
    assert actual is not None
    assert error.isfinite().all()
    torch.testing.assert_close(actual, expected)


def test_feature_quality_predicts_the_clean_features(tiny: Dataset, batch: TrainingBatch) -> None:
    torch.manual_seed(0)
    quality = make_quality("feature-nll", "text", tiny.spec, width=8, kappa=8.0)
    observed = observed_frames(batch, "text")[:, None]
    code = quality.encode(quality.map_frames(batch), observed, batch.lengths["text"])[:, 0]
    score, parts = quality(torch.empty(20, 8), code)
    torch.testing.assert_close(score, 1 / (1 + 8 * parts["variance"].mean(1)))
    assert not score.requires_grad
    clean = torch.stack([x[:n].mean(0) for x, n in zip(batch.clean["text"], batch.lengths["text"], strict=True)])
    mean = tiny.spec.feature_mean["text"]
    target = (clean - mean) @ quality.projection  # type: ignore[operator]
    target = (target - target.mean(0)) / target.std(0, correction=0)
    normal = torch.distributions.Normal(parts["mean"], parts["variance"].sqrt())
    expected = -normal.log_prob(target).mean() - 0.5 * math.log(2 * math.pi)  # type: ignore[no-untyped-call]
    actual = quality.loss(parts, batch)
    assert actual is not None
    torch.testing.assert_close(actual, expected)


def test_the_models_loss_adds_those_of_its_scores(tiny: Dataset, batch: TrainingBatch) -> None:
    for kind in ("label-nll", "feature-nll"):
        model = build(tiny.spec, quality=kind).eval()
        output = model(batch)
        own = []
        for m, quality in model.quality.items():
            parts = {
                name: output.parts[f"{m}/{name}"]
                for name in ("score", "label", "mean", "variance")
                if f"{m}/{name}" in output.parts
            }
            own.append(quality.loss(parts, batch))  # type: ignore[operator]
        plain = build(tiny.spec).loss(output, batch)
        torch.testing.assert_close(model.loss(output, batch), plain + sum(own))
