"""Intervals against simulation and a literal resampling."""

import numpy as np
import pytest

from qamoe_bench.statistics import Interval, two_level_interval


def test_constant_differences_have_no_width() -> None:
    found = two_level_interval(np.full((3, 50), 0.25))
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.excludes_zero
    assert not Interval(0.1, -0.1, 0.3).excludes_zero


def test_the_interval_is_that_of_a_literal_resampling_of_seeds_and_samples() -> None:
    random = np.random.default_rng(0)
    values = random.standard_normal((4, 1)) * 0.3 + random.standard_normal((1, 80)) + random.standard_normal((4, 80))
    means = []
    for _ in range(4000):
        seeds, samples = random.integers(4, size=4), random.integers(80, size=80)
        means.append(values[np.ix_(seeds, samples)].mean())
    found = two_level_interval(values)
    assert found.value == pytest.approx(values.mean())
    # 2,000 resamples place an end of the interval with a standard error of about a twentieth of its half-width.
    tolerance = 0.15 * (found.high - found.low)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))), abs=tolerance)


def test_it_covers_the_truth_as_often_as_it_says_with_many_seeds() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        values = (
            1 + random.standard_normal((30, 1)) + random.standard_normal((1, 60)) + random.standard_normal((30, 60))
        )
        found = two_level_interval(values)
        hits += found.low <= 1 <= found.high
    assert 0.91 <= hits / 300 <= 0.99  # .95 within three standard errors of 300 trials
