"""Dialects against scikit-learn, SciPy and a literal transcription of MMSA's code; edge cases and hand-worked ones."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn import config_context
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import DIALECTS, dialects_for, find_dialect, scores
from qamoe_bench.vocabulary import REGRESSION

Vector = NDArray[np.float64]
Reference = dict[str, Callable[[Vector, Vector], float]]
EXACT = 1e-12
OF_REGRESSION = {dialect.name: dialect for dialect in dialects_for(REGRESSION)}


def rounded(values: Vector, limit: float) -> Vector:
    return np.array([round(min(max(v, -limit), limit)) for v in values])  # Python's round is half-to-even too


def non0(function: Callable[[Vector, Vector], float]) -> Callable[[Vector, Vector], float]:
    return lambda p, y: function(p[y != 0], y[y != 0]) if (y != 0).any() else math.nan


def corr(p: Vector, y: Vector) -> float:
    if len(p) < 2 or np.ptp(p) == 0 or np.ptp(y) == 0:
        return math.nan
    with warnings.catch_warnings(action="ignore"):  # nearly constant input
        return float(pearsonr(p, y).statistic)


def away_from_zero(values: Vector) -> list[int]:
    """The CMU-MultimodalSDK's seven classes for MOSEI, interval by interval."""
    classes = []
    for v in values:
        inside = [v < -2, -2 <= v < -1, -1 <= v < 0, v == 0, 0 < v <= 1, 1 < v <= 2, v > 2]
        classes.append(inside.index(True))
    return classes


def sims_class(values: Vector, edges: list[float]) -> list[int]:
    """MMSA's loop for CH-SIMS: class i holds what lies above edge i and not above edge i + 1, after clipping to ±1."""
    borders = [-1.01, *edges, 1.01]
    clipped = [min(max(v, -1.0), 1.0) for v in values]
    return [next(i for i in range(len(borders) - 1) if borders[i] < v <= borders[i + 1]) for v in clipped]


def polarity(values: Vector) -> list[str]:
    return ["negative" if v <= -0.1 else "positive" if v > 0.1 else "neutral" for v in values]


def clip1(function: Callable[[Vector, Vector], float]) -> Callable[[Vector, Vector], float]:
    return lambda p, y: function(np.clip(p, -1, 1), np.clip(y, -1, 1))


MMSA: Reference = {
    "acc2_has0": lambda p, y: accuracy_score(y >= 0, p >= 0),
    "acc2_non0": non0(lambda p, y: accuracy_score(y > 0, p > 0)),
    "f1_has0": lambda p, y: f1_score(y >= 0, p >= 0, average="weighted"),
    "f1_non0": non0(lambda p, y: f1_score(y > 0, p > 0, average="weighted")),
    "acc5": lambda p, y: accuracy_score(rounded(y, 2), rounded(p, 2)),
    "acc7": lambda p, y: accuracy_score(rounded(y, 3), rounded(p, 3)),
    "mae": mean_absolute_error,
    "corr": corr,
}
REFERENCE: dict[str, Reference] = {
    "mmsa": MMSA,
    "mai": {
        "acc2_non0": non0(lambda p, y: accuracy_score(y >= 0, p >= 0)),
        "f1_non0": non0(lambda p, y: f1_score(y >= 0, p >= 0, average="weighted")),
        "acc7": MMSA["acc7"],
        "mae": non0(mean_absolute_error),
        "corr": non0(corr),
    },
    "mult": {
        **{name: MMSA[name] for name in ("acc2_non0", "acc5", "acc7", "mae", "corr")},
        "f1_non0": non0(lambda p, y: f1_score(p > 0, y > 0, average="weighted")),  # the other way round
    },
    "sims": {
        "acc2_has0": lambda p, y: accuracy_score(sims_class(y, [0]), sims_class(p, [0])),
        "f1_has0": lambda p, y: f1_score(sims_class(y, [0]), sims_class(p, [0]), average="weighted"),
        "acc3": lambda p, y: accuracy_score(sims_class(y, [-0.1, 0.1]), sims_class(p, [-0.1, 0.1])),
        "acc5": lambda p, y: accuracy_score(*(sims_class(v, [-0.7, -0.1, 0.1, 0.7]) for v in (y, p))),
        "mae": clip1(mean_absolute_error),
        "corr": clip1(corr),
    },
    "sdk-mosei": {
        **{name: f for name, f in MMSA.items() if name != "acc5"},
        "acc7": lambda p, y: accuracy_score(away_from_zero(y), away_from_zero(p)),
    },
    "polarity": {
        "acc3": lambda p, y: accuracy_score(polarity(y), polarity(p)),
        "f1_macro3": lambda p, y: f1_score(polarity(y), polarity(p), average="macro", zero_division=0),
        "mae": MMSA["mae"],
        "corr": MMSA["corr"],
    },
}


def assert_equal_to_reference(dialect: str, prediction: Vector, label: Vector, tolerance: float = EXACT) -> None:
    values = scores(DIALECTS[dialect], {"prediction": prediction, "target": label})
    assert values.keys() == REFERENCE[dialect].keys()
    with config_context(
        assume_finite=True, skip_parameter_validation=True
    ):  # checking its arguments is most of its time
        for name, reference in REFERENCE[dialect].items():
            assert float(values[name]) == pytest.approx(reference(prediction, label), abs=tolerance, nan_ok=True), name


@pytest.mark.parametrize("dialect", OF_REGRESSION)
def test_metrics_equal_scikit_learn_and_scipy_on_random_cases(dialect: str) -> None:
    random = np.random.default_rng(7)
    for _ in range(300 if dialect == "mmsa" else 100):  # the others differ from it in a few metrics only
        size = int(random.integers(5, 40))
        label = np.round(random.uniform(-3, 3, size) * 5) / 5
        prediction = np.round(random.normal(label, random.uniform(0.01, 3)) * 4) / 4  # many exact halves
        assert_equal_to_reference(dialect, prediction, label)


def mmsa_transcribed(y_pred: Vector, y_true: Vector) -> dict[str, float]:
    """MMSA's code for MOSI and MOSEI, step by step and in its order, without its rounding to 4 digits."""
    pred_a7, true_a7 = np.clip(y_pred, -3.0, 3.0), np.clip(y_true, -3.0, 3.0)
    pred_a5, true_a5 = np.clip(y_pred, -2.0, 2.0), np.clip(y_true, -2.0, 2.0)
    values = {
        "mae": float(np.mean(np.absolute(y_pred - y_true))),
        "acc7": float(np.sum(np.round(pred_a7) == np.round(true_a7)) / float(len(true_a7))),
        "acc5": float(np.sum(np.round(pred_a5) == np.round(true_a5)) / float(len(true_a5))),
    }
    if np.ptp(y_pred) and np.ptp(y_true):
        values["corr"] = float(np.corrcoef(y_pred, y_true)[0][1])
    kept = np.array([i for i, e in enumerate(y_true) if e != 0], dtype=int)
    if len(kept):
        values["acc2_non0"] = float(accuracy_score(y_true[kept] > 0, y_pred[kept] > 0))
        values["f1_non0"] = float(f1_score(y_true[kept] > 0, y_pred[kept] > 0, average="weighted"))
    values["acc2_has0"] = float(accuracy_score(y_true >= 0, y_pred >= 0))
    values["f1_has0"] = float(f1_score(y_true >= 0, y_pred >= 0, average="weighted"))
    return values


def test_the_mmsa_dialect_equals_a_transcription_of_its_code() -> None:
    random = np.random.default_rng(11)
    for case in range(300):
        size = int(random.integers(2, 40))
        label = np.round(random.uniform(-3, 3, size) * 5) / 5 * (random.random(size) > 0.2)
        prediction = random.normal(label, 1) if case % 2 else np.round(random.normal(label, 1) * 2) / 2
        values = scores(DIALECTS["mmsa"], {"prediction": prediction, "target": label})
        for name, expected in mmsa_transcribed(prediction, label).items():
            assert float(values[name]) == pytest.approx(expected, abs=1e-9 if name == "corr" else EXACT), name


EDGES = [-3.5, -3.0, -2.5, -1.5, -1.0, -0.7, -0.5, -0.1, 0.0, 0.1, 0.5, 0.7, 1.0, 1.5, 2.5, 3.0, 3.5]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EDGES), st.sampled_from(EDGES)), min_size=1, max_size=12))
@example([(0.0, 0.0)] * 3)
@example([(2.0, -3.0), (2.0, 1.0)])
@example([(0.5, 1.5), (1.5, 2.5), (2.5, 0.5)])
@example([(3.5, -3.5), (-3.5, 3.5)])
def test_metrics_equal_the_references_on_edges(pairs: list[tuple[float, float]]) -> None:
    prediction, label = (np.array(values) for values in zip(*pairs, strict=True))
    with warnings.catch_warnings(action="ignore"):  # scikit-learn warns about classes that do not occur
        for dialect in OF_REGRESSION:
            assert_equal_to_reference(dialect, prediction, label)


def test_many_vectors_at_once_equal_each_alone() -> None:
    random = np.random.default_rng(3)
    label, predictions = np.round(random.uniform(-3, 3, 30)), random.normal(size=(2, 4, 30))
    for dialect in OF_REGRESSION.values():
        together = scores(dialect, {"prediction": predictions, "target": label})
        for index in np.ndindex(2, 4):
            alone = scores(dialect, {"prediction": predictions[index], "target": label})
            for name, value in alone.items():
                assert together[name][index] == pytest.approx(float(value), abs=EXACT, nan_ok=True)


def test_metrics_of_a_case_worked_by_hand() -> None:
    label = np.array([-3.0, -0.4, 0.0, 0.6, 2.4])
    prediction = np.array([-4.0, 0.5, 0.2, 1.5, 2.5])
    # classes: labels -3 0 0 1 2; predictions -3 0 0 2 2 (halves to even)
    values = scores(DIALECTS["mmsa"], {"prediction": prediction, "target": label})
    assert values["acc7"] == 0.8
    assert values["acc5"] == 0.8
    assert values["acc2_has0"] == 0.8
    assert values["acc2_non0"] == 0.75
    assert values["mae"] == pytest.approx((1.0 + 0.9 + 0.2 + 0.9 + 0.1) / 5, abs=EXACT)
    # non-zero: true - - + +, predicted - + + +: F1 of + is 2·2/(3+2), of - is 2·1/(1+2); two samples each
    assert values["f1_non0"] == pytest.approx((2 * 4 / 5 + 2 * 2 / 3) / 4, abs=EXACT)
    # away from zero: labels -3 -1 0 1 3; predictions -3 1 1 2 3
    assert scores(DIALECTS["sdk-mosei"], {"prediction": prediction, "target": label})["acc7"] == 0.4
    # swapped, one - and three + were predicted, and they are the weights
    swapped = scores(DIALECTS["mult"], {"prediction": prediction, "target": label})["f1_non0"]
    assert swapped == pytest.approx((3 * 4 / 5 + 1 * 2 / 3) / 4, abs=EXACT)
    # polarity: labels - - 0 + +, predictions - + + + +: F1 of - is 2·1/(1+2), of 0 is 0, of + is 2·2/(4+2)
    polar = scores(DIALECTS["polarity"], {"prediction": prediction, "target": label})
    assert polar["acc3"] == 0.6
    assert polar["f1_macro3"] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3, abs=EXACT)


def test_mai_dialect_counts_zero_predictions_as_positive_and_leaves_zero_labels_out() -> None:
    columns = {"prediction": np.array([0.0, 0.0, 3.0]), "target": np.array([1.0, -1.0, 0.0])}
    assert scores(DIALECTS["mai"], columns)["acc2_non0"] == 0.5
    assert scores(DIALECTS["mmsa"], columns)["acc2_non0"] == 0.5  # here the other of the two is correct
    assert scores(DIALECTS["mai"], columns)["mae"] == 1.0
    assert scores(DIALECTS["mmsa"], columns)["mae"] == pytest.approx(5 / 3)


@pytest.mark.parametrize("constant", ["prediction", "target"])
@pytest.mark.parametrize("value", [0.1, 0.0, 1e300, 5e-324])
def test_correlation_is_undefined_for_a_constant(constant: str, value: float) -> None:
    columns = {"prediction": np.array([1.0, 2.0, 3.0]), "target": np.array([1.0, 2.0, 2.0])}
    columns[constant] = np.full(3, value)
    assert math.isnan(scores(DIALECTS["mmsa"], columns)["corr"])


def test_non_zero_metrics_are_undefined_when_every_label_is_zero() -> None:
    values = scores(DIALECTS["mmsa"], {"prediction": np.ones(3), "target": np.zeros(3)})
    assert math.isnan(values["acc2_non0"])
    assert math.isnan(values["f1_non0"])
    assert values["acc2_has0"] == 1.0


def test_a_column_for_one_metric_replaces_the_prediction() -> None:
    columns = {
        "prediction": np.array([1.0, 2.0]),
        "target": np.array([1.0, 3.0]),
        "prediction_mae": np.array([1.0, 3.0]),
    }
    values = scores(DIALECTS["mmsa"], columns)
    assert values["mae"] == 0.0
    assert values["acc7"] == 0.5


@given(st.lists(st.sampled_from(EDGES), min_size=1, max_size=12), st.data())
def test_metrics_stay_in_their_range(values: list[float], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.floats(-3, 3), min_size=len(values), max_size=len(values)))
    for dialect in OF_REGRESSION.values():
        for name, value in scores(dialect, {"prediction": np.array(values), "target": np.array(labels)}).items():
            low, high = METRICS[name].range
            assert math.isnan(value) or low <= value <= high


def test_definitions_and_shown_metrics_are_in_the_catalogue() -> None:
    for dialect in DIALECTS.values():
        assert set(dialect.shown) <= set(dialect.definitions) <= set(METRICS)


def test_unknown_dialect_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'mmsa'"):
        find_dialect("mmas")


def test_values_are_shown_with_their_unit_and_undefined_ones_as_a_dash() -> None:
    assert METRICS["acc7"].show(0.4567) == "45.7"
    assert METRICS["mae"].show(0.81249) == "0.812"
    assert METRICS["corr"].show(float("nan")) == "–"
