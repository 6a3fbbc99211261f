"""QA-MoE-plus against hand-worked numbers and a literal transcription of its formulas."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from qamoe_bench.contract import Batch, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.models.qa_moe_plus import QAMoEPlus, SignalScore, build
from qamoe_bench.nn.anchors import median, shares
from qamoe_bench.nn.frames import observed_frames


def logit_of(model: QAMoEPlus, batch: Batch, modality: str) -> Tensor:
    score = model.score[modality]
    assert isinstance(score, SignalScore)
    observed = observed_frames(batch, modality)[:, None]
    logit: Tensor = score(score.map_frames(batch), observed, batch.lengths[modality])
    return logit[:, 0]


def test_forward_equals_the_formulas(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8, anchors=5, expert_hidden=6).eval()
    torch.nn.init.normal_(model.prior)
    with torch.no_grad():
        output, encoded = model(batch), {m: model.encoders[m](batch) for m in model.modalities}
        for i in range(batch.size):
            score = model.prior.clone()
            for m in model.modalities:
                u, r = encoded[m][i], torch.sigmoid(logit_of(model, batch, m)[i])
                logits = model.gate[m](u)
                best = logits.argsort(descending=True)[:3]
                weights = logits[best].exp() / logits[best].exp().sum()
                outputs = model.experts.outputs(u[None])[best, 0]
                score += r * model.evidence[m](u + weights @ outputs)
                torch.testing.assert_close(output.quality[m][i], r)
            p = score.softmax(0)
            torch.testing.assert_close(output.prediction[i], median(p[None], model.anchors)[0])
            variance = p @ model.anchors**2 - (p @ model.anchors) ** 2 + 1.5**2 / 12  # five anchors on [-3, 3]
            assert output.variance is not None
            torch.testing.assert_close(output.variance[i], variance)


def test_the_loss_is_its_three_parts(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, l1_weight=2.0, quality_weight=3.0).eval()
    signal = {m: torch.full((20,), share) for m, share in (("text", 0.2), ("audio", 0.5), ("vision", 1.0))}
    batch = replace(batch, signal=signal)
    output = model(batch)
    place = shares(batch.target, model.anchors)
    expected = -(place * output.parts["log_mass"]).sum(1).mean() + 2 * (output.prediction - batch.target).abs().mean()
    for m in model.modalities:
        r = logit_of(model, batch, m).sigmoid()
        expected = expected + F.binary_cross_entropy(r, signal[m])  # 3 / 3 modalities
    torch.testing.assert_close(model.loss(output, batch), expected)


def test_without_any_frame_the_prior_predicts(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    missing = replace(batch, features={m: 0 * x for m, x in batch.features.items()})
    output = model(missing)
    torch.testing.assert_close(output.prediction, median(model.prior.softmax(0)[None], model.anchors).expand(20))
    assert all((q == 0).all() for q in output.quality.values())


def test_a_score_from_outside_replaces_r_even_where_no_frame_is_left(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    silent = replace(batch, features={**batch.features, "audio": 0 * batch.features["audio"]})
    own = model(silent)
    assert (own.quality["audio"] == 0).all()
    loud = model.predict_with_quality(silent, {**own.quality, "audio": torch.ones(20)})
    assert not torch.allclose(loud.prediction, own.prediction, atol=1e-4)
    nothing = model.predict_with_quality(batch, {m: torch.zeros(20) for m in model.modalities})
    torch.testing.assert_close(nothing.prediction, median(model.prior.softmax(0)[None], model.anchors).expand(20))


def test_without_the_quality_gate_scores_from_outside_change_nothing(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, quality_gate=False).eval()
    given = model.predict_with_quality(batch, {m: torch.rand(20) for m in model.modalities})
    assert torch.equal(given.prediction, model(batch).prediction)


def test_the_mixture_takes_quality_as_a_fact(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec)
    model(batch).prediction.sum().backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.score.parameters())


def test_anchors_and_experts_that_make_no_sense_are_refused(tiny: Dataset) -> None:
    with pytest.raises(BenchError, match="expected at least 2, got 1"):
        build(tiny.spec, anchors=1)
    with pytest.raises(BenchError, match="expected 1 to 8"):
        build(tiny.spec, k=9)
    assert math.isfinite(build(tiny.spec, experts=0).prior.sum().item())
