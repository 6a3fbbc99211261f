"""Interventions on quality scores, worked out by hand and in a sweep."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation.interventions import averaged, shuffled
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model
from qamoe_bench.seeding import seeded

CPU = torch.device("cpu")


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
    return pd.DataFrame(sweep_model(model, TestSet(data, seed, CPU), protocol, batch_size).columns)


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
    for name in ("shuffled_prediction", "averaged_prediction"):
        np.testing.assert_allclose(noisy[name] - plain[name], drawn, atol=1e-5)


@pytest.mark.parametrize("name", ["qa-moe", "qa-moe-plus"])
def test_batch_size_does_not_change_predictions(name: str, tiny: Dataset, protocol: Protocol) -> None:
    with seeded("test", name):
        model = find_model(name).builder()(tiny.spec)
    whole = swept(model, tiny, protocol)
    for size in (1, 7):
        result = swept(model, tiny, protocol, batch_size=size)
        for column in ("prediction", "shuffled_prediction", "averaged_prediction"):
            np.testing.assert_allclose(result[column], whole[column], atol=1e-5)
    pd.testing.assert_frame_equal(swept(model, tiny, protocol), whole, check_exact=True)


def test_a_model_that_is_not_asked_again_has_no_such_columns(tiny: Dataset, protocol: Protocol) -> None:
    for name in ("late-fusion", "qa-moe:-quality-gate"):
        ref = find_model(name)
        result = swept(ref.builder()(tiny.spec, **ref.settings), tiny, protocol)
        assert not {"shuffled_prediction", "averaged_prediction"} & set(result)


def test_without_its_gate_qa_moe_plus_predicts_the_same_for_all_scores(tiny: Dataset, protocol: Protocol) -> None:
    ref = find_model("qa-moe-plus:-quality-gate")
    result = swept(ref.builder()(tiny.spec, **ref.settings), tiny, protocol)
    for name in ("shuffled_prediction", "averaged_prediction"):
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
