"""Quantiles against SciPy."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import special

from qamoe_bench.statistics import quantiles
from qamoe_bench.statistics.quantiles import normal_quantile, student_quantile

PROBABILITIES = np.concatenate(
    [np.logspace(-300, -1, 999), np.linspace(0.01, 0.99, 999), 1 - np.logspace(-15, -1, 999)]
)


def test_the_normal_quantile_is_scipys() -> None:
    np.testing.assert_allclose(normal_quantile(PROBABILITIES), special.ndtri(PROBABILITIES), rtol=2e-15, atol=1e-16)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 25, 26, 91, 100])
def test_students_quantile_has_the_probability_that_was_asked_for(
    freedom: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiles, "FEW", math.inf)
    probability = np.concatenate([np.linspace(0.01, 0.99, 999), 1 - np.logspace(-12, -1, 999)])
    found = student_quantile(freedom, probability)
    tail = special.stdtr(freedom, -np.abs(found))
    np.testing.assert_allclose(tail, np.minimum(probability, 1 - probability), rtol=2e-14, atol=2e-15)
    np.testing.assert_array_equal(np.sign(found), np.sign(probability - 0.5))
    # SciPy's own quantile of four degrees is off by 1e-13 near the median.
    np.testing.assert_allclose(found[:999], special.stdtrit(freedom, probability[:999]), rtol=2e-11, atol=2e-13)


def test_many_quantiles_and_those_of_many_degrees_or_of_a_broken_number_are_scipys() -> None:
    for freedom, size in ((8, 1 + quantiles.FEW // 8), (quantiles.FEW_DEGREES.stop, 2), (0.5, 2), (7.5, 2)):
        probability = np.linspace(0.5, 0.99, size)
        np.testing.assert_array_equal(student_quantile(freedom, probability), special.stdtrit(freedom, probability))


def test_the_ends_and_what_is_no_probability() -> None:
    values = np.array([0, 0.5, 1, np.nan, -1, 2])
    for found in (normal_quantile(values), *(student_quantile(freedom, values) for freedom in (1, 2, 3, 4, 91))):
        np.testing.assert_array_equal(found, [-np.inf, 0, np.inf, np.nan, np.nan, np.nan])


def test_freedoms_are_broadcast() -> None:
    freedom = np.array([[1.0], [4.0], [7.0]])
    probability = np.array([0.1, 0.6, 0.975])
    np.testing.assert_allclose(
        student_quantile(freedom, probability), special.stdtrit(freedom, probability), rtol=1e-12
    )
    assert float(student_quantile(np.float64(2), 0.975)) == pytest.approx(4.302652729911275)


def test_a_small_report_needs_no_scipy() -> None:
    code = (
        "import sys; import numpy as np; from qamoe_bench.statistics import quantiles as q; "
        "q.student_quantile(8, np.linspace(0.5, 1, 99)); q.normal_quantile(0.9); sys.exit('scipy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
