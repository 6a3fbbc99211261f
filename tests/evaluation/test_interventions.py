"""Interventions on quality scores, worked out by hand and in a sweep."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, Output, SplitsFusion
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.evaluation.interventions import (
    averaged,
    constant,
    permutations,
    reversed_ranks,
    shuffled,
    true_order,
)
from qamoe_bench.evaluation.sweep import EvalConfig, sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model
from qamoe_bench.seeding import seeded

CPU = torch.device("cpu")
REPLACED = ("shuffled", "averaged", "constant", "reversed", "true_order")
COLUMNS = [f"{name}_prediction" for name in REPLACED]


@pytest.fixture
def protocol() -> Protocol:
    """Two levels of random-missing under two draws."""
    return replace(load_protocol("random-missing"), axes={"eta": (0.0, 0.5)}, draws=2)


class Tells(nn.Module):
    """Answers with its score of text, which is the mean of the text; in evaluation it may add noise of its own."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, batch: Batch) -> Output:
        return self.predict_with_quality(batch, {m: batch.features[m].mean((1, 2)).sigmoid() for m in batch.modalities})

    def predict_with_quality(self, batch: Batch, scores: dict[str, Tensor]) -> Output:
        return Output(scores["text"] + self.noise * torch.randn(batch.size), quality=scores)


def swept(model: nn.Module, data: Dataset, protocol: Protocol, seed: int = 1, batch_size: int = 64) -> pd.DataFrame:
    return pd.DataFrame(sweep_model(model, TestSet(data, seed, CPU), protocol, batch_size, permutations=0).columns)


def test_one_permutation_serves_all_modalities() -> None:
    quality = {"text": torch.arange(50.0), "audio": -torch.arange(50.0)}
    result = shuffled(quality, 1, "eta=0")
    assert torch.equal(result["text"], -result["audio"])
    assert torch.equal(result["text"].sort().values, quality["text"])
    assert not torch.equal(result["text"], quality["text"])
    assert torch.equal(result["text"], shuffled(quality, 1, "eta=0")["text"])
    assert not torch.equal(result["text"], shuffled(quality, 2, "eta=0")["text"])


def test_the_mean_is_taken_modality_by_modality() -> None:
    result = averaged({"text": torch.tensor([0.0, 1.0]), "audio": torch.tensor([0.5, 0.25])})
    assert {m: r.tolist() for m, r in result.items()} == {"text": [0.5, 0.5], "audio": [0.375, 0.375]}


def test_permutations_stay_among_the_samples_that_have_the_modality() -> None:
    present = {"text": torch.arange(60) % 3 != 0, "audio": torch.ones(60, dtype=torch.bool)}
    orders = permutations(present, 5, 1, "eta=0")
    everyone = torch.arange(60)
    for m, order in orders.items():
        assert order.shape == (5, 60)
        assert torch.equal(order.sort(1).values, everyone.expand(5, -1))
        assert torch.equal(order[:, ~present[m]], everyone[~present[m]].expand(5, -1))
        assert len({tuple(row.tolist()) for row in order}) == 5
    only_text = permutations({"audio": present["text"], "text": present["text"]}, 5, 1, "eta=0")
    assert torch.equal(only_text["text"], orders["text"])  # whatever other modalities there are
    assert not torch.equal(only_text["audio"], only_text["text"])  # each modality has its own
    assert not torch.equal(permutations(present, 5, 2, "eta=0")["text"], orders["text"])


def test_a_modality_that_no_sample_or_one_sample_has_is_left_as_it_is() -> None:
    scores = {"text": torch.tensor([0.1, 0.2, 0.3]), "audio": torch.tensor([0.4, 0.5, 0.6])}
    present = {"text": torch.tensor([False, False, False]), "audio": torch.tensor([False, True, False])}
    for changed in (constant(scores, present), reversed_ranks(scores, present), true_order(scores, present, scores)):
        for m in scores:
            assert torch.equal(changed[m], scores[m])
    assert (permutations(present, 3)["audio"] == torch.arange(3)).all()


def test_the_controls_worked_out_by_hand() -> None:
    scores = {"text": torch.tensor([0.2, 0.9, 0.4, 0.6, 0.0])}
    present = {"text": torch.tensor([True, True, True, True, False])}
    signal = {"text": torch.tensor([1.0, 0.5, 1.0, 0.1, 0.0])}
    assert constant(scores, present)["text"].tolist() == pytest.approx([0.525] * 4 + [0.0])
    assert reversed_ranks(scores, present)["text"].tolist() == pytest.approx([0.9, 0.2, 0.6, 0.4, 0.0])
    # .2 for the least signal, .4 for the next, and the mean of .6 and .9 for the two that are untouched
    assert true_order(scores, present, signal)["text"].tolist() == pytest.approx([0.75, 0.4, 0.75, 0.2, 0.0])


def test_where_the_truth_says_nothing_the_true_order_is_constant() -> None:
    scores = {"text": torch.rand(50)}
    present = {"text": torch.arange(50) < 40}
    signal = {"text": present["text"].float()}
    torch.testing.assert_close(true_order(scores, present, signal)["text"], constant(scores, present)["text"])


def test_a_sweep_permutes_and_averages_over_the_samples_of_each_condition(tiny: Dataset, protocol: Protocol) -> None:
    result = swept(Tells(), tiny, protocol, batch_size=7)
    orders = []
    for _, part in result.groupby(["draw", "condition"], sort=False):
        own, other = part["prediction"].to_numpy(), part["shuffled_prediction"].to_numpy()
        np.testing.assert_array_equal(np.sort(other), np.sort(own))
        np.testing.assert_allclose(part["averaged_prediction"], own.mean(), atol=1e-6)
        orders.append(tuple(own.argsort()[other.argsort().argsort()]))
    assert len(set(orders)) == 4  # each draw and condition has its own


def test_only_the_scores_differ_where_a_model_draws_random_numbers(tiny: Dataset, protocol: Protocol) -> None:
    plain, noisy = (swept(Tells(noise), tiny, protocol, batch_size=7) for noise in (0.0, 1.0))
    drawn = noisy["prediction"] - plain["prediction"]
    assert drawn.std() > 0.5
    for name in COLUMNS:
        np.testing.assert_allclose(noisy[name] - plain[name], drawn, atol=1e-5)


@pytest.mark.parametrize("name", ["qa-moe", "qa-moe-plus"])
def test_batch_size_does_not_change_predictions(name: str, tiny: Dataset, protocol: Protocol) -> None:
    with seeded("test", name):
        model = find_model(name).builder()(tiny.spec)
    whole = swept(model, tiny, protocol)
    for size in (1, 7):
        result = swept(model, tiny, protocol, batch_size=size)
        for column in ("prediction", *COLUMNS):
            np.testing.assert_allclose(result[column], whole[column], atol=1e-5)
    pd.testing.assert_frame_equal(swept(model, tiny, protocol), whole, check_exact=True)


def test_a_model_that_is_not_asked_again_has_no_such_columns(tiny: Dataset, protocol: Protocol) -> None:
    for name in ("late-fusion", "qa-moe:-quality-gate"):
        ref = find_model(name)
        result = swept(ref.builder()(tiny.spec, **ref.settings), tiny, protocol)
        assert not {*COLUMNS, "length_text", "energy_text"} & set(result)


def test_without_its_gate_qa_moe_plus_predicts_the_same_for_all_scores(tiny: Dataset, protocol: Protocol) -> None:
    ref = find_model("qa-moe-plus:-quality-gate")
    result = swept(ref.builder()(tiny.spec, **ref.settings), tiny, protocol)
    for name in COLUMNS:
        np.testing.assert_array_equal(result[name], result["prediction"])


def test_a_prediction_with_other_scores_is_checked_like_any_other(tiny: Dataset, protocol: Protocol) -> None:
    class Breaks(Tells):
        def predict_with_quality(self, batch: Batch, scores: dict[str, Tensor]) -> Output:
            return (
                Output(scores["text"] / 0, quality=scores)
                if scores["text"].std() == 0
                else super().predict_with_quality(batch, scores)
            )

    with pytest.raises(RunFailed, match="not finite at condition 'eta=0'"):
        swept(Breaks(), tiny, protocol)


class TwoStages(nn.Module):
    """Two stages; `fuse` weighs the means of the modalities by their scores, 1 for a modality that is present."""

    def encode_modality(self, batch: Batch, modality: str) -> Tensor:
        return batch.features[modality].mean((1, 2))[:, None]

    def fuse(self, encoded: dict[str, Tensor], quality: dict[str, Tensor] | None = None) -> Output:
        scores = {m: (x[:, 0] != 0).float() for m, x in encoded.items()} if quality is None else quality
        weighted = torch.stack([scores[m] * (1 + x[:, 0]) for m, x in encoded.items()])
        return Output(weighted.sum(0), quality=scores)

    def forward(self, batch: Batch) -> Output:
        return self.fuse({m: self.encode_modality(batch, m) for m in batch.modalities})

    def predict_with_quality(self, batch: Batch, quality: dict[str, Tensor]) -> Output:
        return self.fuse({m: self.encode_modality(batch, m) for m in batch.modalities}, quality)


class ThreeStages(TwoStages):
    """The same with a split fusion."""

    def mix(self, encoded: dict[str, Tensor]) -> dict[str, Tensor]:
        return encoded

    def weigh(self, mixed: dict[str, Tensor], quality: dict[str, Tensor]) -> Output:
        return self.fuse(mixed, quality)


def test_the_more_a_model_splits_its_pass_the_more_permutations_are_affordable(
    tiny: Dataset, protocol: Protocol
) -> None:
    counts = {}
    for model in (Tells(), TwoStages(), ThreeStages()):
        permuted = sweep_model(model, TestSet(tiny, 1, CPU), protocol).permutations
        counts[type(model).__name__] = len(permuted.get("mae", [])) - 1
    assert counts == {"Tells": -1, "TwoStages": 19, "ThreeStages": 100}
    wanted = sweep_model(Tells(), TestSet(tiny, 1, CPU), protocol, permutations=7)
    assert len(wanted.permutations["mae"]) == 1 + 7
    assert not sweep_model(ThreeStages(), TestSet(tiny, 1, CPU), protocol, permutations=0).permutations


def test_both_ways_of_fusing_give_the_same_and_scores_of_presence_alone_cost_nothing(
    tiny: Dataset, protocol: Protocol
) -> None:
    whole, split = (
        sweep_model(m, TestSet(tiny, 1, CPU), protocol, permutations=9) for m in (TwoStages(), ThreeStages())
    )
    for name, values in whole.permutations.items():
        np.testing.assert_allclose(values, split.permutations[name])
        np.testing.assert_array_equal(values, values[0])  # all present samples have the score 1
    own, other = (whole.columns[name] for name in ("prediction", "shuffled_prediction"))
    assert np.abs(own - other).max() > 0.1  # shuffled with the missing ones, it costs a lot


def test_the_first_of_the_stored_metrics_is_that_of_the_models_own_scores(tiny: Dataset, protocol: Protocol) -> None:
    sweep = sweep_model(ThreeStages(), TestSet(tiny, 1, CPU), protocol, batch_size=7)
    error = np.abs(sweep.columns["prediction"].astype(float) - sweep.columns["target"])
    assert sweep.permutations["mae"][0] == pytest.approx(error.mean())
    again = sweep_model(ThreeStages(), TestSet(tiny, 1, CPU), protocol, batch_size=64)
    np.testing.assert_allclose(sweep.permutations["mae"], again.permutations["mae"], atol=1e-6)


def test_length_and_energy_are_those_of_the_clean_samples(tiny: Dataset, protocol: Protocol) -> None:
    result = swept(Tells(), tiny, protocol)
    split = tiny.splits["test"]
    for m in tiny.spec.modalities:
        scaled = (split.features[m] / tiny.reference.std[m]).double()
        energy = [scaled[i, :n].square().mean().item() for i, n in enumerate(split.lengths[m].tolist())]
        for _, part in result.groupby(["draw", "condition"], sort=False):
            np.testing.assert_array_equal(part[f"length_{m}"], split.lengths[m].numpy())
            np.testing.assert_allclose(part[f"energy_{m}"], energy, rtol=1e-5)


@pytest.mark.parametrize("number", [-2, -200])
def test_a_negative_number_of_permutations_is_refused(number: int) -> None:
    with pytest.raises(BenchError, match=r"setting eval.permutations: expected 0 or more, got -.*; set eval.permut"):
        configure(EvalConfig, {"permutations": number})


def test_the_models_with_quality_scores_split_their_fusion(tiny: Dataset) -> None:
    for name in ("qa-moe", "qa-moe-plus"):
        assert isinstance(find_model(name).builder()(tiny.spec), SplitsFusion)
