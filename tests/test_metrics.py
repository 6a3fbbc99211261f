"""Metrics against scikit-learn and SciPy, hand-worked examples and edge cases."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from qamoe_bench.errors import BenchError
from qamoe_bench.metrics import DIALECTS, METRICS, find_dialect, scores, spearman

Vector = NDArray[np.float64]
EXACT = 1e-12


def rounded(values: Vector, limit: float) -> Vector:
    return np.array([round(min(max(v, -limit), limit)) for v in values])  # Python's round is half-to-even too


def non0(function: Callable[[Vector, Vector], float]) -> Callable[[Vector, Vector], float]:
    return lambda p, y: function(p[y != 0], y[y != 0])


REFERENCE: dict[str, dict[str, Callable[[Vector, Vector], float]]] = {
    "mmsa": {
        "acc2_has0": lambda p, y: accuracy_score(y >= 0, p >= 0),
        "acc2_non0": non0(lambda p, y: accuracy_score(y > 0, p > 0)),
        "f1_has0": lambda p, y: f1_score(y >= 0, p >= 0, average="weighted"),
        "f1_non0": non0(lambda p, y: f1_score(y > 0, p > 0, average="weighted")),
        "acc5": lambda p, y: accuracy_score(rounded(y, 2), rounded(p, 2)),
        "acc7": lambda p, y: accuracy_score(rounded(y, 3), rounded(p, 3)),
        "mae": mean_absolute_error,
        "corr": lambda p, y: pearsonr(p, y).statistic,
    },
    "mai": {
        "acc2_non0": non0(lambda p, y: accuracy_score(y >= 0, p >= 0)),
        "f1_non0": non0(lambda p, y: f1_score(y >= 0, p >= 0, average="weighted")),
        "acc7": lambda p, y: accuracy_score(rounded(y, 3), rounded(p, 3)),
        "mae": non0(mean_absolute_error),
        "corr": non0(lambda p, y: pearsonr(p, y).statistic),
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_metrics_equal_scikit_learn_and_scipy_on_random_cases(dialect: str) -> None:
    random = np.random.default_rng(7)
    for _ in range(200):
        size = int(random.integers(5, 60))
        label = np.round(random.uniform(-3, 3, size) * 5) / 5
        prediction = np.round(random.normal(label, random.uniform(0.01, 3)) * 4) / 4  # many exact halves
        found = scores(DIALECTS[dialect], {"prediction": prediction, "target": label})
        assert found.keys() == REFERENCE[dialect].keys()
        for name, reference in REFERENCE[dialect].items():
            assert found[name] == pytest.approx(reference(prediction, label), abs=EXACT), name


def test_metrics_of_a_case_worked_by_hand() -> None:
    label = np.array([-3.0, -0.4, 0.0, 0.6, 2.4])
    prediction = np.array([-4.0, 0.5, 0.2, 1.5, 2.5])
    # classes: labels -3 0 0 1 2; predictions -3 0 0 2 2 (halves to even)
    found = scores(DIALECTS["mmsa"], {"prediction": prediction, "target": label})
    assert found["acc7"] == 0.8
    assert found["acc5"] == 0.8
    assert found["acc2_has0"] == 0.8
    assert found["acc2_non0"] == 0.75
    assert found["mae"] == pytest.approx((1.0 + 0.9 + 0.2 + 0.9 + 0.1) / 5, abs=EXACT)
    # non-zero: true - - + +, predicted - + + +: F1 of + is 2·2/(3+2), of - is 2·1/(1+2); two samples each
    assert found["f1_non0"] == pytest.approx((2 * 4 / 5 + 2 * 2 / 3) / 4, abs=EXACT)


def test_mai_dialect_counts_zero_predictions_as_positive_and_leaves_zero_labels_out() -> None:
    columns = {"prediction": np.array([0.0, 0.0, 3.0]), "target": np.array([1.0, -1.0, 0.0])}
    assert scores(DIALECTS["mai"], columns)["acc2_non0"] == 0.5
    assert scores(DIALECTS["mmsa"], columns)["acc2_non0"] == 0.5  # here it is the other one that is right
    assert scores(DIALECTS["mai"], columns)["mae"] == 1.0
    assert scores(DIALECTS["mmsa"], columns)["mae"] == pytest.approx(5 / 3)


@pytest.mark.parametrize("constant", ["prediction", "target"])
def test_correlation_is_undefined_for_a_constant(constant: str) -> None:
    columns = {"prediction": np.array([1.0, 2.0, 3.0]), "target": np.array([1.0, 2.0, 2.0])}
    columns[constant] = np.full(3, 0.1)
    assert math.isnan(scores(DIALECTS["mmsa"], columns)["corr"])


def test_non_zero_metrics_are_undefined_when_every_label_is_zero() -> None:
    found = scores(DIALECTS["mmsa"], {"prediction": np.ones(3), "target": np.zeros(3)})
    assert math.isnan(found["acc2_non0"])
    assert math.isnan(found["f1_non0"])
    assert found["acc2_has0"] == 1.0


def test_a_column_for_one_metric_takes_the_place_of_the_prediction() -> None:
    columns = {
        "prediction": np.array([1.0, 2.0]),
        "target": np.array([1.0, 3.0]),
        "prediction_mae": np.array([1.0, 3.0]),
    }
    found = scores(DIALECTS["mmsa"], columns)
    assert found["mae"] == 0.0
    assert found["acc7"] == 0.5


@given(st.lists(st.sampled_from([-3.5, -3.0, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 3.5]), min_size=1, max_size=12), st.data())
def test_metrics_stay_in_their_range(values: list[float], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.floats(-3, 3), min_size=len(values), max_size=len(values)))
    for dialect in DIALECTS.values():
        for name, value in scores(dialect, {"prediction": np.array(values), "target": np.array(labels)}).items():
            low, high = METRICS[name].range
            assert math.isnan(value) or low <= value <= high


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_spearman_equals_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs).T
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic, abs=EXACT)


def test_every_definition_is_of_a_known_metric() -> None:
    for dialect in DIALECTS.values():
        assert set(dialect.definitions) <= set(METRICS)


def test_unknown_dialect_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'mmsa'"):
        find_dialect("mmas")


def test_values_are_shown_with_their_unit_and_undefined_ones_as_a_dash() -> None:
    assert METRICS["acc7"].show(0.4567) == "45.7"
    assert METRICS["mae"].show(0.81249) == "0.812"
    assert METRICS["corr"].show(float("nan")) == "–"
