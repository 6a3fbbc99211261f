"""MM-Boosting against hand-worked numbers."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from qamoe_baselines.mm_boosting import (
    MULTIMODAL,
    VARIANTS,
    MMBoosting,
    build,
    complementary_weights,
    contribution_loss,
)
from tinydata import make_dataset, training_batch
from torch import Tensor, nn

from qamoe_bench.contract import HasEpochs, HasLoss, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)


def output_of(predictions: Tensor, contributions: Tensor | None = None) -> Output:
    """What `fuse` returns where α is uniform."""
    rated = {} if contributions is None else {"contributions": contributions}
    return Output(predictions.mean(1), parts={"predictions": predictions, **rated})


def labelled(*target: float) -> TrainingBatch:
    size = len(target)
    features, lengths = {"text": torch.ones(size, 1, 1)}, {"text": torch.ones(size, dtype=torch.long)}
    signal = {"text": torch.ones(size)}
    return TrainingBatch(features, lengths, torch.tensor(target), features, signal, torch.arange(size))


def contribution_heads(model: MMBoosting) -> list[nn.Linear]:
    """The last linear layer of each contribution network."""
    layers = [network[2] for network in model.contribution.values()]  # type: ignore[index]
    assert all(isinstance(layer, nn.Linear) for layer in layers)
    return layers


def test_the_contribution_loss_compares_with_the_learners_own_error() -> None:
    losses = torch.tensor([[LN2, LN4], [0.0, 0.0]])
    c = torch.tensor([[0.75, 0.5], [1.0, 0.5]])
    # τ = 1, targets 1/2, 1/4 and 1, 1: ((1/4)² + (1/4)² + 0 + (1/2)²) / 2 samples = (1/8 + 1/4) / 2
    torch.testing.assert_close(contribution_loss(c, losses, 1.0), torch.tensor(0.1875))
    # τ = 2 takes roots, targets √½, ½ and 1, 1: ((√½ − 3/4)² + 0 + 0 + 1/4) / 2
    torch.testing.assert_close(contribution_loss(c, losses, 2.0), torch.tensor(((0.5**0.5 - 0.75) ** 2 + 0.25) / 2))


def test_complementary_weights_follow_the_others_errors() -> None:
    losses = torch.tensor([[0.0, LN2, LN4], [0.0, 0.0, 0.0], [5.0, LN3, LN3]])
    # The first learner's others: means (ln 2 + ln 4)/2 = 1.5 ln 2, 0, ln 3; so 3 · (2√2, 1, 3) / (4 + 2√2).
    root = 2 * 2**0.5
    expected = 3 * torch.tensor([root, 1.0, 3.0]) / (4 + root)
    actual = complementary_weights(losses, 1.0)
    torch.testing.assert_close(actual[:, 0], expected)
    torch.testing.assert_close(actual.mean(0), torch.ones(3))
    # Half the temperature doubles the exponents: 3 · (8, 1, 9) / 18.
    torch.testing.assert_close(complementary_weights(losses, 0.5)[:, 0], torch.tensor([24.0, 3.0, 27.0]) / 18)


def test_complementary_weights_are_one_for_a_learner_that_is_alone() -> None:
    assert (complementary_weights(torch.rand(5, 1), 1.0) == 1).all()


def test_the_prediction_is_weighted_by_a_softmax_of_the_contributions(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8, temperature=0.5).eval()
    for layer, c in zip(contribution_heads(model), (0.2, 0.4, 0.6, 0.8), strict=True):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, math.log(c / (1 - c)))  # sigmoid gives c
    output = model(batch)
    odds = [math.exp(c / 0.5) for c in (0.2, 0.4, 0.6, 0.8)]
    expected = torch.tensor([o / sum(odds) for o in odds])
    torch.testing.assert_close(output.parts["weights"], expected.expand(20, 4))
    torch.testing.assert_close(output.prediction, output.parts["predictions"] @ expected)


def test_each_learner_predicts_by_its_own_formula(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8).eval()
    h = model.encode(batch)
    h[MULTIMODAL] = torch.tanh(model.joint[0](torch.cat([h["text"], h["audio"], h["vision"]], dim=1)))
    actual = model(batch).parts
    for i, k in enumerate(("text", "audio", "vision", "multimodal")):
        expected = tiny.spec.label_mean + tiny.spec.label_std * model.predict[k](h[k])[:, 0]
        torch.testing.assert_close(actual["predictions"][:, i], expected)
        torch.testing.assert_close(actual["contributions"][:, i], model.contribution[k](h[k])[:, 0])


def test_weights_are_uniform_in_the_warm_up_and_in_training_only(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, warm_up=2).train()
    uniform = torch.full((20, 4), 0.25)
    assert not torch.allclose(model(batch).parts["weights"], uniform)  # nobody spoke of an epoch
    for epoch in (1, 2):
        model.start_epoch(epoch)
        assert torch.equal(model.train()(batch).parts["weights"], uniform)
        assert not torch.allclose(model.eval()(batch).parts["weights"], uniform)
    model.start_epoch(3)
    assert not torch.allclose(model.train()(batch).parts["weights"], uniform)


def test_the_warm_up_is_no_part_of_the_weights(tiny: Dataset) -> None:
    model, fresh = build(tiny.spec), build(tiny.spec)
    model.start_epoch(1)
    assert model.state_dict().keys() == fresh.state_dict().keys()
    assert isinstance(model, HasEpochs)
    assert isinstance(model, HasLoss)


def test_the_loss_is_the_sum_of_its_three_terms(tiny: Dataset) -> None:
    predictions, batch = torch.tensor([[1.0, 1.0 + LN2], [0.0, 0.0]]), labelled(1.0, 0.0)
    c = torch.tensor([[1.0, 0.5], [1.0, 0.0]])
    output = output_of(predictions, c)
    # Errors (0, ln 2) and (0, 0); ŷ is wrong by ln 2 / 2 and 0, on average ln 2 / 4.
    # w of the first: others' errors ln 2, 0: 2 · (2, 1)/3, its own errors are 0. w of the second: 1, so ln 2 / 2.
    # Targets of c: (1, 1/2), (1, 1): only the last is missed, by 1, so 1/2.
    expected = LN2 / 4 + LN2 / 2 + 0.5
    torch.testing.assert_close(build(tiny.spec).loss(output, batch), torch.tensor(expected))


def test_without_complementary_update_all_samples_count_alike(tiny: Dataset) -> None:
    predictions, batch = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), labelled(0.0, 0.0)
    c = (-predictions.abs()).exp()  # as it should be
    # ŷ is wrong by 2 and 0, 1 on average; the learners by 1/2 and 3/2 on average.
    expected = 1 + 0.5 + 1.5
    model = build(tiny.spec, complementary=False)
    torch.testing.assert_close(model.loss(output_of(predictions, c), batch), torch.tensor(expected))
    # With it, w of the first: 2 · softmax(3, 0), of the second: 2 · softmax(1, 0), each times (error, 0) / 2.
    first, second = 1 / (1 + math.exp(-3)), 3 / (1 + math.exp(-1))
    actual = build(tiny.spec).loss(output_of(predictions, c), batch)
    torch.testing.assert_close(actual, torch.tensor(1 + first + second))


def test_without_contributions_weights_are_uniform_and_have_no_network(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, contribution=False).eval()
    output = model(batch)
    torch.testing.assert_close(output.prediction, output.parts["predictions"].mean(1))
    assert not [n for n, _ in model.named_parameters() if n.startswith("contribution")]
    # One learner's error of 1 on one sample: 1 for ŷ and 1 for the learner, nothing for contributions.
    torch.testing.assert_close(model.loss(output_of(torch.ones(1, 1)), labelled(0.0)), torch.tensor(2.0))


def test_without_the_multimodal_learner_the_modalities_are_left(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, multimodal=False)
    assert model.learners == ("text", "audio", "vision")
    assert model(batch).parts["weights"].shape == (20, 3)
    assert not list(model.joint.parameters())


def test_contributions_do_not_teach_the_learners(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec)
    model(batch).parts["contributions"].sum().backward()
    reached = {n.partition(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert reached == {"contribution"}


def test_one_modality_makes_two_learners() -> None:
    data = make_dataset(("audio",))
    model, batch = build(data.spec), training_batch(data.splits["test"])
    output = model(batch)
    assert output.parts["predictions"].shape == (20, 2)
    assert model.loss(output, batch).isfinite()
    alone = build(data.spec, multimodal=False)
    assert alone.loss(alone(batch), batch).isfinite()


def test_a_contribution_is_no_quality(tiny: Dataset, batch: TrainingBatch) -> None:
    assert not build(tiny.spec)(batch).quality


@pytest.mark.parametrize("variant", [{}, *VARIANTS.values()], ids=["full", *VARIANTS])
def test_gradients_reach_every_parameter(variant: dict[str, Any], tiny: Dataset, batch: TrainingBatch) -> None:
    with seeded("test"):
        model = build(tiny.spec, **variant).train()
        model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_the_contributions_learn_during_the_warm_up_too(tiny: Dataset, batch: TrainingBatch) -> None:
    with seeded("test"):
        model = build(tiny.spec).train()
        model.start_epoch(1)
        model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_a_missing_modality_predicts_from_zeros_and_keeps_its_weight(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    missing = replace(batch, features={**batch.features, "audio": torch.zeros_like(batch.features["audio"])})
    output = model(missing)
    torch.testing.assert_close(output.parts["predictions"][:, 1], output.parts["predictions"][:1, 1].expand(20))
    assert (output.parts["weights"] > 0).all()
