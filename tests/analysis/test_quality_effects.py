"""The permutation test of quality scores: planted controls, and p-values by hand."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from qamoe_bench.analysis.quality_effects import PermutationTest, permutation_test
from qamoe_bench.evaluation.interventions import permutations
from qamoe_bench.evaluation.permutation_test import metrics_of
from qamoe_bench.statistics.permutation import auroc, permutation_p
from qamoe_bench.vocabulary import REGRESSION


def fused(views: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """A model that weighs its modalities (2, N) by scores (..., 2, N)."""
    return np.asarray((scores * views).sum(-2) / scores.sum(-2), np.float32)


def planted(draw: int, samples: int, *, informative: bool) -> PermutationTest:
    """The test of the mean absolute error of that model; only 80 % of the samples have each modality."""
    random = np.random.default_rng(draw)
    label = random.uniform(-3, 3, samples)
    noise = random.uniform(0.1, 2.0, (2, samples)) if informative else np.ones((2, samples))
    present = random.random((2, samples)) < 0.8
    views = np.where(present, label + noise * random.standard_normal((2, samples)), 0.0)
    scores = 1 / (0.1 + noise**2) if informative else random.uniform(0.5, 1.5, (2, samples))
    scores = np.where(present, scores, 0.01)
    orders = permutations({str(m): torch.from_numpy(present[m]) for m in range(2)}, 199, draw)
    permuted = np.stack([scores[m][orders[str(m)].numpy()] for m in range(2)], axis=1)  # (K, 2, N)
    return permutation_test("mae", metrics_of(fused(views, scores), fused(views, permuted), label, REGRESSION)["mae"])


def test_an_informative_score_that_a_model_uses_is_always_detected() -> None:
    tests = [planted(draw, 120, informative=True) for draw in range(20)]
    assert max(test.p for test in tests) < 0.01
    assert min(test.quality for test in tests) > 0.02
    assert all(test.low <= test.quality <= test.high for test in tests)


def test_the_p_value_of_a_score_without_information_is_uniform() -> None:
    p = np.array([planted(draw, 40, informative=False).p for draw in range(200)])
    assert kstest(p, "uniform").pvalue > 0.01
    assert (p < 0.05).mean() < 0.1


def test_p_values_by_hand() -> None:
    error = np.array([0.5, 0.6, 0.7, 0.8])
    assert permutation_p(0.4, error) == 1 / 5
    assert permutation_p(0.65, error) == 3 / 5
    assert permutation_p(0.5, error) == 2 / 5  # as good counts as well
    assert permutation_p(0.5, np.full(4, 0.5)) == 1.0  # the score has no effect


@pytest.mark.parametrize(("metric", "p"), [("mae", 1.0), ("corr", 0.2)])
def test_the_direction_is_that_of_the_metric(metric: str, p: float) -> None:
    test = permutation_test(metric, np.array([0.5, 0.4, 0.3, 0.2, 0.1]), everything=-0.4)
    assert test.p == p
    assert test.quality == pytest.approx(-0.25)
    assert test.presence == pytest.approx(-0.15)
    assert test.count == 4


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(0)
    score = random.integers(0, 6, 80).astype(float)
    positive = random.random(80) < 0.3
    above = score[positive][:, None] - score[~positive]
    assert auroc(score, positive) == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean())
    assert auroc(-score, positive) == pytest.approx(1 - auroc(score, positive))
    assert np.isnan(auroc(score, np.ones(80, bool)))
    assert np.isnan(auroc(score, np.zeros(80, bool)))
    assert auroc(np.ones(80), positive) == 0.5
