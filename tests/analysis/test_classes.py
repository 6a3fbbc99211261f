"""Analyses of classes and of several labels, against hand-worked numbers and scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from classstore import EMOTIONS, SEVERAL, labels_of, log_probabilities, write_class_store
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.confusion import class_results
from qamoe_bench.analysis.errors import first_draw_errors
from qamoe_bench.analysis.hard_samples import worst
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.analysis.strata import error_profile
from qamoe_bench.metrics.dialects import default_dialect
from qamoe_bench.metrics.probabilities import decisions, entropy, probability_errors, true_indicators
from qamoe_bench.report.tables import analyses
from qamoe_bench.statistics.intervals import estimate
from qamoe_bench.statistics.resampling import resampled_terms, resampling
from qamoe_bench.statistics.uncertainty import risk_coverage
from qamoe_bench.vocabulary import Task

TASKS = pytest.mark.parametrize("task", [EMOTIONS, SEVERAL], ids=lambda task: task.kind)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Section, Analysis]]:
    """A section and its analysis for each task."""
    results: dict[str, tuple[Section, Analysis]] = {}
    for task in (EMOTIONS, SEVERAL):
        store = write_class_store(tmp_path_factory.mktemp(task.kind), task)
        (section,) = sections(store.cells())
        (analysis,) = analyses(store.cells())
        results[task.kind] = section, analysis
    return results


def test_errors_likelihood_entropy_and_decisions_of_a_few_samples() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]])
    y = np.array([0.0, 2.0])
    np.testing.assert_allclose(probability_errors(np.log(p), y, EMOTIONS), [0.3, 0.75])
    likelihood = default_dialect(EMOTIONS).definitions["nll"]
    np.testing.assert_allclose([likelihood(np.log(p[k : k + 1]), y[k : k + 1]) for k in range(2)], -np.log([0.7, 0.25]))
    np.testing.assert_allclose(entropy(np.log(p), EMOTIONS)[1], 1.5 * np.log(2))
    confidence, right = decisions(np.log(p), y, EMOTIONS)
    np.testing.assert_allclose(confidence, [0.7, 0.5])
    assert right.tolist() == [True, False]
    # Labels 0 and 2 hold of the first sample, none of the second.
    codes = np.array([5.0, 0.0])
    assert true_indicators(codes, SEVERAL).tolist() == [[True, False, True], [False] * 3]
    np.testing.assert_allclose(probability_errors(np.log(p), codes, SEVERAL), [(0.3 + 0.2 + 0.9) / 3, 1 / 3])
    likelihood = default_dialect(SEVERAL).definitions["nll"]
    np.testing.assert_allclose(likelihood(np.log(p[:1]), codes[:1]), -np.log([0.7, 0.8, 0.1]).mean())
    confidence, right = decisions(np.log(p), codes, SEVERAL)
    np.testing.assert_allclose(confidence[:3], [0.7, 0.8, 0.9])
    assert right.tolist() == [True, True, False, True, True, True]
    # A probability of exactly 1 has a finite likelihood and no entropy.
    sure = np.zeros((1, 3))
    assert np.isfinite(likelihood(sure, np.array([0.0])))
    np.testing.assert_allclose(entropy(sure, SEVERAL), 0)


def test_risk_coverage_is_the_mean_over_shares_of_the_most_certain_samples() -> None:
    wrong = np.array([1.0, 0.0, 0.0, 1.0])
    uncertain = np.array([4.0, 1.0, 2.0, 3.0])  # in this order: right, right, wrong, wrong
    assert risk_coverage(wrong, uncertain) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)


@TASKS
def test_f1_by_class_and_confusions_are_those_of_scikit_learn(
    task: Task, analysed: dict[str, tuple[Section, Analysis]]
) -> None:
    section, _ = analysed[task.kind]
    row = section.rows[0]
    results = class_results(section, row)
    answers = row.predictions_for("")  # (S, V, C, N, K)
    truth = true_indicators(section.label, task)
    assert results.f1.shape == (3, 3)
    for condition in range(3):
        decided = [a[0, condition] for a in answers]
        if task.kind == "classes":
            chosen = [a.argmax(1) for a in decided]
            expected = np.mean([f1_score(section.label, c, average=None, zero_division=0) for c in chosen], axis=0)
            counts = np.sum([confusion_matrix(section.label, c) for c in chosen], axis=0)
            assert results.confusion is not None
            np.testing.assert_allclose(results.confusion[condition], counts / counts.sum(1, keepdims=True))
        else:
            holds = [a > np.log(0.5) for a in decided]
            expected = np.mean([f1_score(truth, h, average=None, zero_division=0) for h in holds], axis=0)
            assert results.confusion is None
        np.testing.assert_allclose(results.f1[condition], expected)


@TASKS
def test_single_predictions_have_errors_parts_and_hardest_samples(
    task: Task, analysed: dict[str, tuple[Section, Analysis]]
) -> None:
    section, _ = analysed[task.kind]
    row = section.rows[0]
    expected = probability_errors(row.predictions_for("")[:, 0].astype(np.float64), section.label, task)
    np.testing.assert_array_equal(first_draw_errors(row, section), expected)
    profile = error_profile(section)
    assert profile is not None
    kind = "class" if task.kind == "classes" else "label"
    parts = {s.name: s for s in profile.strata if s.kind == kind}
    assert set(parts) == set(task.names)
    # The difference on the samples of one class, worked out alone.
    at = [s.name for s in profile.strata].index("sad")
    is_sad = true_indicators(section.label, task)[:, 1]
    own, other = (first_draw_errors(section.rows[i], section)[..., is_sad].mean() for i in (0, 1))
    assert profile.differences.value[profile.pairs.index((0, 1)), at] == pytest.approx(own - other)
    fall = worst(section, 1)[0]
    assert fall.error == pytest.approx(first_draw_errors(row, section).max(), abs=0.5)
    assert 0 <= fall.before < fall.error <= 1


@TASKS
def test_the_analysis_has_calibration_quality_and_effects_of_classes(
    task: Task, analysed: dict[str, tuple[Section, Analysis]]
) -> None:
    section, analysis = analysed[task.kind]
    dialect = default_dialect(task)
    assert analysis.dialect is dialect
    assert analysis.headline.metric.name == "wa"
    assert [s.metric.name for s in analysis.scores] == list(dialect.shown)
    audit = analysis.uncertainty["sure"]
    by_name = {s.metric.name: s for s in analysis.scores}
    place = [row.name for row in section.rows].index("sure")
    assert audit.nll == pytest.approx(by_name["nll"].values[place].mean(), rel=1e-6)
    assert 0 < audit.risk < 1 - by_name["wa"].values[place].mean() + 1e-9
    assert audit.rank > 0.2
    assert set(analysis.quality["sure"]) == {"text", "audio", "vision"}
    # These interventions change nothing in the made-up store, and are recorded as log-probabilities.
    for effect in analysis.intervention_effects["sure"].values():
        np.testing.assert_allclose(effect.value, 0, atol=1e-12)
    assert [test.metric for test in analysis.permutation_tests["sure"]] == list(dialect.shown)


@pytest.mark.parametrize(("seeds", "most"), [(3, 1.0), (20, 0.97)])
@pytest.mark.parametrize("metric", ["wa", "f1_macro"])
def test_intervals_of_accuracy_and_macro_f1_cover_the_truth(metric: str, seeds: int, most: float) -> None:
    definition = default_dialect(EMOTIONS).definitions[metric]
    random = np.random.default_rng(0)

    def answers(size: int, seeds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        label = random.choice(3, size, p=[0.5, 0.3, 0.2]).astype(float)
        # Samples differ in difficulty, which all seeds share.
        lead = np.maximum(0, 1 + random.standard_normal(size))
        by_seed = [log_probabilities(EMOTIONS, label, lead[:, None], random) for _ in range(seeds)]
        return np.stack(by_seed), label

    truth = float(definition(*answers(200_000, 1))[0])
    weights = resampling(100, None)
    hits = 0.0
    trials = 300
    for _ in range(trials):
        predicted, label = answers(100, seeds)
        terms = definition.terms(predicted, label)
        resampled = np.asarray(resampled_terms(definition, terms, weights), np.float64)
        values = np.asarray(definition.of(terms), np.float64)
        low, high = estimate(values[:, None], resampled[..., None], weights.freedom).interval()
        hits += float(low[0] <= truth <= high[0])
    error = 2 * np.sqrt(0.95 * 0.05 / trials)  # .025
    # With few seeds intervals are wide enough for seeds that differ more than these do.
    assert 0.93 - error <= hits / trials <= most + error


def test_made_up_labels_have_every_class(tmp_path: Path) -> None:
    assert set(labels_of(EMOTIONS, 80)) == {0, 1, 2}
