"""Predictors that know the law: against brute force over every hypothesis, and in the order that they must have."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.synthetic.blind import BlindOracle
from qamoe_bench.data.synthetic.emotion import emotion_law
from qamoe_bench.data.synthetic.inferring import InferringOracle
from qamoe_bench.data.synthetic.law import Law, View, draw_dataset
from qamoe_bench.data.synthetic.oracle import BayesOracle
from qamoe_bench.data.synthetic.plug_in import plug_in
from qamoe_bench.data.synthetic.synthetic import standard_law
from qamoe_bench.evaluation.limits import sweep_limit
from qamoe_bench.evaluation.sweep import Sweep, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Step
from qamoe_bench.registry.limits import ASSUMING_CLEAN, BLIND, INFERRING

GRID = np.array([-2.0, -1.0, 0.0, 1.5, 3.0])


def condition(*steps: tuple[str, Mapping[str, Level]]) -> Condition:
    """A condition of steps given by kind and level per modality."""
    return Condition("test", {}, tuple(Step(kind, levels, {}) for kind, levels in steps))


@pytest.fixture(scope="module")
def small() -> tuple[Law, Dataset, BayesOracle]:
    """Two modalities of three dimensions and at most three frames, nothing orthogonal to anything."""
    v = np.array([[0.6, 0.0], [0.8, 0.0], [0.0, 1.0]])
    u = np.array([[0.5, 0.2], [-0.3, 0.9], [0.7, -0.1]])
    views = {
        "text": View(np.stack([0.8 * GRID, 0 * GRID], axis=1), v, u, wobble=0.4, frames=(1, 3)),
        "audio": View(np.stack([0.3 * GRID, np.abs(GRID)], axis=1), v[::-1].copy(), -u, wobble=0.2, frames=(2, 3)),
    }
    law = Law(GRID, np.array([0.1, 0.3, 0.2, 0.25, 0.15]), views, scatter=(0.7, 1.3), scatter_prior=(0.5, 0.5))
    data = draw_dataset(law, {"train": 60, "valid": 2, "test": 6}, seed=5)
    assert isinstance(data.oracle, BayesOracle)
    return law, data, data.oracle


def noise_outcomes(kind: str, level: float) -> list[tuple[float, float, float]]:
    """Probability, standard deviation per frame and per utterance of every outcome, in units of σ_ref."""
    outcomes = {
        "gaussian-noise": [(1.0, level, 0.0)],
        "utterance-noise": [(1.0, 0.0, level)],
        "occasional-noise": [(0.5, 0.0, level), (0.5, 0.0, 0.0)],
        "frame-or-utterance-noise": [(0.5, level, 0.0), (0.5, 0.0, level)],
    }
    return outcomes[kind]


def every_hypothesis(
    data: Dataset, modality: str, kind: str, level: float
) -> Iterator[tuple[float, float, NDArray[np.float64], NDArray[np.float64]]]:
    """Probability, τ, variance of fresh noise and of constant noise per dimension."""
    tau = np.concatenate([data.reliability[split][modality] for split in ("valid", "test")])
    square = data.spec.feature_std[modality].double().numpy() ** 2
    for value in np.unique(tau):
        for share, fresh, constant in noise_outcomes(kind, level):
            yield share * float(np.mean(tau == value)), float(value), fresh**2 * square, constant**2 * square


def brute_log_likelihood(
    view: View, x: NDArray[np.float64], tau: float, fresh: NDArray[np.float64], constant: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The log-density of all frames x (n, D) as one long vector, for every label."""
    n = len(x)
    common = view.nuisance @ view.nuisance.T + view.wobble**2 * view.directions @ view.directions.T + np.diag(constant)
    own = np.diag(tau**2 + fresh)
    covariance = np.kron(np.ones((n, n)), common) + np.kron(np.eye(n), own)
    means = [np.tile(view.directions @ signal, n) for signal in view.signal]
    return np.array([multivariate_normal.logpdf(x.ravel(), mean, covariance) for mean in means], np.float64)


@pytest.mark.parametrize("kind", ["gaussian-noise", "utterance-noise", "occasional-noise", "frame-or-utterance-noise"])
def test_inferring_posterior_is_the_sum_over_every_hypothesis(
    small: tuple[Law, Dataset, BayesOracle], kind: str
) -> None:
    law, data, oracle = small
    levels = (0.0, 0.4, 1.2)
    conditions = [condition((kind, {"text": x / 2, "audio": x})) for x in levels]
    batch = Batch({m: x.clone() for m, x in data.splits["test"].features.items()}, data.splits["test"].lengths)
    batch.features["text"][2, 0] = 0.0
    batch.features["audio"][3] = 0.0
    batch.features["audio"][4:] *= 2.0  # as noise would
    got = InferringOracle(oracle, conditions).predict("test", batch, conditions[0])
    for row in range(6):
        logs = []
        for level in levels:
            joint = np.log(law.prior)
            for modality, share in (("text", 0.5), ("audio", 1.0)):
                x = batch.features[modality][row].double().numpy()
                kept = x[x.any(axis=1)]
                if len(kept) == 0:
                    continue
                terms = []
                view = law.views[modality]
                for probability, tau, fresh, constant in every_hypothesis(data, modality, kind, share * level):
                    terms.append(np.log(probability) + brute_log_likelihood(view, kept, tau, fresh, constant))
                joint = joint + logsumexp(terms, axis=0)
            logs.append(joint)
        log_posterior = logsumexp(logs, axis=0)
        posterior = np.exp(log_posterior - logsumexp(log_posterior))
        assert got["prediction"][row] == pytest.approx(posterior @ GRID, rel=1e-9)


def test_inferring_ignores_what_it_is_told(small: tuple[Law, Dataset, BayesOracle]) -> None:
    _, data, oracle = small
    conditions = [condition(("gaussian-noise", {"text": x})) for x in (0.0, 1.0)]
    predictor = InferringOracle(oracle, conditions)
    first, second = (predictor.predict("test", data.splits["test"].batch(), c)["prediction"] for c in conditions)
    np.testing.assert_array_equal(first, second)


# --- blind ---------------------------------------------------------------------------------------------------------

LEVELS = (0.0, 0.5, 1.5)


@pytest.fixture(scope="module")
def scalar() -> tuple[Dataset, BlindOracle]:
    """One modality of one dimension, with up to three frames, under noise that is constant over the utterance."""
    one = np.ones((1, 1))
    law = Law(GRID, np.full(5, 0.2), {"text": View(GRID[:, None] / 2, one, one / 2, wobble=0.3, frames=(1, 3))})
    data = draw_dataset(law, {"train": 2, "valid": 40, "test": 2}, seed=1)
    assert isinstance(data.oracle, BayesOracle)
    conditions = [condition(("utterance-noise", {"text": x})) for x in LEVELS]
    counts = [{"text": np.array([1, 2, 2, 3])}] * len(LEVELS)
    return data, BlindOracle(data.oracle, conditions, counts)


def scalar_batch(*samples: tuple[float, ...]) -> Batch:
    """Samples of three scalar frames, some of which are zero."""
    x = torch.tensor([[*frames, *[0.0] * (3 - len(frames))] for frames in samples])
    return Batch({"text": x[:, :, None]}, {"text": torch.full((len(samples),), 3)})


def test_blind_posterior_is_the_frequency_of_labels_given_what_it_sees(scalar: tuple[Dataset, BlindOracle]) -> None:
    data, blind = scalar
    draws = 400_000
    rng = np.random.default_rng(0)
    tau = np.concatenate([data.reliability[split]["text"] for split in ("valid", "test")])
    label = rng.choice(GRID, draws)
    constant = rng.choice(LEVELS, draws) * data.spec.feature_std["text"].item()
    variance = 0.5**2 + 0.3**2 + rng.choice(tau, draws) ** 2 / rng.choice([1, 2, 2, 3], draws) + constant**2
    mean = label / 2 + np.sqrt(variance) * rng.standard_normal(draws)
    centres = np.linspace(-3, 3, 12)  # without 0, which would be an erased frame
    near = np.abs(mean[:, None] - centres) < 0.05
    counts = near.sum(axis=0)
    expected = label @ near / counts
    got = blind.predict("test", scalar_batch(*((x,) for x in centres)), blind.conditions[0])["prediction"]
    # 2 is more than the standard deviation of a label.
    assert (np.abs(got - expected) < 4 * 2 / np.sqrt(counts)).all()


def test_blind_sees_no_scatter_and_no_number_of_frames(scalar: tuple[Dataset, BlindOracle]) -> None:
    _, blind = scalar
    batch = scalar_batch((0.5,), (0.5, 0.5, 0.5), (-1.0, 2.0), (2.5, -3.0, 2.0), ())
    got = blind.predict("test", batch, blind.conditions[0])["prediction"]
    np.testing.assert_allclose(got[:4], got[0], rtol=1e-6)
    assert got[4] == pytest.approx(GRID.mean())  # nothing is there


# --- the order of the three ----------------------------------------------------------------------------------------


def absolute_errors(sweep: Sweep) -> NDArray[np.float64]:
    """Of the answers that are best for MAE, by condition."""
    columns = sweep.columns
    error = columns["prediction_mae"].astype(np.float64) - columns["target"]
    return np.asarray(np.abs(error).reshape(3, -1))


@pytest.mark.parametrize("protocol", ["quality-degradation", "conflicting-noise"])
def test_who_knows_more_errs_less_at_every_level(protocol: str) -> None:
    data = draw_dataset(standard_law(), {"train": 200, "valid": 100, "test": 250}, seed=7)
    test = TestSet(data, 1, torch.device("cpu"))
    three = replace(load_protocol(protocol), axes={"lambda": (0.0, 0.5, 1.0)})
    known = absolute_errors(sweep_oracle(test, three))
    inferring, blind, clean = (absolute_errors(sweep_limit(n, test, three)) for n in (INFERRING, BLIND, ASSUMING_CLEAN))
    for better, worse in ((known, inferring), (inferring, blind)):
        loss = worse - better
        error = loss.std(axis=1) / np.sqrt(loss.shape[1])
        # Where few answers differ, by steps of 0.2, their mean is not normal.
        assert (loss.mean(axis=1) > -3 * error - 0.005).all()
    assert inferring.mean() - known.mean() < 0.02 < blind.mean() - known.mean()
    np.testing.assert_array_equal(clean[0], known[0])
    assert clean[2].mean() > known[2].mean() + 0.1


# --- plug-in -------------------------------------------------------------------------------------------------------


def first(split: Split, count: int) -> Split:
    """The first samples of a split."""
    features = {m: x[:count] for m, x in split.features.items()}
    return Split(split.ids[:count], split.target[:count], features, {m: n[:count] for m, n in split.lengths.items()})


def test_plug_in_comes_the_nearer_to_the_oracle_the_more_samples_it_has() -> None:
    data = draw_dataset(standard_law(), {"train": 900, "valid": 2, "test": 600}, seed=4)
    oracle = data.oracle
    assert isinstance(oracle, BayesOracle)
    label = data.splits["test"].target.numpy()
    clean = condition()

    def error(predictor: BayesOracle) -> float:
        answers = predictor.predict("test", data.splits["test"].batch(), clean)["prediction_mae"]
        return float(np.abs(answers - label).mean())

    constant = np.abs(label - np.median(label)).mean()
    reach = []
    for count in (40, 150, 900):
        learnt = plug_in(oracle, first(data.splits["train"], count))
        assert learnt.prior.sum() == pytest.approx(1)
        reach.append((constant - error(learnt)) / (constant - error(oracle)))
    assert 0.3 < reach[0] < reach[1] < reach[2] < 1.005
    assert reach[2] > 0.9


def test_plug_in_recovers_the_law_of_classes() -> None:
    data = draw_dataset(emotion_law(), {"train": 1000, "valid": 2, "test": 600}, seed=4)
    oracle = data.oracle
    assert isinstance(oracle, BayesOracle)
    learnt = plug_in(oracle, data.splits["train"])
    np.testing.assert_allclose(learnt.prior, oracle.prior, atol=0.03)
    label = data.splits["test"].target.numpy()
    batch = data.splits["test"].batch()
    known, estimated = (
        np.mean(predictor.predict("test", batch, condition())["prediction"] == label) for predictor in (oracle, learnt)
    )
    assert known - 0.05 < estimated < known + 0.02
