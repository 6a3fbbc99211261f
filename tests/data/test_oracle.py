"""The oracle: against hand-worked cases, against brute force from raw frames, and against its own calibration."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.synthetic.law import Law, View, draw_dataset
from qamoe_bench.data.synthetic.oracle import BayesOracle, Channel
from qamoe_bench.data.synthetic.synthetic import standard_law
from qamoe_bench.protocol.level import Level
from qamoe_bench.protocol.spec import Condition, Step

CLEAN = Condition("clean", {}, ())
ALL = ("text", "audio", "vision")


def condition(*steps: tuple[str, Mapping[str, Level]]) -> Condition:
    """A condition of steps given by kind and level per modality."""
    return Condition("test", {}, tuple(Step(kind, levels, {}) for kind, levels in steps))


@cache
def large() -> tuple[Dataset, BayesOracle]:
    """Enough samples for figures to two digits."""
    data = draw_dataset(standard_law(), {"train": 1500, "valid": 2, "test": 6000}, seed=3)
    assert isinstance(data.oracle, BayesOracle)
    return data, data.oracle


def labels(data: Dataset) -> NDArray[np.float64]:
    return np.round(data.splits["test"].target.double().numpy(), 1)


def only(data: Dataset, *modalities: str) -> Batch:
    """The test split with every other modality missing."""
    batch = data.splits["test"].batch()
    return Batch({m: x if m in modalities else x * 0 for m, x in batch.features.items()}, batch.lengths)


def noise(data: Dataset, level: float, seed: int, *, constant: bool) -> dict[str, torch.Tensor]:
    """Gaussian noise for the valid frames of the test split, one draw per frame or per utterance."""
    rng = np.random.default_rng(seed)
    batch = data.splits["test"].batch()
    made = {}
    for m, x in batch.features.items():
        n, t, d = x.shape
        draw = torch.from_numpy(rng.standard_normal((n, 1 if constant else t, d), dtype=np.float32))
        made[m] = level * data.spec.feature_std[m] * draw * batch.mask(m)[:, :, None]
    return made


def noisy(data: Dataset, *noises: Mapping[str, torch.Tensor]) -> Batch:
    """The test split with noises added."""
    split = data.splits["test"]
    features = dict(split.features)
    for m, x in split.features.items():
        features[m] = x + sum(noise[m] for noise in noises)
    return Batch(features, split.lengths)


def thinned(batch: Batch, rate: float, seed: int) -> Batch:
    """The batch with frames zeroed at a rate."""
    rng = np.random.default_rng(seed)
    keep = {m: torch.from_numpy(rng.random(x.shape[:2]) >= rate)[:, :, None] for m, x in batch.features.items()}
    return Batch({m: x * keep[m] for m, x in batch.features.items()}, batch.lengths)


# --- by hand -------------------------------------------------------------------------------------------------------


def tiny(covariance: float = 0.0) -> BayesOracle:
    """Two labels, -1 and 2 with prior ¼ and ¾; one modality of one dimension with μ(s) = s/3, τ = 1 and σ_ref = 3."""
    channel = Channel(np.array([[-1 / 3], [2 / 3]]), np.array([[covariance]]))
    return BayesOracle(
        np.array([-1.0, 2.0]),
        np.array([0.25, 0.75]),
        {"text": channel},
        {"test": {"text": np.array([1.0])}},
        {"text": np.array([3.0])},
    )


def frames(*values: float) -> Batch:
    """One sample of scalar frames."""
    return Batch({"text": torch.tensor(values)[None, :, None]}, {"text": torch.tensor([len(values)])})


@pytest.mark.parametrize(
    ("covariance", "steps", "variance"),
    [
        (0.0, (), 1 / 2),
        (0.5, (), 0.5 + 1 / 2),
        (0.5, (("frame-missing", {"text": 0.5}),), 0.5 + 1 / 2),
        (0.0, (("gaussian-noise", {"text": 0.2}),), (1 + 0.36) / 2),
        (0.0, (("utterance-noise", {"text": 0.2}),), 1 / 2 + 0.36),
        (0.0, (("gaussian-noise", {"text": 0.2}), ("utterance-noise", {"text": 0.1})), (1 + 0.36) / 2 + 0.09),
    ],
)
def test_posterior_is_the_hand_worked_one(
    covariance: float, steps: tuple[tuple[str, Mapping[str, Level]], ...], variance: float
) -> None:
    batch = frames(0.7, 0.0, -0.4)  # the middle frame was taken away: n = 2, x̄ = .15
    odds = 3 * np.exp(((0.15 + 1 / 3) ** 2 - (0.15 - 2 / 3) ** 2) / (2 * variance))
    got = tiny(covariance).posterior("test", batch, condition(*steps))
    np.testing.assert_allclose(got, [[1 / (1 + odds), odds / (1 + odds)]], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "chosen", "variance"),
    [
        ("occasional-noise", True, 1 / 2 + 0.36),
        ("occasional-noise", False, 1 / 2),
        ("frame-or-utterance-noise", True, 1 / 2 + 0.36),
        ("frame-or-utterance-noise", False, (1 + 0.36) / 2),
    ],
)
def test_posterior_knows_what_chance_decided(kind: str, chosen: bool, variance: float) -> None:
    odds = 3 * np.exp(((0.15 + 1 / 3) ** 2 - (0.15 - 2 / 3) ** 2) / (2 * variance))
    steps = condition((kind, {"text": 0.2}))
    got = tiny().posterior("test", frames(0.7, 0.0, -0.4), steps, {(kind, "text"): np.array([chosen])})
    np.testing.assert_allclose(got, [[1 / (1 + odds), odds / (1 + odds)]], rtol=1e-6)
    with pytest.raises(ValueError, match=f"expected the samples that '{kind}' chose in 'text', got none; pass them"):
        tiny().posterior("test", frames(0.7), steps)


def test_decisions_without_frames_are_those_of_the_prior() -> None:
    got = tiny().predict("test", frames(0.0, 0.0), CLEAN)
    decisions = dict.fromkeys(("mae", "acc7", "acc5"), 2.0)
    decisions |= dict.fromkeys(("acc2_has0", "f1_has0", "acc2_non0", "f1_non0"), 1.0)
    expected = {"prediction": 1.25, "variance": 0.25 * 2.25**2 + 0.75 * 0.75**2}
    expected |= {f"prediction_{metric}": value for metric, value in decisions.items()}
    assert {name: value.item() for name, value in got.items()} == pytest.approx(expected, rel=1e-12)


def prior_decisions(grid: list[float], prior: list[float]) -> dict[str, float]:
    """What the oracle says of a sample with nothing left, for any prior."""
    channel = Channel(np.zeros((len(grid), 1)), np.eye(1))
    one = {"text": np.ones(1)}
    oracle = BayesOracle(np.array(grid), np.array(prior), {"text": channel}, {"test": one}, one)
    return {name: float(value[0]) for name, value in oracle.predict("test", frames(0.0), CLEAN).items()}


def test_zero_counts_as_positive_for_has0_and_not_at_all_for_non0() -> None:
    got = prior_decisions([-1.0, 0.0, 1.0], [0.45, 0.25, 0.30])
    assert got["prediction_acc2_has0"] == got["prediction_f1_has0"] == 1.0
    assert got["prediction_acc2_non0"] == got["prediction_f1_non0"] == -1.0


def test_classes_are_clipped_and_their_masses_added() -> None:
    got = prior_decisions([-3.0, -2.0, 0.8, 1.2, 2.0, 2.6], [0.2, 0.2, 0.16, 0.15, 0.1, 0.19])
    assert got["prediction_acc7"] == 1.0  # .16 + .15
    assert got["prediction_acc5"] == -2.0  # .2 + .2
    assert got["prediction_mae"] == 0.8


# --- brute force ---------------------------------------------------------------------------------------------------


def small_law() -> Law:
    """Two modalities of three dimensions and at most three frames, nothing orthogonal to anything."""
    grid = np.array([-2.0, -1.0, 0.0, 1.0, 3.0])
    signals = {"text": np.stack([0.8 * grid, 0 * grid], axis=1), "audio": np.stack([0.3 * grid, np.abs(grid)], axis=1)}
    v = np.array([[0.6, 0.0], [0.8, 0.0], [0.0, 1.0]])
    u = np.array([[0.5, 0.2], [-0.3, 0.9], [0.7, -0.1]])
    views = {
        "text": View(signals["text"], v, u, wobble=0.4, frames=(1, 3)),
        "audio": View(signals["audio"], v[::-1].copy(), -u[:, ::-1].copy(), wobble=0.2, frames=(2, 3)),
    }
    return Law(grid, np.array([0.1, 0.3, 0.2, 0.25, 0.15]), views, scatter=(0.7, 1.3), scatter_prior=(0.5, 0.5))


def brute_likelihood(
    view: View, x: NDArray[np.float64], spread: NDArray[np.float64], still: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Likelihood of raw frames x (n, D) for every s in 20 batches (20, S): the mean over draws of ζ, z and still noise.

    `spread` is the standard deviation of a frame per dimension, `still` that of noise constant over the utterance.
    """
    rng = np.random.default_rng(seed)
    draws = 20 * 10_000
    hidden = view.wobble * rng.standard_normal((draws, 2)) @ view.directions.T
    hidden += rng.standard_normal((draws, 2)) @ view.nuisance.T + still * rng.standard_normal((draws, 3))
    columns = []
    for signal in view.signal @ view.directions.T:
        density = np.ones(draws)
        for frame in x:
            density *= np.exp(-0.5 * (((frame - signal - hidden) / spread) ** 2).sum(axis=1))
        columns.append(density.reshape(20, -1).mean(axis=1))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("fresh", [0.0, 0.4])
@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_posterior_mean_matches_brute_force_from_raw_frames(fresh: float, constant: float) -> None:
    law = small_law()
    data = draw_dataset(law, {"train": 50, "valid": 2, "test": 4}, seed=5)
    batch = noisy(data, noise(data, constant, 1, constant=True), noise(data, fresh, 2, constant=False))
    text = batch.features["text"]
    audio = batch.features["audio"]
    text[0, 0] = text[3] = audio[1] = 0.0
    audio[2, 1] = 0.0
    levels = [
        ("gaussian-noise", dict.fromkeys(law.views, fresh)),
        ("utterance-noise", dict.fromkeys(law.views, constant)),
    ]
    assert data.oracle is not None
    got = data.oracle.predict("test", batch, condition(*levels))["prediction"]
    for row in range(4):
        weight = np.broadcast_to(law.prior, (20, 5))
        for number, (m, view) in enumerate(law.views.items()):
            x = batch.features[m][row].double().numpy()
            sigma = data.spec.feature_std[m].double().numpy()
            spread = np.sqrt(data.reliability["test"][m][row] ** 2 + (fresh * sigma) ** 2)
            kept = x[x.any(axis=1)]
            weight = weight * brute_likelihood(view, kept, spread, constant * sigma, 10 * row + number)
        means = weight @ law.grid / weight.sum(axis=1)
        assert abs(means.mean() - got[row]) < 5 * means.std(ddof=1) / np.sqrt(20) + 1e-9


# --- figures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("modality", "expected"), [("text", 0.72), ("audio", 0.37), ("vision", 0.36)])
def test_one_modality_alone_is_as_informative_as_stated(modality: str, expected: float) -> None:
    data, oracle = large()
    got = oracle.predict("test", only(data, modality), CLEAN)["prediction"]
    assert np.corrcoef(got, labels(data))[0, 1] == pytest.approx(expected, abs=0.03)


def test_figures_on_clean_data() -> None:
    data, oracle = large()
    y = labels(data)
    got = oracle.predict("test", only(data, *ALL), CLEAN)
    assert np.corrcoef(got["prediction"], y)[0, 1] == pytest.approx(0.827, abs=0.015)
    assert np.abs(got["prediction_mae"] - y).mean() == pytest.approx(0.61, abs=0.03)
    assert np.mean((got["prediction_acc2_has0"] > 0) == (y >= 0)) == pytest.approx(0.84, abs=0.02)
    assert np.mean(got["prediction_acc7"] == np.round(y)) == pytest.approx(0.557, abs=0.015)


def test_every_decision_is_best_for_its_own_metric() -> None:
    data, oracle = large()
    y = labels(data)
    got = oracle.predict("test", only(data, *ALL), CLEAN)
    mean = got["prediction"]
    assert np.mean((mean - y) ** 2) < np.mean((got["prediction_mae"] - y) ** 2)
    assert np.abs(got["prediction_mae"] - y).mean() < np.abs(mean - y).mean()
    assert np.mean(got["prediction_acc7"] == np.round(y)) > np.mean(np.round(mean) == np.round(y)) + 0.03
    clipped = np.round(np.clip(y, -2, 2))
    assert np.mean(got["prediction_acc5"] == clipped) > np.mean(np.round(np.clip(mean, -2, 2)) == clipped) + 0.03


def test_more_corruption_is_never_better() -> None:
    data, oracle = large()
    y = labels(data)

    def correlation(batch: Batch, point: Condition) -> float:
        return float(np.corrcoef(oracle.predict("test", batch, point)["prediction"], y)[0, 1])

    clean = correlation(only(data, *ALL), CLEAN)
    fresh, constant = (
        correlation(noisy(data, noise(data, 0.7, 0, constant=c)), condition((kind, dict.fromkeys(ALL, 0.7))))
        for kind, c in (("gaussian-noise", False), ("utterance-noise", True))
    )
    assert clean > fresh + 0.1 > constant + 0.2
    assert fresh == pytest.approx(0.65, abs=0.03)
    thin = [correlation(thinned(only(data, *ALL), rate, 0), CLEAN) for rate in (0.3, 0.6, 0.9)]
    assert clean > thin[0] > thin[1] > thin[2]


def test_nothing_left_gives_the_decisions_of_the_prior() -> None:
    data, oracle = large()
    grid = oracle.grid
    prior = oracle.prior
    masses = {c: prior[np.round(grid) == c].sum() for c in range(-3, 4)}
    expected = {
        "prediction": prior @ grid,
        "prediction_mae": grid[np.searchsorted(prior.cumsum(), 0.5)],
        "prediction_acc7": max(masses, key=lambda c: masses[c]),
        "prediction_acc2_has0": 1.0 if prior[grid >= 0].sum() > 0.5 else -1.0,
        "variance": prior @ grid**2 - (prior @ grid) ** 2,
    }
    got = oracle.predict("test", only(data), condition(("modality-missing", dict.fromkeys(ALL, 1.0))))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-12)


# --- calibration ---------------------------------------------------------------------------------------------------

CORRUPTED = {
    "clean": (0.0, 0.0, 0.0),
    "frames": (0.0, 0.0, 0.8),
    "fresh noise": (0.5, 0.0, 0.0),
    "constant noise, then frames": (0.0, 0.3, 0.5),
}


@pytest.mark.parametrize("case", CORRUPTED)
def test_posterior_is_calibrated(case: str) -> None:
    fresh, constant, rate = CORRUPTED[case]
    data, oracle = large()
    y = labels(data)
    batch = thinned(noisy(data, noise(data, max(fresh, constant), 4, constant=constant > 0)), rate, 5)
    point = condition(
        ("gaussian-noise", dict.fromkeys(ALL, fresh)),
        ("utterance-noise", dict.fromkeys(ALL, constant)),
        ("frame-missing", dict.fromkeys(ALL, rate)),
    )
    posterior = oracle.posterior("test", batch, point)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-12)
    rows = np.arange(len(y))
    true = np.searchsorted(oracle.grid - 0.1, y) - 1
    surprise = np.log(posterior[rows, true]) - (posterior * np.log(posterior)).sum(axis=1)
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(y))
    # The place of the truth in its posterior, spread evenly over the truth's own mass, is uniform.
    below = posterior.cumsum(axis=1)[rows, true] - posterior[rows, true]
    place = below + posterior[rows, true] * np.random.default_rng(6).random(len(y))
    counts = np.histogram(place, bins=10, range=(0, 1))[0]
    expected = len(y) / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # the upper 0.1 % of χ² with 9 degrees of freedom
    got = oracle.predict("test", batch, point)
    square = (got["prediction"] - y) ** 2 - got["variance"]
    assert abs(square.mean()) < 4 * square.std() / np.sqrt(len(y))


# --- what it covers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), True),
        ((("modality-missing", {"text": 0.5, "audio": 1.0}),), True),
        ((("frame-missing", {"text": 0.5}),), True),
        ((("gaussian-noise", {"text": 0.5}),), True),
        ((("utterance-noise", {"text": 0.5}),), True),
        ((("gaussian-noise", {"text": 0.5}), ("frame-missing", {"text": 0.5})), True),
        ((("frame-missing", {"text": 0.5}), ("gaussian-noise", {"audio": 0.5})), True),
        ((("frame-missing", {"text": 0.5}), ("gaussian-noise", {"text": 0.0})), True),
        ((("frame-missing", {"text": 0.0}), ("gaussian-noise", {"text": 0.5})), True),
        ((("frame-missing", {"text": 0.5}), ("gaussian-noise", {"text": 0.5})), False),
        ((("modality-missing", {"text": 0.5}), ("utterance-noise", {"text": 0.5})), False),
        ((("gaussian-noise", {"text": 0.5}), ("utterance-noise", {"text": 0.5})), True),
        ((("gaussian-noise", {"text": 0.5}), ("gaussian-noise", {"audio": 0.5})), True),
        ((("gaussian-noise", {"text": 0.5}), ("gaussian-noise", {"text": 0.5})), False),
        ((("block-missing", {"text": 0.5}), ("imder-missing", {"text": 0.5})), True),
        ((("temporal-shift", {"text": 0.5}), ("gaussian-noise", {"text": 0.5})), False),
        ((("salt-and-pepper", {"text": 0.5}),), False),
        ((("occasional-noise", {"text": 0.5}),), True),
        ((("frame-or-utterance-noise", {"text": 0.5}), ("frame-missing", {"text": 0.5})), True),
        ((("occasional-noise", {"text": 0.5}), ("occasional-noise", {"text": 0.5})), False),
        ((("frame-or-utterance-noise", {"text": np.array([0.5, 0.6], np.float32)}),), False),
        ((("gaussian-noise", {"text": np.array([0.5, 0.6], np.float32)}),), False),
    ],
)
def test_covers(steps: tuple[tuple[str, Mapping[str, Level]], ...], expected: bool) -> None:
    assert tiny().covers(condition(*steps)) is expected


def test_posterior_refuses_what_it_does_not_cover() -> None:
    with pytest.raises(ValueError, match="check it with covers"):
        tiny().predict("test", frames(1.0), condition(("salt-and-pepper", {"text": 0.5})))


def test_posterior_refuses_a_part_of_a_split() -> None:
    data, oracle = large()
    batch = data.splits["test"].batch()
    part = Batch({m: x[:5] for m, x in batch.features.items()}, {m: n[:5] for m, n in batch.lengths.items()})
    with pytest.raises(ValueError, match="all 6000 samples"):
        oracle.predict("test", part, CLEAN)
