"""The embedded emotions: sizes, the law that the docstring states, and the posterior against raw frames and chance."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_softmax
from scipy.stats import chi2

from qamoe_bench.contract import Batch
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import SPLITS, Dataset
from qamoe_bench.data.synthetic.decisions import class_decisions
from qamoe_bench.data.synthetic.emotion import EMOTIONS, emotion_law, synthetic_emotion
from qamoe_bench.data.synthetic.law import SIZES, draw_dataset
from qamoe_bench.data.synthetic.oracle import BayesOracle
from qamoe_bench.evaluation.sweep import sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Step
from qamoe_bench.vocabulary import MODALITIES, Task

SMALL = {"train": 20, "valid": 4, "test": 6}
CLASSES = len(EMOTIONS)
CLEAN = Condition("clean", {}, ())


@cache
def large() -> tuple[Dataset, BayesOracle]:
    """Enough samples for accuracies to about a percent (standard error .011 at most)."""
    data = draw_dataset(emotion_law(), {"train": 500, "valid": 2, "test": 2000}, seed=3)
    assert isinstance(data.oracle, BayesOracle)
    return data, data.oracle


def labels(data: Dataset) -> NDArray[np.int64]:
    return data.splits["test"].target.numpy().astype(np.int64)


def condition(*steps: tuple[str, Mapping[str, Level] | Level]) -> Condition:
    """A condition of steps given by kind and level, of one modality or the same for all."""
    made = []
    for kind, level in steps:
        levels = level if isinstance(level, Mapping) else dict.fromkeys(MODALITIES, level)
        made.append(Step(kind, levels, kind_named(kind).defaults))
    return Condition("test", {}, tuple(made))


def predict(data: Dataset, point: Condition, seed: int = 1) -> tuple[dict[str, NDArray[np.float64]], Corrupted]:
    """The oracle's columns on the corrupted test split, and what the corruption did."""
    corrupted = TestSet(data, seed, torch.device("cpu")).corrupted(point)
    chosen = {key: samples.numpy() for key, samples in corrupted.chosen.items()}
    assert data.oracle is not None
    return data.oracle.predict("test", corrupted.batch, point, chosen), corrupted


def log_probabilities(columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The logarithms of the posterior (N, C)."""
    return np.stack([columns[f"log_probability_{c}"] for c in range(CLASSES)], axis=1)


# --- samples -------------------------------------------------------------------------------------------------------


def test_embedded_emotions_have_the_stated_sizes_and_task() -> None:
    data = synthetic_emotion()
    assert {name: len(split) for name, split in data.splits.items()} == SIZES
    assert data.name == "synthetic-emotion"
    assert data.task == Task("classes", ("happy", "sad", "neutral", "angry", "excited", "frustrated"))
    assert data.label_range == (0.0, 5.0)
    assert data.spec.widths == {"text": 32, "audio": 16, "vision": 16}
    assert data.spec.lengths == {"text": 20, "audio": 24, "vision": 24}
    assert data.spec.task == data.task
    assert data.spec.class_shares == pytest.approx(emotion_law().prior, abs=0.03)
    for split in data.splits.values():
        assert split.target.dtype == torch.float32
        assert set(split.target.tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    # Whoever changes the samples of a published data set must do so on purpose.
    assert data.digest == "5042fc68af0aef709bbefe4fdb02d23a3e0cd56de42c497ae97a5298413d0e82"


def test_equal_seeds_give_the_same_bits_and_others_do_not() -> None:
    first, second, other = (draw_dataset(emotion_law(), SMALL, seed) for seed in (7, 7, 8))
    assert first.digest == second.digest != other.digest
    for name in SPLITS:
        a, b, c = (data.splits[name] for data in (first, second, other))
        assert torch.equal(a.target, b.target)
        assert all(torch.equal(a.features[m], b.features[m]) for m in a.modalities)
        assert not any(torch.equal(a.features[m], c.features[m]) for m in a.modalities)
    assert not torch.equal(first.splits["train"].target, other.splits["train"].target)


def test_labels_follow_the_stated_probabilities() -> None:
    law = emotion_law()
    np.testing.assert_allclose(law.prior, [0.08, 0.15, 0.23, 0.15, 0.14, 0.25])
    assert law.prior.sum() == pytest.approx(1, abs=1e-12)
    y = labels(large()[0])
    expected = len(y) * law.prior
    observed = np.bincount(y, minlength=CLASSES)
    assert chi2.sf(((observed - expected) ** 2 / expected).sum(), CLASSES - 1) > 1e-3


# --- the posterior against raw frames ------------------------------------------------------------------------------

CONDITIONS = {
    "clean": condition(),
    "frames": condition(("frame-missing", 0.5)),
    "a block": condition(("block-missing", {"text": 0.5})),
    "modalities": condition(("modality-missing", 0.5)),
    "noise per frame": condition(("gaussian-noise", 0.4)),
    "noise per utterance": condition(("utterance-noise", 0.3)),
    "noise at times": condition(("occasional-noise", 0.5)),
    "either noise, then frames": condition(("frame-or-utterance-noise", 0.4), ("frame-missing", 0.3)),
    "two noises": condition(("gaussian-noise", {"audio": 0.4}), ("utterance-noise", {"audio": 0.2, "text": 0.1})),
}
PER_FRAME = ("gaussian-noise", "frame-or-utterance-noise")
"""Kinds whose noise is drawn for every frame, unless chance chose one draw for the sample."""


def noise_variances(point: Condition, corrupted: Corrupted, modality: str, row: int) -> tuple[float, float]:
    """λ² of a sample's noise per frame and per utterance, from the definitions of the kinds."""
    fresh = 0.0
    constant = 0.0
    for step in point.steps:
        square = float(np.asarray(step.levels.get(modality, 0.0))) ** 2
        chosen = corrupted.chosen.get((step.kind, modality))
        if step.kind in PER_FRAME and (chosen is None or not chosen[row]):
            fresh += square
        elif step.kind == "utterance-noise" or (chosen is not None and bool(chosen[row])):
            constant += square
    return fresh, constant


def raw_log_likelihood(
    data: Dataset, modality: str, frames: NDArray[np.float64], tau: float, noise: tuple[float, float]
) -> NDArray[np.float64]:
    """Log-density of all frames [n, D] of a sample together, for every class and up to a constant."""
    view = emotion_law().views[modality]
    n, width = frames.shape
    reference = data.spec.feature_std[modality].double().numpy() ** 2
    fresh, constant = noise
    shared = view.channel.covariance + constant * np.diag(reference)  # between all frames of the sample
    own = tau**2 * np.eye(width) + fresh * np.diag(reference)
    factor = cho_factor(np.kron(np.ones((n, n)), shared) + np.kron(np.eye(n), own))
    means = np.tile(view.signal @ view.directions.T, (1, n))  # (C, nD)
    distance = frames.reshape(-1) - means
    return np.asarray(-0.5 * (distance * cho_solve(factor, distance.T).T).sum(axis=1))


@pytest.mark.parametrize("case", CONDITIONS)
def test_log_posterior_is_that_of_all_raw_frames(case: str) -> None:
    data = draw_dataset(emotion_law(), SMALL, seed=5)
    point = CONDITIONS[case]
    columns, corrupted = predict(data, point)
    expected = np.tile(np.log(emotion_law().prior), (SMALL["test"], 1))
    for row in range(SMALL["test"]):
        for m, x in corrupted.batch.features.items():
            frames = x[row].double().numpy()
            kept = frames[frames.any(axis=1)]  # neither padding nor erased
            if len(kept):
                tau = float(data.reliability["test"][m][row])
                noise = noise_variances(point, corrupted, m, row)
                expected[row] += raw_log_likelihood(data, m, kept, tau, noise)
    got = log_probabilities(columns)
    np.testing.assert_allclose(got, log_softmax(expected, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(columns["prediction"], got.argmax(axis=1))


# --- decisions -----------------------------------------------------------------------------------------------------


def test_decisions_are_the_hand_worked_ones() -> None:
    joint = np.log([[0.2, 0.1, 0.1], [0.01, 0.02, 0.07]])
    columns = class_decisions(np.arange(3.0), joint)
    assert list(columns) == ["prediction", "log_probability_0", "log_probability_1", "log_probability_2"]
    np.testing.assert_array_equal(columns["prediction"], [0.0, 2.0])
    np.testing.assert_allclose(np.exp(columns["log_probability_0"]), [0.5, 0.1])
    np.testing.assert_allclose(np.exp(columns["log_probability_2"]), [0.25, 0.7])


def test_a_class_that_is_next_to_impossible_keeps_a_finite_logarithm() -> None:
    columns = class_decisions(np.arange(3.0), np.array([[0.0, -5e4, -1e9]]))
    np.testing.assert_allclose([columns[f"log_probability_{c}"][0] for c in range(3)], [0.0, -5e4, -1e9])
    data = draw_dataset(emotion_law(), SMALL, seed=5)
    batch = data.splits["test"].batch()
    far = Batch({m: 1e4 * x for m, x in batch.features.items()}, batch.lengths)
    assert data.oracle is not None
    got = log_probabilities(data.oracle.predict("test", far, CLEAN))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(np.exp(got).sum(axis=1), 1, rtol=1e-12)


def test_nothing_left_gives_the_prior() -> None:
    data = draw_dataset(emotion_law(), SMALL, seed=5)
    point = condition(("modality-missing", 1.0))
    batch = data.splits["test"].batch()
    assert data.oracle is not None
    columns = data.oracle.predict("test", Batch({m: 0 * x for m, x in batch.features.items()}, batch.lengths), point)
    expected = np.tile(np.log(emotion_law().prior), (SMALL["test"], 1))
    np.testing.assert_allclose(log_probabilities(columns), expected, rtol=1e-12)
    assert set(columns["prediction"]) == {5.0}  # frustrated


def test_a_sweep_of_the_oracle_stores_its_log_probabilities() -> None:
    data = draw_dataset(emotion_law(), SMALL, seed=5)
    columns = sweep_oracle(TestSet(data, 1, torch.device("cpu")), load_protocol("random-missing")).columns
    stored = np.stack([columns[f"log_probability_{c}"] for c in range(CLASSES)], axis=1)
    assert stored.dtype == np.float32
    np.testing.assert_allclose(np.exp(stored).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(columns["prediction"], stored.argmax(axis=1))


# --- figures and calibration ---------------------------------------------------------------------------------------


def accuracy(batch: Batch, point: Condition = CLEAN) -> float:
    data, oracle = large()
    return float(np.mean(oracle.predict("test", batch, point)["prediction"] == labels(data)))


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (("text",), 0.57),
        (("audio",), 0.48),
        (("vision",), 0.40),
        (("audio", "vision"), 0.62),
        (("text", "vision"), 0.64),
        (("text", "audio"), 0.77),
        (MODALITIES, 0.81),
    ],
)
def test_modalities_are_as_informative_as_stated(modalities: tuple[str, ...], expected: float) -> None:
    batch = large()[0].splits["test"].batch()
    kept = {m: x if m in modalities else 0 * x for m, x in batch.features.items()}
    assert accuracy(Batch(kept, batch.lengths)) == pytest.approx(expected, abs=0.03)


def test_confusions_are_between_neighbours() -> None:
    data, oracle = large()
    predicted = oracle.predict("test", data.splits["test"].batch(), CLEAN)["prediction"].astype(np.int64)
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (labels(data), predicted), 1)
    np.fill_diagonal(counts, 0)
    happy, _, neutral, angry, excited, frustrated = range(CLASSES)
    assert counts[happy].argmax() == excited
    assert counts[excited].argmax() == happy
    assert counts[angry].argmax() == frustrated
    assert counts[frustrated].argmax() == neutral


CORRUPTED = {
    "clean": (0.0, 0.0, 0.0),
    "few frames": (0.0, 0.0, 0.8),
    "noise": (0.5, 0.0, 0.0),
    "harsh": (0.0, 0.5, 0.5),
}
"""Levels of noise per frame and per utterance, and the share of frames that is erased afterwards."""


@cache
def outcome(case: str) -> NDArray[np.float64]:
    """The posterior (N, C) under corruption, which is drawn here because the engine's draws take a second."""
    data, oracle = large()
    batch = data.splits["test"].batch()
    fresh, constant, rate = CORRUPTED[case]
    rng = np.random.default_rng(4)
    features = {}
    for m, x in batch.features.items():
        samples, frames, width = x.shape
        noise = fresh * rng.standard_normal((samples, frames, width), dtype=np.float32)
        noise += constant * rng.standard_normal((samples, 1, width), dtype=np.float32)
        kept = batch.mask(m) & torch.from_numpy(rng.random((samples, frames)) >= rate)
        features[m] = (x + data.spec.feature_std[m] * torch.from_numpy(noise)) * kept[:, :, None]
    steps = (("gaussian-noise", fresh), ("utterance-noise", constant), ("frame-missing", rate))
    columns = oracle.predict("test", Batch(features, batch.lengths), condition(*steps))
    return np.exp(log_probabilities(columns))


def test_corruption_costs_accuracy() -> None:
    y = labels(large()[0])
    reached = {case: float(np.mean(outcome(case).argmax(axis=1) == y)) for case in CORRUPTED}
    assert reached["clean"] == pytest.approx(0.81, abs=0.03)
    assert reached["clean"] > reached["noise"] + 0.05
    assert reached["clean"] > reached["few frames"] + 0.1
    assert reached["noise"] > reached["harsh"] + 0.05
    assert reached["harsh"] > 0.3  # the most frequent class has .25


@pytest.mark.parametrize("case", CORRUPTED)
def test_posterior_is_calibrated_within_sampling_error(case: str) -> None:
    y = labels(large()[0])
    p = outcome(case)
    true = p[np.arange(len(y)), y]
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    truth = y[:, None] == np.arange(CLASSES)  # (N, C)
    # Each has expectation 0 under the posterior itself.
    differences = [
        true - (p**2).sum(axis=1),
        -np.log(true) - entropy,
        (p.argmax(axis=1) == y) - p.max(axis=1),
        *(truth - p).T,
    ]
    for difference in differences:
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(len(y))
