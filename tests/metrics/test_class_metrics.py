"""Metrics of classes and of several labels against scikit-learn, exact resamples and cases worked by hand."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest
import sklearn
from numpy.typing import NDArray
from sklearn import metrics as sk

from qamoe_bench.errors import BenchError, similar_names
from qamoe_bench.metrics.catalogue import DIALECT_NAMES, METRICS
from qamoe_bench.metrics.class_definitions import predicted_labels, true_labels
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import (
    DIALECTS,
    default_dialect,
    dialects_for,
    find_dialect,
    judged_columns,
    judged_predictions,
    scores,
)
from qamoe_bench.metrics.probability_definitions import LEAST, calibration_error
from qamoe_bench.statistics.resampling import Resampling, resampled, sample_weights
from qamoe_bench.vocabulary import METRIC_LABELS, REGRESSION, Task

Values = NDArray[np.float64]
EXACT = 1e-12
CLASSES = DIALECTS["scikit-learn"]
LABELS = DIALECTS["scikit-learn-labels"]


@contextmanager
def scikit_learn() -> Iterator[None]:
    """Its warnings about classes that do not occur are what is tested, and checking its arguments takes most time."""
    quick = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
    with warnings.catch_warnings(action="ignore"), quick:
        yield


def class_case(random: np.random.Generator, samples: int, classes: int, more: int = 1) -> tuple[Values, Values]:
    """Log-probabilities (more, N, C) and labels (N), with ties and with classes that do not occur."""
    scores = np.round(random.normal(0, random.choice([0.1, 1, 4]), (more, samples, classes)) * 2) / 2
    present = random.choice(classes, int(random.integers(1, classes + 1)), replace=False)
    labels = random.choice(present, samples).astype(np.float64)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True)), labels


def label_case(random: np.random.Generator, samples: int, labels: int, more: int = 1) -> tuple[Values, Values]:
    """Log-probabilities (more, N, C) of labels that hold or not, and codes (N)."""
    scores = np.round(random.normal(0, random.choice([0.1, 1, 4]), (more, samples, labels)) * 2) / 2
    holds = random.random((samples, labels)) < random.choice([0, 0.1, 0.5, 1])
    return -np.log1p(np.exp(-scores)), (holds * 2 ** np.arange(labels)).sum(-1).astype(np.float64)


def class_reference(p: Values, y: Values) -> dict[str, float]:
    classes = p.shape[1]
    predicted = p.argmax(-1)
    indices = list(range(classes))
    values = {
        "wa": sk.accuracy_score(y, predicted),
        "ua": sk.balanced_accuracy_score(y, predicted),
        "nll": sk.log_loss(y, np.exp(p), labels=indices),
        "brier": sk.brier_score_loss(
            y, np.exp(p) if classes > 2 else np.exp(p[:, 1]), labels=indices, scale_by_half=False
        ),
        "f1_binary": sk.f1_score(y, predicted, zero_division=0) if classes == 2 else math.nan,
    }
    for average in ("weighted", "macro", "micro"):
        values[f"f1_{average}"] = sk.f1_score(y, predicted, average=average, zero_division=0)
    of_class = [sk.roc_auc_score(y == c, p[:, c]) for c in (indices if classes > 2 else [1]) if 0 < (y == c).mean() < 1]
    values["auroc"] = float(np.mean(of_class)) if of_class else math.nan
    return values


def label_reference(p: Values, y: Values) -> dict[str, float]:
    true = true_labels(y, p.shape[1])
    predicted = np.exp(p) > 0.5
    values = {
        "wa": 1 - sk.hamming_loss(true, predicted),
        "ua": np.mean([sk.balanced_accuracy_score(t, q) for t, q in zip(true.T, predicted.T, strict=True)]),
        "exact_match": (true == predicted).all(1).mean(),
        "nll": np.mean([sk.log_loss(t, np.exp(q), labels=[0, 1]) for t, q in zip(true.T, p.T, strict=True)]),
        "brier": np.mean((true - np.exp(p)) ** 2),
    }
    # Of a single label, scikit-learn would take an array of one column for classes 0 and 1.
    both = [np.column_stack([x, np.zeros(len(x), bool)]) for x in (true, predicted)]
    for average in ("weighted", "macro", "micro"):
        score = sk.f1_score(*both, labels=range(p.shape[1]), average=average, zero_division=0)
        values[f"f1_{average}"] = score
    of_label = [sk.roc_auc_score(t, q) for t, q in zip(true.T, p.T, strict=True) if 0 < t.mean() < 1]
    values["auroc"] = float(np.mean(of_label)) if of_label else math.nan
    return values


def literal_calibration_error(confidence: Values, right: NDArray[np.bool_]) -> float:
    """Guo et al., bin by bin."""
    error = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


SIZES = [1, 2, 7, 30]


def test_all_metrics_equal_the_functions_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    with scikit_learn():
        for samples, size in ((1, 2), (2, 3), (7, 2), (30, 5)):
            for dialect, case, reference in (
                (CLASSES, class_case, class_reference), (LABELS, label_case, label_reference),
            ):  # fmt: skip
                p, y = case(random, samples, size)
                for name, expected in reference(p[0], y).items():
                    value = float(dialect.definitions[name](p[0], y))
                    assert value == pytest.approx(expected, abs=1e-9, nan_ok=True), (samples, size, name)


def literal_area(scores: Values, true: NDArray[np.bool_]) -> Values:
    """The share of pairs in the right order, mean over the classes that have any, from (K, N, C) and (N, C): (K)."""
    total = np.zeros(len(scores))
    defined = 0
    for score, is_true in zip(np.moveaxis(scores, -1, 0), true.T, strict=True):
        above = score[:, is_true, None] - score[:, None, ~is_true]
        if above.size:
            total += ((above > 0) + 0.5 * (above == 0)).mean((1, 2))
            defined += 1
    return total / defined if defined else np.full(len(scores), math.nan)


def of_scikit_learn(true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> dict[str, Values]:
    """Precision, recall and F1 of every class and how often it is true or occurs, from indicators (K, N, C): (K, C).

    All cases are columns of one array, because each call of scikit-learn takes milliseconds.
    """
    both = [np.moveaxis(x, 1, 0).reshape(x.shape[1], -1) for x in (true, predicted)]  # (N, K·C)
    # Of one column it would take the values for classes.
    padded = [np.column_stack([x, np.zeros(len(x), bool)]) for x in both]
    precision, recall, f1, support = sk.precision_recall_fscore_support(*padded, average=None, zero_division=0)
    occurs = np.append((both[0] | both[1]).any(0), False)
    values = {"precision": precision, "recall": recall, "f1": f1, "support": support, "occurs": occurs}
    return {name: value[:-1].reshape(len(true), -1).astype(np.float64) for name, value in values.items()}


@pytest.mark.parametrize("size", [2, 3, 6, 12])
def test_classes_equal_averages_of_scikit_learn_on_random_cases(size: int) -> None:
    random = np.random.default_rng(size)
    for samples, _ in product(SIZES, range(2)):  # of twenty predictions each: 640 cases in all
        p, y = class_case(random, samples, size, more=20)
        predicted = p.argmax(-1)
        true = np.broadcast_to(y[:, None] == np.arange(size), p.shape)
        with scikit_learn():
            of_class = of_scikit_learn(true, predicted[..., None] == np.arange(size))
        support, occurs, f1 = of_class["support"], of_class["occurs"], of_class["f1"]
        first = 1 if size == 2 else 0
        probability = np.exp(p)
        of_true = np.take_along_axis(probability, np.broadcast_to(y.astype(int), p.shape[:2])[..., None], -1)[..., 0]
        expected = {
            "wa": (predicted == y).mean(-1),
            "ua": (of_class["recall"] * (support > 0)).sum(-1) / (support > 0).sum(-1),
            "f1_weighted": (f1 * support).sum(-1) / samples,
            "f1_macro": (f1 * occurs).sum(-1) / occurs.sum(-1),
            "f1_micro": (predicted == y).mean(-1),
            "f1_binary": f1[:, 1] if size == 2 else np.full(20, math.nan),
            "nll": -np.log(of_true).mean(-1),
            "brier": ((probability - true) ** 2).sum(-1).mean(-1),
            "ece": [literal_calibration_error(q.max(-1), r) for q, r in zip(probability, predicted == y, strict=True)],
            "auroc": literal_area(p[..., first:], true[0, :, first:]),
        }
        assert expected.keys() == CLASSES.definitions.keys()
        for name, definition in CLASSES.definitions.items():
            np.testing.assert_allclose(definition(p, y), expected[name], atol=1e-9, err_msg=name)
        for name in ("mmin", "mintrec"):  # recall_score(average="macro") counts classes that are only predicted
            recall = (of_class["recall"] * occurs).sum(-1) / occurs.sum(-1)
            np.testing.assert_allclose(DIALECTS[name].definitions["ua"](p, y), recall, atol=EXACT)
        precision = (of_class["precision"] * occurs).sum(-1) / occurs.sum(-1)
        np.testing.assert_allclose(DIALECTS["mintrec"].definitions["precision_macro"](p, y), precision, atol=EXACT)


@pytest.mark.parametrize("size", [1, 2, 6])
def test_several_labels_equal_averages_of_scikit_learn_on_random_cases(size: int) -> None:
    random = np.random.default_rng(size)
    for samples, _ in product(SIZES, range(2)):  # of fifteen predictions each: 360 cases in all
        p, y = label_case(random, samples, size, more=15)
        probability = np.exp(p)
        predicted = probability > 0.5
        true = np.broadcast_to(true_labels(y, size), p.shape)
        with scikit_learn():
            holding = of_scikit_learn(true, predicted)
            other = of_scikit_learn(~true, ~predicted)
        support = holding["support"]
        answers = (support > 0).astype(int) + (support < samples)
        likelihood = np.where(true, probability, 1 - probability)
        right = predicted == true
        confidence = np.maximum(probability, 1 - probability)
        expected = {
            "wa": right.mean((1, 2)),
            "ua": ((holding["recall"] + other["recall"]) / answers).mean(-1),
            "exact_match": right.all(-1).mean(-1),
            "f1_weighted": (holding["f1"] * support).sum(-1) / np.maximum(support.sum(-1), 1),
            "f1_macro": holding["f1"].mean(-1),
            "nll": -np.log(likelihood).mean((1, 2)),
            "brier": ((probability - true) ** 2).mean((1, 2)),
            "ece": [literal_calibration_error(q.ravel(), r.ravel()) for q, r in zip(confidence, right, strict=True)],
            "auroc": literal_area(p, true[0]),
        }
        assert expected.keys() | {"f1_micro"} == LABELS.definitions.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(LABELS.definitions[name](p, y), values, atol=1e-9, err_msg=name)
        both = (holding["f1"] * support + other["f1"] * other["support"]) / samples
        for dialect in ("mult-iemocap", "mme2e"):
            np.testing.assert_allclose(DIALECTS[dialect].definitions["f1_weighted"](p, y), both.mean(-1), atol=EXACT)


def all_of(task: str) -> dict[Definition, str]:
    """The definitions of a kind of task, each once, with its name."""
    return {definition: n for d in DIALECTS.values() if d.task == task for n, definition in d.definitions.items()}


@pytest.mark.parametrize("task", ["classes", "multi-label"])
def test_many_predictions_at_once_equal_each_alone(task: str) -> None:
    random = np.random.default_rng(4)
    p = np.log(random.dirichlet(np.ones(4), (2, 3, 30)))
    y = random.integers(4 if task == "classes" else 16, size=30).astype(np.float64)
    for definition, name in all_of(task).items():
        together = definition(p, y)
        assert together.shape == (2, 3)
        for index in np.ndindex(2, 3):
            alone = float(definition(p[index], y))
            assert together[index] == pytest.approx(alone, abs=EXACT, nan_ok=True), name


@pytest.mark.parametrize("task", ["classes", "multi-label"])
def test_a_resample_is_the_metric_of_the_samples_that_were_drawn(task: str) -> None:
    random = np.random.default_rng(5)
    p = np.log(random.dirichlet(np.ones(3), (2, 40)))
    p[0, :5, 0] = -np.inf  # a probability of exactly 0
    y = random.choice([0.0, 1.0, 1.0] if task == "classes" else [0.0, 1.0, 3.0], 40)  # the last class never occurs
    weights = sample_weights(40, 8)
    for definition, name in all_of(task).items():
        values = resampled(definition, p, y, Resampling(weights))
        for r, row in enumerate(weights):
            drawn = np.repeat(np.arange(40), row.astype(int))
            # The area under the curve is no sum; its resamples are accurate to first order.
            tolerance = 1e-9 if definition.is_additive else 0.1
            np.testing.assert_allclose(values[r], definition(p[:, drawn], y[drawn]), atol=tolerance, err_msg=name)


def test_resampled_areas_under_the_curve_have_the_spread_of_exact_ones() -> None:
    random = np.random.default_rng(6)
    y = (random.random(300) < 0.3).astype(np.float64)
    p = np.round(random.normal(0.8 * y), 1)  # with ties
    p = np.stack([-np.log1p(np.exp(p)), -np.log1p(np.exp(-p))], axis=-1)
    definition = CLASSES.definitions["auroc"]
    weights = sample_weights(300, 200)
    values = resampled(definition, p, y, Resampling(weights))
    exact = []
    for row in weights:
        drawn = np.repeat(np.arange(300), row.astype(int))
        exact.append(float(definition(p[drawn], y[drawn])))
    assert np.abs(values - exact).max() < 0.01
    assert values.std() == pytest.approx(np.std(exact), rel=0.03)
    assert [d for d in CLASSES.definitions.values() if not d.is_additive] == [definition]


def test_classes_of_a_case_worked_by_hand() -> None:
    p = np.log([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]])  # predicted 0 0 2 0
    y = np.array([0.0, 1.0, 1.0, 0.0])
    values = {name: float(value) for name, value in scores(CLASSES, columns_of(p, y)).items()}
    assert values["wa"] == 0.5
    assert values["ua"] == 0.5  # recalls 1 and 0; class 2 is in no label
    assert float(DIALECTS["mmin"].definitions["ua"](p, y)) == pytest.approx(1 / 3)  # with class 2, as a recall of 0
    # F1 of class 0 is 2·2/(3 + 2), of the others 0
    assert values["f1_macro"] == pytest.approx(0.8 / 3)
    assert values["f1_weighted"] == pytest.approx(0.8 / 2)
    assert values["f1_micro"] == 0.5
    assert math.isnan(values["f1_binary"])
    assert values["nll"] == pytest.approx(-np.log(0.7 * 0.4 * 0.2 * 0.4) / 4)
    brier = (0.09 + 0.04 + 0.01) + (0.25 + 0.36 + 0.01) + (0.04 + 0.64 + 0.36) + (0.36 + 0.16 + 0.04)
    assert values["brier"] == pytest.approx(brier / 4)
    # bins of .4, .5, .6 and .7 are four different ones
    assert values["ece"] == pytest.approx((0.6 + 0.5 + 0.6 + 0.3) / 4)
    # class 0: .7 and .4 against .5 and .2, three of four pairs; class 1: .4 and .2 against .2 and .4, half
    assert values["auroc"] == pytest.approx((0.75 + 0.5) / 2)


def test_several_labels_of_a_case_worked_by_hand() -> None:
    p = np.log([[0.9, 0.5], [0.6, 0.7], [0.1, 0.8]])  # predicted: first; both; second
    y = np.array([1.0, 2.0, 3.0])  # true: first; second; both
    values = {name: float(value) for name, value in scores(LABELS, columns_of(p, y)).items()}
    assert values["wa"] == pytest.approx(4 / 6)
    assert values["exact_match"] == pytest.approx(1 / 3)
    # first: recall 1/2 of holding, 0 of not; second: 1 and 1
    assert values["ua"] == pytest.approx((0.25 + 1) / 2)
    assert values["f1_macro"] == pytest.approx((0.5 + 1) / 2)
    assert values["f1_micro"] == pytest.approx(2 * 3 / 8)
    assert values["auroc"] == pytest.approx((0.5 + 1) / 2)
    assert values["nll"] == pytest.approx(-np.log(0.9 * 0.4 * 0.1 * 0.5 * 0.7 * 0.8) / 6)
    # both answers of the first: F1 1/2 of two samples, 0 of one
    f1 = float(DIALECTS["mult-iemocap"].definitions["f1_weighted"](p, y))
    assert f1 == pytest.approx((0.5 * 2 / 3 + 1) / 2)


def test_the_weighted_accuracy_of_publications_on_mosei_is_the_mean_recall() -> None:
    random = np.random.default_rng(7)
    p, y = -np.log1p(np.exp(random.normal(size=(50, 6)))), random.integers(64, size=50).astype(np.float64)
    by_emotion = []
    for true, predicted in zip(true_labels(y, 6).T, predicted_labels(p).T, strict=True):
        positives, negatives = true.sum(), (~true).sum()
        tp, tn = (true & predicted).sum(), (~true & ~predicted).sum()
        by_emotion.append((tp * negatives / positives + tn) / (2 * negatives))
    assert float(DIALECTS["mme2e"].definitions["ua"](p, y)) == pytest.approx(np.mean(by_emotion), abs=EXACT)


def test_probabilities_of_exactly_0_and_1_have_finite_values() -> None:
    with np.errstate(divide="ignore"):
        p = np.log([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    right, wrong = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0])
    assert float(CLASSES.definitions["nll"](p, right)) == 0
    assert float(CLASSES.definitions["nll"](p, wrong)) == -LEAST
    assert [float(CLASSES.definitions["brier"](p, y)) for y in (right, wrong)] == [0, 2]
    assert [float(CLASSES.definitions["ece"](p, y)) for y in (right, wrong)] == [0, 1]
    right, wrong = np.array([1.0, 2.0, 1.0]), np.array([2.0, 1.0, 2.0])  # codes of labels
    assert [float(LABELS.definitions["nll"](p, y)) for y in (right, wrong)] == [0, -LEAST]
    for dialect, y in product((CLASSES, LABELS), (np.zeros(3), np.ones(3))):
        for name, value in scores(dialect, columns_of(p, y)).items():
            low, high = METRICS[name].range
            assert math.isnan(value) or low <= value <= high < math.inf or (name == "nll" and value <= -LEAST), name


def test_the_calibration_error_of_exact_probabilities_falls_with_the_number_of_samples() -> None:
    random = np.random.default_rng(8)
    errors = []
    for samples in (200, 20_000):
        probability = random.dirichlet(np.ones(3), samples)
        y = (random.random(samples)[:, None] > probability.cumsum(-1)).sum(-1).astype(np.float64)
        errors.append(float(calibration_error()(np.log(probability), y)))
    assert errors[1] < 0.02 < errors[0]


def columns_of(p: NDArray[Any], y: Values) -> dict[str, NDArray[Any]]:
    """The columns that a store has, (..., N) each."""
    return {"target": y, "prediction": y, **{f"log_probability_{c}": p[..., c] for c in range(p.shape[-1])}}


def test_columns_of_log_probabilities_are_stacked_by_their_index() -> None:
    random = np.random.default_rng(9)
    p = np.log(random.dirichlet(np.ones(12), (2, 5))).astype(np.float32)  # 12: the order of names is another
    columns = columns_of(p, np.zeros(5))
    assert judged_columns(sorted(columns), "wa") == tuple(f"log_probability_{c}" for c in range(12))
    judged = judged_predictions(columns, "wa")
    assert judged.dtype == np.float64
    np.testing.assert_array_equal(judged, p)
    single: dict[str, NDArray[Any]] = {"target": np.zeros(5), "log_probability_0": p[0, :, 0]}
    assert judged_predictions(single, "nll").shape == (5, 1)
    assert judged_columns(["prediction", "prediction_mae"], "mae") == ("prediction_mae",)
    assert judged_columns(["prediction", "prediction_mae"], "corr") == ("prediction",)


def test_each_task_has_dialects_of_its_own_and_a_default() -> None:
    tasks = [REGRESSION, Task("classes", ("a", "b", "c")), Task("multi-label", ("a", "b"))]
    assert [default_dialect(task).name for task in tasks] == ["mmsa", "scikit-learn", "scikit-learn-labels"]
    assert [d.name for task in tasks for d in dialects_for(task)] == list(DIALECTS)
    assert {task.kind: tuple(d.name for d in dialects_for(task)) for task in tasks} == DIALECT_NAMES
    names = {d.name for d in dialects_for(tasks[1])}
    assert names == {"scikit-learn", "gcnet", "mmin", "mintrec"}
    assert CLASSES.on_scale(np.array([0.0, 5.0])) is CLASSES
    with pytest.raises(BenchError, match=r"^unknown dialect 'gcn': .*did you mean 'gcnet'\?$"):
        find_dialect("gcn")


def test_every_metric_has_a_label_and_words_of_others_find_it() -> None:
    assert set(METRIC_LABELS) == set(METRICS)
    words = {"accuracy": "wa", "UAR": "ua", "F1": "f1_weighted", "AUC": "auroc", "log-loss": "nll"}
    for word, name in words.items():
        assert similar_names(word, CLASSES.definitions)[0] == name
