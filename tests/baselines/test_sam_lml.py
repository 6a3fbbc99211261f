"""SAM-LML against hand-worked numbers and a literal transcription of its formulas."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from qamoe_baselines.sam_lml import SAMLML, VARIANTS, build
from qamoe_baselines.sam_lml_losses import (
    Decomposition,
    anchor_loss,
    noisy_versions,
    ranking_loss,
    task_ranking_loss,
)
from tinydata import make_dataset, training_batch
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import seeded

ALONE = {
    "ranking": 0.0, "anchor": 0.0, "task_ranking": 0.0, "reconstruction": 0.0, "orthogonality": 0.0, "variance": 0.0,
}  # fmt: skip
"""All supervision off."""


def supervision(model: SAMLML, output: Output, batch: TrainingBatch) -> Tensor:
    """The loss without the prediction's own error."""
    return model.loss(output, batch) - (output.prediction - batch.target).abs().mean()


def without(batch: TrainingBatch, *modalities: str) -> TrainingBatch:
    return replace(batch, features={m: x * (m not in modalities) for m, x in batch.features.items()})


def test_ranking_wants_a_margin_between_the_versions() -> None:
    x, perturbed, noise = torch.tensor([[0.5, 0.2]]), torch.tensor([[0.45, 0.0]]), torch.tensor([[0.0, 0.3]])
    # First: .1 − .05 = .05 short, then .45 ahead: 0. Second: .2 ahead: 0, then .1 + .3 = .4 short. Mean of .05 and .4.
    torch.testing.assert_close(ranking_loss(x, perturbed, noise, 0.1), torch.tensor(0.225))
    assert ranking_loss(x, x - 0.2, x - 0.4, 0.1) == 0


def test_the_anchor_is_the_mean_squared_weight() -> None:
    # (.25 + 0 + .01 + .04) / 4
    torch.testing.assert_close(anchor_loss(torch.tensor([[0.5, 0.0], [0.1, 0.2]])), torch.tensor(0.075))


def test_task_ranking_asks_the_better_interaction_for_a_higher_score() -> None:
    scores, errors = torch.tensor([[0.0, 0.05, 0.3]]), torch.tensor([[0.2, 0.5, 0.55]])
    # With a gap of .1: 0 before 1 and 0 before 2, while 1 and 2 are too near to each other.
    # Short by .1 + .05 and by .1 + .3, on average .275.
    torch.testing.assert_close(task_ranking_loss(scores, errors, 0.1, 0.1), torch.tensor(0.275))
    # With a gap of .32 only 0 before 2 is left; with 1 nothing.
    torch.testing.assert_close(task_ranking_loss(scores, errors, 0.32, 0.1), torch.tensor(0.4))
    assert task_ranking_loss(scores, errors, 1.0, 0.1) == 0


def test_task_ranking_does_not_teach_the_errors() -> None:
    scores, errors = torch.randn(4, 3, requires_grad=True), torch.rand(4, 3, requires_grad=True)
    task_ranking_loss(scores, errors, 0.0, 1.0).backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert errors.grad is None


def test_decomposition_terms_equal_their_formulas() -> None:
    parts = Decomposition(width=2, feature_width=1)
    with torch.no_grad():
        parts.specific.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        parts.specific.bias.copy_(torch.tensor([0.0, 3.0]))
        parts.reconstruct.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 1.0]]))
        parts.reconstruct.bias.zero_()
    h = torch.tensor([[4.0, 7.0], [0.0, 2.0]])
    # s = (4, 3) and (0, 3); b = h − s = (0, 4) and (0, −1); their cosines are 12/20 and −1.
    s, b = parts(h)
    torch.testing.assert_close(s, torch.tensor([[4.0, 3.0], [0.0, 3.0]]))
    torch.testing.assert_close(b, torch.tensor([[0.0, 4.0], [0.0, -1.0]]))
    error, overlap, variance = parts.losses(h, torch.tensor([[6.0], [0.0]]))
    # Reconstructed 4 + 4 = 8 and 0 − 1 = −1: (2² + 1²) / 2. Variances 0 and ((5/2)²), on average 3.125.
    torch.testing.assert_close(error, torch.tensor(2.5))
    torch.testing.assert_close(overlap, torch.tensor(0.8))
    torch.testing.assert_close(variance, torch.tensor(3.125))


def test_noise_leaves_frames_alone_that_are_not_observed() -> None:
    x, observed = torch.randn(50, 4, 2), torch.rand(50, 4) < 0.5
    perturbed, noise = noisy_versions(x, observed, torch.tensor([1.0, 0.0]))
    assert torch.equal(perturbed[~observed], x[~observed])
    assert (noise[~observed] == 0).all()
    assert (noise[observed][:, 0] != 0).all()
    assert (perturbed[observed][:, 0] != x[observed][:, 0]).all()
    assert torch.equal(perturbed[..., 1], x[..., 1])  # a standard deviation of 0


def test_noise_has_the_standard_deviation_and_the_perturbation_a_share_of_it() -> None:
    std = torch.tensor([2.0, 0.5])
    x = torch.zeros(4000, 5, 2)
    perturbed, noise = noisy_versions(x, torch.ones(4000, 5, dtype=torch.bool), std)
    torch.testing.assert_close(noise.std((0, 1)), std, rtol=0.05, atol=0)
    rho = perturbed / noise  # one per sample, uniform
    torch.testing.assert_close(rho.amax((1, 2)), rho.amin((1, 2)), rtol=1e-3, atol=1e-6)
    assert 0 <= rho.min() < 0.01
    assert 0.99 < rho.max() <= 1
    torch.testing.assert_close(rho.mean(), torch.tensor(0.5), rtol=0.05, atol=0)


@pytest.mark.parametrize("modalities", [("text",), ("text", "vision"), ("text", "audio", "vision")])
def test_there_are_as_many_interactions_as_ordered_pairs(modalities: tuple[str, ...]) -> None:
    data = make_dataset(modalities)
    model, batch = build(data.spec), training_batch(data.splits["test"])
    output = model(batch)
    count = len(modalities) ** 2
    assert len(model.pairs) == count
    assert output.parts["scores"].shape == (20, count)
    assert output.parts["interactions"].shape == (20, count, 32)
    assert model.loss(output, batch).isfinite()


def test_an_interaction_is_a_map_of_the_statistics_of_observed_frames_with_what_they_see(
    tiny: Dataset, batch: Batch
) -> None:
    model = build(tiny.spec, width=8, heads=1).eval()
    actual = model(batch).parts["interactions"]
    for i in range(4):
        for p, (m, n) in enumerate(model.pairs):
            query, source = (batch.features[k][i : i + 1, : batch.lengths[k][i]] for k in (m, n))
            x, y = model.frame[m](query)[0], model.frame[n](source)[0]
            attention = model.attention[f"{m}_{n}"]
            key, value = attention.key_value(model.norm[n](y)).chunk(2, dim=-1)  # type: ignore[operator]
            q = attention.query(model.norm[m](x))  # type: ignore[operator]
            seen = attention.out((q @ key.T / math.sqrt(8)).softmax(-1) @ value)  # type: ignore[operator]
            mean, variance = (x + seen).mean(0), (x + seen).var(0, correction=0)
            norm, _, linear = model.pool[f"{m}_{n}"].map  # type: ignore[misc]
            expected = linear(norm(torch.cat([mean, (variance + 1e-6).sqrt() - 1e-3])))
            torch.testing.assert_close(actual[i, p], expected, rtol=1e-4, atol=1e-4)


def test_the_prediction_is_made_from_the_weighted_interactions(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8).eval()
    output = model(batch)
    q = output.parts["interactions"]
    for i in range(4):
        odds = [model.score(q[i, p]).exp() for p in range(9)]
        h = torch.stack([odds[p] * q[i, p] for p in range(9)]).sum(0) / torch.stack(odds).sum()
        expected = tiny.spec.label_mean + tiny.spec.label_std * model.head(h)[0]
        torch.testing.assert_close(output.prediction[i], expected)


def test_fusing_what_was_encoded_is_the_forward_pass(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    torch.testing.assert_close(model.fuse(*model.encode(batch)).prediction, model(batch).prediction)


def test_only_interactions_with_the_noisy_modality_are_computed_again(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    output, rows = model(batch), torch.arange(20)
    pairs = [pair for pair in model.pairs if "audio" in pair]
    assert len(pairs) == 5
    with seeded("test"):
        perturbed, noise = model._noisy_scores(output, batch, "audio", rows, pairs)
    with seeded("test"):
        versions = noisy_versions(batch.features["audio"], batch.mask("audio"), tiny.spec.feature_std["audio"])
    for actual, audio in zip((perturbed, noise), versions, strict=True):
        whole = model(replace(batch, features={**batch.features, "audio": audio})).parts["scores"]
        torch.testing.assert_close(actual, whole[:, [model.pairs.index(pair) for pair in pairs]])


def test_the_noise_loss_puts_the_noisy_weights_beside_the_untouched_ones() -> None:
    data = make_dataset(("text", "audio"))
    only = {"task_ranking": 0.0, "reconstruction": 0.0, "orthogonality": 0.0, "variance": 0.0}
    batch = training_batch(data.splits["test"])
    ranked, anchored = (
        build(data.spec, **only, **w).eval() for w in ({"anchor": 0.0}, {"ranking": 0.0, "anchor": 1.0})
    )
    for model in (ranked, anchored):
        nn.init.zeros_(model.score[2].weight)  # type: ignore[arg-type]
    # All scores 0: each version is short by the margin of .1, twice, and the weight is .1: .02.
    torch.testing.assert_close(supervision(ranked, ranked(batch), batch), torch.tensor(0.02))
    # All weights 1/4: (1/4)², with a weight of 1.
    torch.testing.assert_close(supervision(anchored, anchored(batch), batch), torch.tensor(0.0625))


def test_samples_without_the_noisy_modality_have_nothing_to_rank() -> None:
    data = make_dataset(("audio",))
    only = {"task_ranking": 0.0, "reconstruction": 0.0, "orthogonality": 0.0, "variance": 0.0}
    batch, model = training_batch(data.splits["test"]), build(data.spec, **only).eval()
    missing = without(batch, "audio")
    assert supervision(model, model(missing), missing) == 0
    half = replace(batch, features={"audio": torch.cat([missing.features["audio"][:10], batch.features["audio"][10:]])})
    assert supervision(model, model(half), half) > 0


def test_single_interactions_learn_from_their_own_errors(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **{**ALONE, "task_ranking": 1.0}, own=0.5).eval()
    nn.init.zeros_(model.own.weight)
    nn.init.zeros_(model.own.bias)
    # All interactions predict the mean label, so none is better than another.
    expected = 0.5 * (tiny.spec.label_mean - batch.target).abs().mean()
    torch.testing.assert_close(supervision(model, model(batch), batch), expected)


def test_the_decomposition_loss_is_a_mean_over_modalities_that_are_there(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **{**ALONE, "reconstruction": 0.5}).eval()
    for parts in model.decompose.values():
        nn.init.zeros_(parts.reconstruct.weight)  # type: ignore[arg-type, union-attr]
        nn.init.zeros_(parts.reconstruct.bias)  # type: ignore[arg-type, union-attr]
    errors = []
    for m in ("text", "vision"):  # what is reconstructed as 0 is the mean of the standardised frames
        spec, x, lengths = tiny.spec, batch.features[m], batch.lengths[m]
        pooled = torch.stack([x[i, :n].mean(0) for i, n in enumerate(lengths.tolist())])
        errors.append((((pooled - spec.feature_mean[m]) / spec.feature_std[m]) ** 2).mean())
    missing = without(batch, "audio")
    torch.testing.assert_close(supervision(model, model(missing), missing), 0.5 * torch.stack(errors).sum() / 3)


def test_without_supervision_the_loss_is_the_mean_absolute_error(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **ALONE).eval()
    assert supervision(model, model(batch), batch) == 0
    assert {n.partition(".")[0] for n, _ in model.named_parameters()} == {
        "frame", "norm", "attention", "pool", "score", "head"
    }  # fmt: skip


def test_the_loss_depends_on_torchs_seed_alone(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    output, losses = model(batch), []
    for seed in (1, 1, 2):
        with seeded(seed):
            losses.append(model.loss(output, batch))
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_the_loss_is_finite_where_nothing_is_observed(tiny: Dataset, batch: TrainingBatch) -> None:
    model, missing = build(tiny.spec).train(), without(batch, "text", "audio", "vision")
    output = model(missing)
    assert (output.parts["interactions"] == 0).all()
    loss = model.loss(output, missing)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("modalities", [("text",), ("text", "audio"), ("text", "audio", "vision")])
@pytest.mark.parametrize("variant", [{}, *VARIANTS.values()], ids=["full", *VARIANTS])
def test_gradients_reach_every_parameter(variant: dict[str, Any], modalities: tuple[str, ...]) -> None:
    data = make_dataset(modalities)
    with seeded("test"):
        model, batch = build(data.spec, **variant).train(), training_batch(data.splits["test"])
        for _ in range(20):  # noise meets one modality at a time
            some = batch.rows(torch.randperm(20)[:13])
            model.loss(model(some), some).backward()  # type: ignore[no-untyped-call]
    left = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    # The one interaction of a single modality has a weight of 1, so only noise has a use for its score.
    scores = {"score.0.weight", "score.0.bias", "score.2.weight"}
    assert left == (scores if len(modalities) == 1 and variant == VARIANTS["-ranking"] else set())


def test_token_ids_are_refused(tiny: Dataset) -> None:
    with pytest.raises(BenchError, match="text holds token ids"):
        build(replace(tiny.spec, token_ids={"text": 103}))
