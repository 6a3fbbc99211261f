"""Predictors that know the law: against brute force over every hypothesis, and in the order that they must have."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.synthetic.inferring import InferringOracle
from qamoe_bench.data.synthetic.law import Law, View, draw_dataset
from qamoe_bench.data.synthetic.oracle import BayesOracle
from qamoe_bench.protocol.spec import Condition, Level, Step

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
    tau = np.concatenate([data.reliability[split][modality] for split in ("train", "valid", "test")])
    square = data.spec.feature_std[modality].double().numpy() ** 2
    for value in np.unique(tau):
        for share, fresh, constant in noise_outcomes(kind, level):
            yield share * float(np.mean(tau == value)), float(value), fresh**2 * square, constant**2 * square


def brute_log_likelihood(
    view: View, x: NDArray[np.float64], tau: float, fresh: NDArray[np.float64], constant: NDArray[np.float64]
) -> list[float]:
    """The log-density of all frames x (n, D) as one long vector, for every label."""
    n = len(x)
    common = view.nuisance @ view.nuisance.T + view.wobble**2 * view.directions @ view.directions.T + np.diag(constant)
    own = np.diag(tau**2 + fresh)
    covariance = np.kron(np.ones((n, n)), common) + np.kron(np.eye(n), own)
    means = [np.tile(view.directions @ signal, n) for signal in view.signal]
    return [float(multivariate_normal.logpdf(x.ravel(), mean, covariance)) for mean in means]


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
                for probability, *noise in every_hypothesis(data, modality, kind, share * level):
                    terms.append(
                        np.log(probability) + np.array(brute_log_likelihood(law.views[modality], kept, *noise))
                    )
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
