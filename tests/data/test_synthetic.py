"""The embedded data set: sizes, determinism, padding, and the law that its docstring states."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2

from qamoe_bench.contract import valid_frames
from qamoe_bench.data.dataset import SPLITS, Dataset
from qamoe_bench.data.synthetic.law import SIZES, Law, draw_dataset
from qamoe_bench.data.synthetic.synthetic import standard_law, synthetic
from qamoe_bench.errors import BenchError

SMALL = {"train": 20, "valid": 4, "test": 6}
FRAMES = {"text": (5, 20), "audio": (8, 24), "vision": (8, 24)}
WIDTHS = {"text": 32, "audio": 16, "vision": 16}


@cache
def large() -> Dataset:
    """Enough samples to see the law."""
    return draw_dataset(standard_law(), {"train": 5000, "valid": 2, "test": 2}, seed=1)


def places(target: torch.Tensor) -> NDArray[np.int64]:
    """Place of each label on the grid."""
    return np.round((target.double().numpy() + 3) / 0.2).astype(np.int64)


def chi_square(observed: NDArray[np.int64], probability: NDArray[np.float64]) -> float:
    """The p-value of counts under probabilities."""
    expected = observed.sum() * probability
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(observed) - 1))


def test_embedded_data_set_has_the_stated_sizes() -> None:
    data = synthetic()
    assert {name: len(split) for name, split in data.splits.items()} == SIZES
    assert data.name == "synthetic"
    assert data.label_range == (-3.0, 3.0)
    assert data.spec.widths == WIDTHS
    assert data.spec.lengths == {m: longest for m, (_, longest) in FRAMES.items()}
    assert data.splits["train"].ids[:2] == ("train-0000", "train-0001")
    for split in data.splits.values():
        assert len(set(split.ids)) == len(split)
        assert split.target.dtype == torch.float32
        assert all(x.dtype == torch.float32 for x in split.features.values())


def test_same_seed_gives_the_same_bits() -> None:
    first = draw_dataset(standard_law(), SMALL, 7)
    second = draw_dataset(standard_law(), SMALL, 7)
    assert first.digest == second.digest
    for name in SPLITS:
        a = first.splits[name]
        b = second.splits[name]
        assert torch.equal(a.target, b.target)
        for modality in a.modalities:
            assert torch.equal(a.features[modality], b.features[modality])
            assert torch.equal(a.lengths[modality], b.lengths[modality])
            assert np.array_equal(first.reliability[name][modality], second.reliability[name][modality])


def test_global_random_state_changes_nothing() -> None:
    before = draw_dataset(standard_law(), SMALL, 7).splits["test"].features["text"]
    torch.manual_seed(99)
    assert torch.equal(before, draw_dataset(standard_law(), SMALL, 7).splits["test"].features["text"])


def test_larger_split_begins_with_the_smaller() -> None:
    small = draw_dataset(standard_law(), SMALL, 7)
    more = draw_dataset(standard_law(), SMALL | {"train": 50}, 7)
    a = small.splits["train"]
    b = more.splits["train"]
    assert torch.equal(a.target, b.target[:20])
    assert all(torch.allclose(a.features[m], b.features[m][:20], atol=1e-6) for m in a.modalities)


def test_splits_and_seeds_differ() -> None:
    data = draw_dataset(standard_law(), SMALL, 7)
    other = draw_dataset(standard_law(), SMALL, 8)
    test = data.splits["test"].features["audio"]
    assert not torch.equal(test, data.splits["train"].features["audio"][:6])
    assert not torch.equal(test, other.splits["test"].features["audio"])


def test_digest_changes_with_seed_sizes_and_law() -> None:
    law = standard_law()
    louder = replace(law, scatter=(0.5, 1.0, 2.5))
    wilder = replace(law, views={**law.views, "text": replace(law.views["text"], wobble=0.3)})
    made = [
        draw_dataset(law, SMALL, 7),
        draw_dataset(law, SMALL, 8),
        draw_dataset(law, SMALL | {"valid": 5}, 7),
        draw_dataset(louder, SMALL, 7),
        draw_dataset(wilder, SMALL, 7),
    ]
    assert len({data.digest for data in made}) == 5
    assert all(len(data.digest) == 64 for data in made)


def test_digest_survives_the_last_bit() -> None:
    law = standard_law()
    view = law.views["text"]
    views = {**law.views, "text": replace(view, nuisance=view.nuisance * (1 + 1e-15))}
    assert draw_dataset(replace(law, views=views), SMALL, 7).digest == draw_dataset(law, SMALL, 7).digest


def test_padding_is_exactly_zero_and_frames_are_not() -> None:
    split = draw_dataset(standard_law(), SMALL, 7).splits["train"]
    for modality, x in split.features.items():
        valid = valid_frames(split.lengths[modality], x.shape[1])
        assert torch.equal(x.ne(0).any(dim=2), valid)
        assert not torch.signbit(x[~valid]).any()


@pytest.mark.parametrize("modality", FRAMES)
def test_numbers_of_frames_are_uniform_over_their_range(modality: str) -> None:
    fewest, longest = FRAMES[modality]
    lengths = large().splits["train"].lengths[modality].numpy()
    assert (lengths.min(), lengths.max()) == (fewest, longest)
    kinds = longest - fewest + 1
    assert chi_square(np.bincount(lengths - fewest), np.full(kinds, 1 / kinds)) > 1e-3


def test_labels_lie_exactly_on_the_grid() -> None:
    target = large().splits["train"].target.numpy()
    assert set(target.tolist()) <= {float(np.float32(round(-3 + 0.2 * i, 1))) for i in range(31)}


def test_labels_follow_the_prior() -> None:
    s = np.arange(-15, 16) / 5
    bells = 0.48 * np.exp(-0.5 * ((s + 1.4) / 0.95) ** 2) / 0.95 + 0.52 * np.exp(-0.5 * ((s - 1.5) / 0.85) ** 2) / 0.85
    prior = (bells + 0.02) / (bells + 0.02).sum()
    np.testing.assert_allclose(standard_law().prior, prior, rtol=1e-12)
    assert np.sqrt(prior @ s**2 - (prior @ s) ** 2) == pytest.approx(1.62, abs=0.005)
    assert prior[15] == pytest.approx(0.025, abs=0.0005)
    counts = np.bincount(places(large().splits["train"].target), minlength=31)
    assert chi_square(counts, prior) > 1e-3


def test_reliability_follows_its_prior_independently_between_modalities() -> None:
    tau = large().reliability["train"]
    codes = [np.searchsorted([0.5, 1.0, 2.0], tau[m]) for m in FRAMES]
    p = np.array([0.3, 0.4, 0.3])
    joint = np.einsum("i,j,k->ijk", p, p, p).ravel()
    assert chi_square(np.bincount(codes[0] * 9 + codes[1] * 3 + codes[2], minlength=27), joint) > 1e-3


@pytest.mark.parametrize("modality", FRAMES)
def test_directions_are_orthonormal(modality: str) -> None:
    view = standard_law().views[modality]
    np.testing.assert_allclose(view.directions.T @ view.directions, np.eye(2), atol=1e-14)
    assert view.directions.shape == (WIDTHS[modality], 2)
    assert view.nuisance.shape == (WIDTHS[modality], 4)


def test_signals_are_those_of_the_docstring() -> None:
    law = standard_law()
    text, audio, vision = (law.views[m].signal for m in FRAMES)
    for signal, weight in ((text[:, 0], 0.42), (audio[:, 0], 0.11), (audio[:, 1], 0.45)):
        assert law.prior @ signal == pytest.approx(0, abs=1e-12)
        assert np.sqrt(law.prior @ signal**2) == pytest.approx(weight)
    np.testing.assert_allclose(np.diff(text[:, 0]), np.diff(text[:, 0])[0])
    np.testing.assert_allclose(np.diff(audio[:, 1])[:15], -np.diff(audio[:, 1])[15:][::-1], rtol=1e-9)
    np.testing.assert_allclose(vision[:, 0], 0.17 * np.tanh(2 * law.grid))
    assert not text[:, 1].any()
    assert not vision[:, 1].any()


def utterance_means(law: Law, modality: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Utterance means less V φ(s), what of their variance τ²/n explains, and the scatter of frames over τ."""
    data = large()
    split = data.splits["train"]
    tau = data.reliability["train"][modality]
    x = split.features[modality].double().numpy()
    n = split.lengths[modality].numpy()
    mean = x.sum(axis=1) / n[:, None]
    valid = np.arange(x.shape[1]) < n[:, None]
    scatter = (((x - mean[:, None]) ** 2).sum(axis=2) * valid).sum(axis=1) / ((n - 1) * x.shape[2]) / tau**2
    view = law.views[modality]
    return mean - view.signal[places(split.target)] @ view.directions.T, tau**2 / n, scatter


@pytest.mark.parametrize("modality", FRAMES)
def test_frames_have_the_moments_of_the_law(modality: str) -> None:
    law = standard_law()
    rest, explained, scatter = utterance_means(law, modality)
    assert scatter.mean() == pytest.approx(1, abs=0.005)
    covariance = law.views[modality].channel.covariance + np.eye(rest.shape[1]) * explained.mean()
    spread = np.sqrt(np.diag(covariance))
    # In units of its own spread, an entry of a mean has error 1/√N and of a covariance about 1/√N times a correlation.
    assert np.abs(rest.mean(axis=0) / spread).max() < 5 / np.sqrt(len(rest))
    error = (rest.T @ rest / len(rest) - covariance) / np.outer(spread, spread)
    assert np.abs(error).max() < 5 * np.sqrt(2 / len(rest))


def test_nuisance_is_independent_between_modalities() -> None:
    law = standard_law()
    rests = [utterance_means(law, m)[0] for m in ("text", "audio")]
    unit = [r / r.std(axis=0) for r in rests]
    assert np.abs(unit[0].T @ unit[1] / len(unit[0])).max() < 5 / np.sqrt(len(unit[0]))


def test_split_of_one_sample_is_refused() -> None:
    with pytest.raises(BenchError, match="at least 2 samples"):
        draw_dataset(standard_law(), SMALL | {"valid": 1}, 7)
