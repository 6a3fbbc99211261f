"""Statistics against SciPy, hand-worked examples, literal resampling and simulation."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm, spearmanr, t, trim_mean

from qamoe_bench.metrics.dialects import DIALECTS, dialects_for
from qamoe_bench.statistics.aggregates import interquartile_mean, performance_profile, probability_of_improvement
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, differences, estimate
from qamoe_bench.statistics.multiple_testing import holm_alphas, rank_intervals, rejected
from qamoe_bench.statistics.ranks import spearman
from qamoe_bench.statistics.resampling import Resampling, resampled, sample_weights
from qamoe_bench.statistics.uncertainty import ause, coverage, gaussian_nll
from qamoe_bench.vocabulary import REGRESSION

EXACT = 1e-12


# Resampling


@pytest.mark.parametrize("dialect", [dialect.name for dialect in dialects_for(REGRESSION)])
def test_a_resample_is_the_metric_of_the_samples_that_were_drawn(dialect: str) -> None:
    random = np.random.default_rng(0)
    label, prediction = np.round(random.uniform(-3, 3, 40)), random.normal(size=(2, 40))
    weights = sample_weights(40, 20)
    assert (weights.sum(1) == 40).all()
    for definition in DIALECTS[dialect].definitions.values():
        values = resampled(definition, prediction, label, Resampling(weights))
        for r, row in enumerate(weights):
            drawn = np.repeat(np.arange(40), row.astype(int))
            np.testing.assert_allclose(values[r], definition(prediction[:, drawn], label[drawn]), atol=1e-5)


def test_resamples_are_always_the_same_and_hold_every_sample_equally_often() -> None:
    weights = sample_weights(50)
    np.testing.assert_array_equal(weights, sample_weights.__wrapped__(50))
    share = weights.mean(0)  # 1,000 binomial counts of mean 1 and variance .98 each
    assert np.abs(share - 1).max() < 5 * math.sqrt(0.98 / len(weights))


# Estimates


def estimated(values: Values, resamples: int = 400) -> Estimate:
    """The estimate of a mean over seeds (rows) and samples."""
    weights = sample_weights(values.shape[1], resamples).astype(np.float64)
    return estimate(values.mean(1), (weights @ values.T) / values.shape[1], math.inf)


def crossed(random: np.random.Generator, seeds: int, samples: int, spread: tuple[float, float, float]) -> Values:
    """Random effects of seeds, of samples, and of their interaction."""
    of_seeds, of_samples, of_both = spread
    values = of_seeds * random.standard_normal((seeds, 1)) + of_samples * random.standard_normal((1, samples))
    return np.asarray(values + of_both * random.standard_normal((seeds, samples)))


def test_constant_values_have_intervals_without_width() -> None:
    constant = estimated(np.full((3, 50), 0.25))
    assert [float(end) for end in constant.interval()] == [0.25, 0.25]
    assert constant.two_sided() < 1e-9
    assert estimated(np.zeros((3, 50))).two_sided() == 1


def test_variances_are_those_of_the_two_way_layout() -> None:
    random = np.random.default_rng(2)
    estimates = [estimated(crossed(random, 20, 50, (0.3, 1.0, 2.0))) for _ in range(200)]
    # σ²_seeds/S + σ²_both/(S·N), σ²_samples/N + σ²_both/(S·N), σ²_both/(S·N)
    expected = (0.09 / 20 + 4 / 1000, 1 / 50 + 4 / 1000, 4 / 1000)
    means = [np.mean([getattr(e, name) for e in estimates]) for name in ("of_seeds", "of_samples", "both")]
    np.testing.assert_allclose(means, expected, rtol=0.1)


@pytest.mark.parametrize("spread", [(1, 1, 1), (0.2, 1, 1), (0, 1, 1), (0, 0, 1), (1, 0, 0)])
def test_with_many_seeds_intervals_have_nominal_coverage(spread: tuple[float, float, float]) -> None:
    random = np.random.default_rng(3)
    trials, hits = 1000, 0.0
    for _ in range(trials):
        low, high = estimated(2 + crossed(random, 30, 60, spread), 200).interval()
        hits += float(low <= 2 <= high)
    assert 0.93 - 0.014 <= hits / trials <= 0.97 + 0.011  # two standard errors of this number of trials


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spread", [(1, 1, 1), (0.3, 1, 1), (0, 1, 1)])
def test_with_few_seeds_intervals_have_at_least_nominal_coverage(
    seeds: int, spread: tuple[float, float, float]
) -> None:
    random = np.random.default_rng(4)
    trials, hits = 600, 0.0
    for _ in range(trials):
        low, high = estimated(crossed(random, seeds, 60, spread), 200).interval()
        hits += float(low <= 0 <= high)
    assert hits / trials >= 0.95 - 0.018


def contest(random: np.random.Generator, of_seeds: list[float], gain: float = 0.0) -> Estimate:
    """All pairs of models that are equal up to chance, except that the first is better by `gain`; three seeds."""
    models, samples = len(of_seeds), 60
    values = random.standard_normal((1, 1, samples)) + 0.5 * random.standard_normal((models, 3, samples))
    values = values + np.array(of_seeds)[:, None, None] * random.standard_normal((models, 3, 1))
    values[0] += gain
    weights = sample_weights(samples, 200).astype(np.float64)
    resampled_values = np.einsum("rn,msn->rms", weights, values) / samples
    pairs = list(combinations(range(models), 2))
    return differences(values.mean(-1), resampled_values, pairs, np.ones(models, bool), math.inf)


def test_false_alarms_of_identical_models_are_rare_and_the_power_is_known() -> None:
    random, trials = np.random.default_rng(5), 600
    error = 2 * math.sqrt(0.05 * 0.95 / trials)
    alone = np.mean([contest(random, [0.1, 0.1]).two_sided()[0] <= 0.05 for _ in range(trials)])
    assert alone <= 0.05 + error
    families = [contest(random, [0.1] * 6).two_sided() for _ in range(trials)]
    assert np.mean(np.array(families) <= 0.05) <= 0.05 + error
    assert np.mean([rejected(p).any() for p in families]) <= 0.05 + error
    unequal = [contest(random, [0.3, 0.3, 0.1, 0.1, 0.1, 0.1]).two_sided() for _ in range(trials)]
    assert np.mean([rejected(p).any() for p in unequal]) <= 0.05 + error
    # A difference that is detectable with power .8 is detected about as often.
    amount = float(np.mean([contest(random, [0.1] * 6).detectable()[0] for _ in range(100)]))
    power = np.mean([contest(random, [0.1] * 6, amount).two_sided()[0] <= 0.05 for _ in range(trials)])
    assert 0.7 <= power <= 0.95


@pytest.mark.parametrize("undefined", [0, 1, 4])
def test_differences_of_many_pairs_are_those_of_each_pair_alone(undefined: int) -> None:
    random = np.random.default_rng(9)
    values, resampled_values = random.normal(size=(4, 3, 5)), random.normal(size=(60, 4, 3, 5))
    values[3], resampled_values[:, 3] = values[2], resampled_values[:, 2]  # two that are the same
    values[:undefined, 1, 2] = np.nan  # of one seed
    resampled_values[7, :undefined, 0] = np.nan  # one resample
    pairs = list(combinations(range(4), 2))
    together = differences(values, resampled_values, pairs, np.zeros(4, bool), math.inf)
    for k, (i, j) in enumerate(pairs):
        alone = estimate(values[i] - values[j], resampled_values[:, i] - resampled_values[:, j], math.inf)
        for name in ("value", "of_seeds", "of_samples", "both", "freedom"):
            np.testing.assert_allclose(getattr(together, name)[k], getattr(alone, name), atol=1e-12)


def test_p_values_and_intervals_agree() -> None:
    random = np.random.default_rng(6)
    for _ in range(50):
        gaps = contest(random, [0.1, 0.1, 0.1], gain=0.2)
        p = gaps.two_sided()
        low, high = gaps.interval(np.clip(p, 1e-9, 1))
        np.testing.assert_allclose(np.minimum(np.abs(low), np.abs(high)), 0, atol=1e-3)
        np.testing.assert_allclose(gaps.above(0.0), np.where(gaps.value > 0, p / 2, 1 - p / 2), atol=1e-9)


def test_p_values_are_student_s_or_normal_with_one_source_of_variance() -> None:
    zero, one = np.zeros(1), np.ones(1)
    seeds = Estimate(np.array([3.0]), one, zero, zero, np.array([2.0]))
    assert seeds.two_sided() == pytest.approx(2 * t.sf(3, 2), rel=1e-6)
    samples = Estimate(np.array([3.0]), zero, one, zero, one)
    assert samples.two_sided() == pytest.approx(2 * norm.sf(3), rel=1e-6)
    assert samples.above(1.0) == pytest.approx(norm.sf(2), rel=1e-6)
    assert samples.detectable() == pytest.approx(norm.isf(0.025) + norm.isf(0.2), rel=1e-6)


def test_seeds_without_a_value_are_left_out_and_no_value_at_all_is_undefined() -> None:
    random = np.random.default_rng(7)
    values, resampled_values = random.normal(size=3), random.normal(size=(50, 3))
    values[1], resampled_values[:, 1] = np.nan, np.nan
    with_gap = estimate(values, resampled_values, math.inf)
    without_seed = estimate(values[[0, 2]], resampled_values[:, [0, 2]], math.inf)
    assert with_gap.value == without_seed.value
    assert with_gap.error == pytest.approx(float(without_seed.error), rel=1e-9)
    nothing = estimate(np.full(3, np.nan), np.full((50, 3), np.nan), math.inf)
    assert np.isnan(nothing.value)
    assert np.isnan(nothing.two_sided())


# Families


def test_holm_equals_a_case_worked_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm_alphas(p), [0.05 / 3, 0.025, 0.025, 0.0125])  # .03 > .05/2 stops it
    assert rejected(p).tolist() == [True, False, False, True]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_adjusted_p_values(values: list[float]) -> None:
    p = np.array(values)
    order, running, adjusted = np.argsort(p, kind="stable"), 0.0, np.empty(len(p))
    for step, index in enumerate(order):
        running = max(running, (len(p) - step) * p[index])
        adjusted[index] = running
    is_decided = np.abs(adjusted - 0.05) > 1e-12  # at the boundary, rounding decides
    np.testing.assert_array_equal(rejected(p)[is_decided], (adjusted <= 0.05)[is_decided])


def test_tests_without_a_p_do_not_count() -> None:
    p = np.array([np.nan, 0.02, 0.04])
    assert np.isnan(holm_alphas(p)[0])
    assert rejected(p).tolist() == [False, True, True]


def test_rank_intervals_show_ties_as_ties() -> None:
    better = np.zeros((4, 4), bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True  # 0 beats 2 and 3, 1 beats 3
    best, worst = rank_intervals(better)
    assert list(zip(best, worst, strict=True)) == [(1, 2), (1, 3), (2, 4), (3, 4)]


# Aggregates


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_aggregates_equal_scipy(seeds: int, conditions: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = (np.round(random.normal(size=(seeds, conditions)), 1) for _ in range(2))
    assert interquartile_mean(x) == pytest.approx(trim_mean(x.ravel(), 0.25))
    wins = [mannwhitneyu(x[:, c], y[:, c]).statistic / seeds**2 for c in range(conditions)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(wins))


def test_a_performance_profile_counts_runs_above_each_threshold() -> None:
    scores = np.array([[0.1, 0.4], [0.5, 0.9]])
    assert performance_profile(scores, np.array([0.0, 0.4, 0.5, 1.0])).tolist() == [1.0, 0.5, 0.25, 0.0]


# Ranks


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_spearman_equals_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs).T
    rho = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(rho)
    else:
        assert rho == pytest.approx(spearmanr(x, y).statistic, abs=EXACT)


def test_spearman_of_many_pairs_at_once() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 3, 20)), random.normal(size=(2, 3, 20))
    for index in np.ndindex(2, 3):
        assert spearman(x, y)[index] == pytest.approx(spearmanr(x[index], y[index]).statistic, abs=EXACT)


# Uncertainty


def test_likelihood_and_coverage_equal_scipy_and_a_calibrated_variance_is_covered() -> None:
    random = np.random.default_rng(8)
    variance = random.uniform(0.2, 3, (2, 20000))
    error = np.sqrt(variance) * random.standard_normal(variance.shape)
    expected = -norm.logpdf(error, scale=np.sqrt(variance)).mean(-1)
    np.testing.assert_allclose(gaussian_nll(error, variance), expected, rtol=1e-10)
    np.testing.assert_allclose(coverage(error, variance, (0.5, 0.8, 0.95)), [[0.5, 0.8, 0.95]] * 2, atol=0.012)
    assert (coverage(error, variance / 4, (0.95,)) < 0.8).all()  # overconfident


def test_the_sparsification_area_is_zero_for_a_perfect_variance_and_equals_a_case_worked_by_hand() -> None:
    error = np.array([1.0, -2.0, 3.0, -6.0])
    assert ause(error, np.abs(error)) == 0
    # Kept in the order 6, 3, 2, 1: means 6, 4.5, 11/3, 3, against 1, 1.5, 2, 3; mean difference over the mean error 3.
    assert ause(error, -np.abs(error)) == pytest.approx(((6 - 1) + (4.5 - 1.5) + (11 / 3 - 2)) / 4 / 3)
