"""QA-MoE-precise against hand-worked numbers and a literal transcription of its formulas."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tinydata import make_dataset, training_batch

from qamoe_bench.contract import Batch, DataSpec, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.models.qa_moe_precise import VARIANTS, FrameFeatures, QAMoEPrecise, build
from qamoe_bench.nn.anchors import median, middle_mean, shares
from qamoe_bench.training.checkpoint import load_weights, save_weights


def prepared(data: Dataset, **settings: Any) -> QAMoEPrecise:
    model = build(data.spec, **settings)
    with torch.no_grad():
        model.prepare(training_batch(data.splits["train"]))
    return model.eval()


def frames_of(model: QAMoEPrecise, modality: str) -> FrameFeatures:
    features = model.encoders[modality]
    assert isinstance(features, FrameFeatures)
    return features


def test_forward_equals_the_formulas(tiny: Dataset, batch: TrainingBatch) -> None:
    model = prepared(tiny, shared_noise=False)
    output = model(batch)
    for i in range(batch.size):
        score = model.prior.clone()
        for m in model.modalities:
            features = frames_of(model, m)
            measure = features.measure
            frames = batch.features[m][i, : batch.lengths[m][i]]
            q = frames.var(0) / len(frames) if len(frames) > 1 else measure.scatter * measure.scale**2
            directions = features.gain * features.projection @ features.whitening
            mu = directions @ ((frames.mean(0) - measure.centre) / measure.scale)
            s2 = (1 + model.spread[m].exp()).log()
            sigma2 = directions**2 @ (q / measure.scale**2) / s2
            r = 1 / (1 + sigma2.mean())
            torch.testing.assert_close(output.quality[m][i], r)
            t = shares(model.anchors, model.knots) @ model.prototypes[m]
            for j in range(len(mu)):
                score = score + r * (mu[j] * t[:, j] - t[:, j] ** 2 / 2) / s2[j]
        p = score.softmax(0)
        answer = middle_mean(p[None], model.anchors, 0.4)[0]
        torch.testing.assert_close(output.prediction[i], answer, rtol=1e-4, atol=1e-5)
        assert output.variance is not None
        variance = p @ model.anchors**2 - (p @ model.anchors) ** 2 + 0.2**2 / 12  # 31 anchors on [-3, 3]
        torch.testing.assert_close(output.variance[i], variance, rtol=1e-4, atol=1e-5)


def one_dimension() -> DataSpec:
    zero, one = torch.zeros(1), torch.ones(1)
    return DataSpec("line", {"text": 1}, {"text": 4}, {"text": zero}, {"text": one}, (-1.0, 1.0), 0.0, 1.0)


def test_score_evidence_and_answer_by_hand() -> None:
    model = build(one_dimension(), anchors=3, knots=3, speed=1.0, middle=0.0).eval()
    with torch.no_grad():
        frames_of(model, "text").projection.fill_(1.0)
        model.prototypes["text"][:, 0] = torch.tensor([-2.0, 0.0, 2.0])
        model.spread["text"].fill_(math.log(math.e**2 - 1))  # s² = 2
    frames = torch.tensor([[[0.0], [0.5], [2.5], [0.0]], [[1.0], [1.0], [0.0], [0.0]]])
    output = model(Batch({"text": frames}, {"text": torch.tensor([3, 2])}))
    # Row 1: the frame that is exactly zero does not count, so x̄ = 1.5, v = 2, q = 1, σ² = ½, r = ⅔. Row 2: no scatter.
    torch.testing.assert_close(output.quality["text"], torch.tensor([2 / 3, 1.0]))
    # Evidence r·(x̄ t − t²/2) / s² at t = -2, 0, 2: row 1 -5/3, 0, 1/3, row 2 -2, 0, 0.
    p = torch.tensor([[-5 / 3, 0.0, 1 / 3], [-2.0, 0.0, 0.0]]).softmax(1)
    torch.testing.assert_close(output.parts["log_mass"].exp(), p)
    # Half of the mass is below the middle of the cell around 1 (row 1) and inside the one around 0 (row 2).
    torch.testing.assert_close(output.prediction, median(p, torch.tensor([-1.0, 0.0, 1.0])))
    below = p[1, 0]
    torch.testing.assert_close(output.prediction[1], (0.5 - below) / p[1, 1] - 0.5)


def test_a_missing_modality_has_no_quality_and_no_influence(tiny: Dataset, batch: TrainingBatch) -> None:
    model = prepared(tiny)
    silent = replace(batch, features={**batch.features, "audio": 0 * batch.features["audio"]})
    output = model(silent)
    assert (output.quality["audio"] == 0).all()
    assert (output.quality["text"] > 0).all()
    score = model.prior + sum(
        output.quality[m][:, None] * model.mix(model.encode(silent)).of_modalities[m] for m in ("text", "vision")
    )
    torch.testing.assert_close(output.parts["log_mass"], score.log_softmax(1))
    nothing = model(replace(batch, features={m: 0 * x for m, x in batch.features.items()}))
    torch.testing.assert_close(
        nothing.prediction, middle_mean(model.prior.softmax(0)[None], model.anchors, 0.4).expand(20)
    )


def test_samples_are_predicted_alone_as_in_a_batch(tiny: Dataset, batch: TrainingBatch) -> None:
    model = prepared(tiny)
    alone = torch.cat([model(batch.rows(slice(i, i + 1))).prediction for i in range(batch.size)])
    torch.testing.assert_close(alone, model(batch).prediction)


def test_one_frame_per_sample_has_a_score_near_one_unless_it_is_far_from_clean_means() -> None:
    data = make_dataset()
    splits = {
        name: replace(
            split,
            features={m: x[:, :1] for m, x in split.features.items()},
            lengths={m: torch.ones_like(n) for m, n in split.lengths.items()},
        )
        for name, split in data.splits.items()
    }
    data = replace(data, splits=splits)
    batch = training_batch(data.splits["train"])
    model = prepared(data)
    far = replace(batch, features={m: x + 30 * torch.randn_like(x) for m, x in batch.features.items()})
    for m in model.modalities:
        assert model(batch).quality[m].mean() > 0.9
        assert model(far).quality[m].mean() < 0.2
        assert (prepared(data, shared_noise=False)(far).quality[m] == 1).all()


def test_preparing_twice_leaves_the_same_state_and_ignores_the_order_of_weights(tiny: Dataset) -> None:
    first = prepared(tiny).state_dict()
    torch.manual_seed(9)
    second = prepared(tiny).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    fresh = build(tiny.spec).state_dict()
    assert {name: x.shape for name, x in fresh.items()} == {name: x.shape for name, x in first.items()}


def test_the_prepared_state_travels_in_the_checkpoint(tiny: Dataset, batch: TrainingBatch, tmp_path: Path) -> None:
    model = prepared(tiny)
    save_weights(model, {}, tmp_path / "weights.safetensors")
    twin = build(tiny.spec)
    load_weights(twin, tmp_path / "weights.safetensors")
    for name, column in model(batch).columns().items():
        assert torch.equal(twin(batch).columns()[name], column)


def test_the_start_is_better_than_the_best_constant_without_any_training(tiny: Dataset) -> None:
    batch = training_batch(tiny.splits["train"])
    constant = (batch.target - batch.target.median()).abs().mean()
    assert (prepared(tiny)(batch).prediction - batch.target).abs().mean() < 0.8 * constant


def test_every_parameter_has_a_gradient_after_the_start(tiny: Dataset) -> None:
    model = prepared(tiny, experts=8).train()
    batch = training_batch(tiny.splits["train"])
    model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # Experts start with an output of zero, so at first only their output has a gradient.
    assert all(name.startswith(("gate", "experts")) and not name.endswith(("down", "down_bias")) for name in without)


def test_without_quality_the_noise_of_frames_changes_nothing(tiny: Dataset, batch: TrainingBatch) -> None:
    model = prepared(tiny, **VARIANTS["-quality"])
    output = model(batch)
    assert not output.quality
    given = model.predict_with_quality(batch, {m: torch.rand(20) for m in model.modalities})
    assert torch.equal(given.prediction, output.prediction)
    means = {}
    for m, x in batch.features.items():
        mask = batch.mask(m)[..., None]
        means[m] = mask * x.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(model(replace(batch, features=means)).prediction, output.prediction)


def test_a_constant_quality_is_the_average_of_training_and_zero_where_nothing_is_left(
    tiny: Dataset, batch: TrainingBatch
) -> None:
    model = prepared(tiny, **VARIANTS["constant-quality"])
    silent = replace(
        batch, features={**batch.features, "audio": batch.features["audio"] * (torch.arange(20) < 10)[:, None, None]}
    )
    own = prepared(tiny)(silent).quality
    model.train()
    for _ in range(500):
        output = model(silent)
    for m in model.modalities:
        torch.testing.assert_close(output.quality[m], own[m])
    evaluated = model.eval()(silent).quality
    torch.testing.assert_close(evaluated["text"], own["text"].mean().expand(20), rtol=1e-3, atol=0)
    torch.testing.assert_close(evaluated["audio"][:10], own["audio"][:10].mean().expand(10), rtol=1e-3, atol=0)
    assert (evaluated["audio"][10:] == 0).all()


def test_weights_per_direction_are_the_score_where_there_is_one_direction(tiny: Dataset, batch: TrainingBatch) -> None:
    one = prepared(tiny, directions=1)
    torch.testing.assert_close(
        prepared(tiny, directions=1, per_direction=True)(batch).prediction, one(batch).prediction
    )
    two = prepared(tiny, per_direction=True)
    assert not torch.allclose(two(batch).prediction, prepared(tiny)(batch).prediction, atol=1e-4)
    torch.testing.assert_close(two(batch).quality, prepared(tiny)(batch).quality)


def test_without_whitening_dimensions_are_only_standardised(tiny: Dataset) -> None:
    model = prepared(tiny, **VARIANTS["-whitening"])
    for m in model.modalities:
        assert ((frames_of(model, m).whitening != 0).sum(0) == 1).all()


def test_experts_add_nothing_at_first_and_three_of_eight_are_used(tiny: Dataset, batch: TrainingBatch) -> None:
    model = prepared(tiny, **VARIANTS["experts"])
    output = model(batch)
    torch.testing.assert_close(output.prediction, prepared(tiny)(batch).prediction)
    for weights in output.routing.values():
        assert ((weights > 0).sum(1) == 3).all()
        torch.testing.assert_close(weights.sum(1), torch.ones(20))


def test_the_loss_is_the_cross_entropy_with_the_labels_place(tiny: Dataset, batch: TrainingBatch) -> None:
    model = prepared(tiny)
    output = model(batch)
    place = shares(batch.target, model.anchors)
    torch.testing.assert_close(model.loss(output, batch), -(place * output.parts["log_mass"]).sum() / 20)


def test_settings_that_make_no_sense_are_refused(tiny: Dataset) -> None:
    with pytest.raises(BenchError, match="directions: expected at least 1, got 0; set directions=1 or more"):
        build(tiny.spec, directions=0)
    with pytest.raises(BenchError, match="knots: expected at least 3, got 2; set knots=3 or more"):
        build(tiny.spec, knots=2)
    with pytest.raises(BenchError, match="middle: expected 0"):
        build(tiny.spec, middle=1.5)
    with pytest.raises(BenchError, match="speed: expected more than 0"):
        build(tiny.spec, speed=0.0)
    with pytest.raises(BenchError, match="expected 1 to 2, the number of experts"):
        build(tiny.spec, experts=2)
    assert build(tiny.spec, knots=3)(training_batch(tiny.splits["test"])).prediction.isfinite().all()
