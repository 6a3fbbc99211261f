"""Intervals and tests of clustered samples: simulated coverage, false alarms, and closed forms."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import t

from qamoe_bench.metrics.dialects import MMSA
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, differences, estimate
from qamoe_bench.statistics.resampling import RESAMPLES, Resampling, resampled, resampling

# The numbers of test segments of the 31 test videos of CMU-MOSI.
SIZES = (
    10, 12, 14, 14, 15, 15, 16, 16, 16, 16, 18, 18, 19, 19, 20, 21, 22, 22, 23, 24, 24, 24, 27, 29, 30, 30, 30, 31, 33,
    35, 43,
)  # fmt: skip
CODES = np.repeat(np.arange(len(SIZES)), SIZES)
STARTS = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
"""The first sample of each cluster."""
TRIALS = 1500
ERROR = 2 * math.sqrt(0.05 * 0.95 / TRIALS)
"""Two standard errors of the share of a nominal 5 % in this number of trials."""


@pytest.fixture(scope="module")
def by_cluster() -> Resampling:
    return resampling(len(CODES), CODES)


def effects(random: np.random.Generator, correlation: float, *more: int) -> Values:
    """Errors of unit variance, (*more, N), with this correlation within clusters."""
    of_clusters = random.standard_normal((*more, len(SIZES)))[..., CODES]
    of_samples = random.standard_normal((*more, len(CODES)))
    return np.asarray(math.sqrt(correlation) * of_clusters + math.sqrt(1 - correlation) * of_samples)


def means(values: Values, draws: Resampling) -> Values:
    """The mean of (..., N) in every resample, (R, ...), from sums over clusters, which is much faster."""
    counts = draws.weights[:, STARTS]  # (R, G)
    sums = np.add.reduceat(values, STARTS, axis=-1)  # (..., G)
    return np.asarray(np.moveaxis((sums @ counts.T) / (counts @ SIZES), -1, 0))


def test_whole_clusters_are_drawn_and_one_fewer_than_there_are(by_cluster: Resampling) -> None:
    counts = by_cluster.weights[:, STARTS]  # (R, G)
    np.testing.assert_array_equal(by_cluster.weights, counts[:, CODES])
    assert (counts.sum(1) == len(SIZES) - 1).all()
    assert by_cluster.freedom == len(SIZES) - 1
    assert by_cluster.weights.shape[0] == RESAMPLES


def test_the_variance_of_a_mean_over_equal_clusters_is_that_of_their_means() -> None:
    values = np.random.default_rng(1).standard_normal((12, 5))  # 12 clusters of 5 samples
    draws = resampling(60, np.repeat(np.arange(12), 5))
    variance = (draws.weights @ values.ravel() / draws.weights.sum(1)).var()
    assert variance == pytest.approx(values.mean(1).var(ddof=1) / 12, rel=0.15)  # 1,000 resamples


def test_an_interval_over_clusters_alone_is_student_s() -> None:
    zero, one = np.zeros(1), np.ones(1)
    alone = Estimate(np.array([3.0]), zero, one, zero, one, sample_freedom=30)
    assert alone.two_sided() == pytest.approx(2 * t.sf(3, 30), rel=1e-6)
    low, high = alone.interval()
    assert float(high[0] - low[0]) / 2 == pytest.approx(t.isf(0.025, 30))


def test_a_resample_is_the_metric_of_the_clusters_that_were_drawn() -> None:
    random = np.random.default_rng(2)
    codes = np.array([0, 0, 1, 1, 1, 2, 2, 3])
    label, prediction = np.round(random.uniform(-3, 3, 8), 1), random.normal(size=8)
    weights = resampling(8, codes).weights[:20]
    for name in ("mae", "acc2_has0", "corr"):
        definition = MMSA.definitions[name]
        values = resampled(definition, prediction, label, Resampling(weights))
        for r, row in enumerate(weights):
            drawn = np.repeat(np.arange(8), row.astype(int))
            np.testing.assert_allclose(values[r], definition(prediction[drawn], label[drawn]), atol=1e-9)


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.3])
def test_means_of_three_seeds_are_covered(correlation: float, by_cluster: Resampling) -> None:
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(TRIALS):
        shared = effects(random, correlation, 1)
        own = effects(random, correlation, 3)
        values = math.sqrt(0.9) * shared + math.sqrt(0.1) * own + 0.01 * random.standard_normal((3, 1))  # (S, N)
        low, high = estimate(values.mean(1), means(values, by_cluster), by_cluster.freedom).interval()
        hits += bool(low <= 0 <= high)
    assert 0.93 - ERROR <= hits / TRIALS <= 0.97 + ERROR


def contest(random: np.random.Generator, correlation: float, draws: Resampling, models: int = 4) -> Estimate:
    """All pairs of equally good models with three seeds each."""
    shared = effects(random, correlation, 1, 1)
    own = effects(random, correlation, models, 1)
    of_training = effects(random, correlation, models, 3)
    values = shared + 0.5 * own + 0.3 * of_training + 0.02 * random.standard_normal((models, 3, 1))
    pairs = list(combinations(range(models), 2))
    if math.isfinite(draws.freedom):
        resamples = means(values, draws)
    else:
        resamples = np.moveaxis(values @ draws.weights.T / len(CODES), -1, 0)
    return differences(values.mean(-1), resamples, pairs, np.ones(models, bool), draws.freedom)


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.3])
def test_equal_models_are_told_apart_in_at_most_5_percent(correlation: float, by_cluster: Resampling) -> None:
    random = np.random.default_rng(4)
    trials = 400  # of six pairs each
    alarms = np.array([contest(random, correlation, by_cluster).two_sided() <= 0.05 for _ in range(trials)])
    assert 0.03 - ERROR <= alarms.mean() <= 0.055


def test_taken_for_independent_they_are_told_apart_too_often() -> None:
    random = np.random.default_rng(5)
    independent = resampling(len(CODES))
    alarms = np.array([contest(random, 0.3, independent).two_sided() <= 0.05 for _ in range(40)])
    assert alarms.mean() > 0.2
