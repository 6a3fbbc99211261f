"""Measured means, their noise, and discriminant directions, against NumPy and constructed samples."""

import numpy as np
import pytest
import torch
from tinydata import make_dataset
from torch import Tensor

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.nn.anchors import shares
from qamoe_bench.nn.discriminant import LabelPlaces, discriminant_start, fit_directions, whitening_of
from qamoe_bench.nn.measured import FrameMeasure, MeasuredMean, frame_moments

D = 6


def spec_of(x: Tensor) -> DataSpec:
    frames = x.float().flatten(0, 1)
    std = torch.where(frames.std(0) > 0, frames.std(0), 1.0)
    mean = frames.mean(0)
    return DataSpec("made", {"text": D}, {"text": x.shape[1]}, {"text": mean}, {"text": std}, (-3, 3), 0, 1)


def utterances(samples: int, frames: int = 8, seed: int = 0) -> Batch:
    """Means with deviations from .05 to 2 by dimension and frames that scatter by .5 around them."""
    random = np.random.default_rng(seed)
    means = random.standard_normal((samples, 1, D)) * np.geomspace(0.05, 2, D)
    x = means + 0.5 * random.standard_normal((samples, frames, D)) + 10
    return Batch({"text": torch.tensor(x, dtype=torch.float32)}, {"text": torch.full((samples,), frames)})


def prepared(batch: Batch, *, shared_noise: bool = True) -> FrameMeasure:
    measure = FrameMeasure("text", spec_of(batch.features["text"]), shared_noise=shared_noise)
    measure.prepare(batch)
    return measure


def test_moments_are_those_of_the_observed_frames() -> None:
    x = torch.randn(3, 5, 2) + 100
    observed = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    actual = frame_moments(x.masked_fill(~observed[..., None], float("nan")), observed)
    kept = x[0, [0, 1, 3]].double().numpy()
    np.testing.assert_allclose(actual.mean[0], kept.mean(0), rtol=1e-6)
    np.testing.assert_allclose(actual.variance[0], kept.var(0, ddof=1), rtol=1e-4)
    torch.testing.assert_close(actual.mean[1], x[1, 1])
    assert (actual.variance[1:] == 0).all()
    assert (actual.mean[2] == 0).all()
    assert actual.count.flatten().tolist() == [3, 1, 0]


def test_the_noise_of_a_mean_is_the_scatter_over_the_number_of_frames() -> None:
    batch = utterances(300)
    measure = prepared(batch, shared_noise=False)
    measured = measure(batch)
    x = batch.features["text"]
    torch.testing.assert_close(measured.noise, x.var(1) / 8 / x.mean(1).var(0, correction=0), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(measured.mean.mean(0), torch.zeros(D), atol=1e-4, rtol=0)
    torch.testing.assert_close(measured.mean.std(0, correction=0), torch.ones(D))


def test_one_frame_has_the_average_scatter_of_the_training_samples() -> None:
    batch = utterances(50)
    measure = prepared(batch, shared_noise=False)
    single = Batch({"text": batch.features["text"][:, :1]}, {"text": torch.ones(50, dtype=torch.long)})
    average = batch.features["text"].var(1).mean(0) / batch.features["text"].mean(1).var(0, correction=0)
    torch.testing.assert_close(measure(single).noise, average.expand(50, D), rtol=1e-3, atol=1e-6)


def test_where_every_sample_has_one_frame_no_scatter_is_known() -> None:
    batch = utterances(50, frames=1)
    assert (prepared(batch, shared_noise=False)(batch).noise == 0).all()


@pytest.mark.parametrize("frames", [1, 8])
def test_noise_that_all_frames_share_is_measured_too(frames: int) -> None:
    batch = utterances(400, frames)
    measure = prepared(batch)
    held_out = utterances(400, frames, seed=1)
    offset = 3 * torch.randn(400, 1, D) * measure.reference
    noisy = Batch({"text": held_out.features["text"] + offset}, held_out.lengths)
    without = prepared(batch, shared_noise=False)
    clean_extra = measure(held_out).noise - without(held_out).noise
    noisy_extra = measure(noisy).noise - without(noisy).noise
    expected = (3 * measure.reference / measure.scale) ** 2
    assert (clean_extra.mean(0) < 0.05 * expected).all()
    torch.testing.assert_close(noisy_extra.mean(0), expected, rtol=0.25, atol=0)


def test_preparing_takes_half_precision_and_dimensions_without_variance() -> None:
    batch = utterances(50)
    x = batch.features["text"].clone()
    x[..., 2] = 7
    measure = prepared(Batch({"text": x.half()}, batch.lengths))
    assert measure.scale[2] == measure.reference[2]
    assert all(buffer.isfinite().all() for buffer in measure.buffers())


def measured_line(samples: int, seed: int = 0) -> tuple[MeasuredMean, LabelPlaces]:
    """Means that depend on y along dimension 1 and on |y| along dimension 4, in correlated noise."""
    random = torch.Generator().manual_seed(seed)
    y = 6 * torch.rand(samples, generator=random) - 3
    noise = torch.randn(samples, D, generator=random) @ torch.linspace(0.3, 1, D * D).reshape(D, D)
    x = torch.randn(samples, D, generator=random) + noise
    x[:, 1] += 2 * y
    x[:, 4] += 3 * y.abs()
    anchors = torch.linspace(-3, 3, 31)
    knots = torch.linspace(-3, 3, 5)
    labels = LabelPlaces(shares(y, knots), shares(y, anchors), shares(anchors, knots))
    return MeasuredMean(x - x.mean(0), torch.zeros(samples, D), torch.ones(samples, 1)), labels


def test_whitened_means_are_white_and_constant_dimensions_get_no_weight() -> None:
    x = measured_line(500)[0].mean.clone()
    x[:, 3] = 0
    whitening = whitening_of(x, 0.0)
    covariance = torch.cov((x.double() @ whitening.T).T, correction=0)
    expected = torch.eye(D, dtype=torch.float64)
    expected[0, 0] = 0  # eigenvalues are ascending, so the constant direction is the first
    torch.testing.assert_close(covariance, expected, atol=1e-6, rtol=0)
    assert whitening[:, 3].abs().max() < 1e-12


def test_without_rotation_each_dimension_is_standardised() -> None:
    x = measured_line(500)[0].mean
    whitening = whitening_of(x, 0.0, rotate=False)
    assert ((whitening != 0).sum(0) == 1).all()
    torch.testing.assert_close(whitening.sum(0), 1 / x.double().std(0, correction=0))


def test_directions_are_those_that_regression_of_the_label_finds() -> None:
    """Along them, functions of the label are predicted as well as from all dimensions."""
    measured, labels = measured_line(4000)
    start = discriminant_start(measured, labels, 2)
    z = measured.mean.double() @ (start.projection @ start.whitening).T
    for function in (labels.hinges[:, 4] - labels.hinges[:, 0], labels.hinges[:, 0] + labels.hinges[:, 4]):
        target = (function - function.mean()).double()[:, None]
        all_of_it = residual(measured.mean.double(), target)
        assert residual(z, target) < 1.02 * all_of_it
    torch.testing.assert_close(start.projection @ start.projection.T, torch.eye(2, dtype=torch.float64))


def residual(x: Tensor, target: Tensor) -> float:
    return float((target - x @ torch.linalg.lstsq(x, target).solution).square().mean())


def test_the_spread_leaves_out_the_measured_noise() -> None:
    measured, labels = measured_line(4000)
    noisy = MeasuredMean(measured.mean, torch.full((4000, D), 0.05), measured.observed)
    whitening = whitening_of(measured.mean, 0.0)
    without = fit_directions(measured, labels.rows(torch.ones(4000, dtype=torch.bool)), 2, whitening)
    actual = fit_directions(noisy, labels.rows(torch.ones(4000, dtype=torch.bool)), 2, whitening)
    noise = 0.05 * (without.projection @ whitening).square().sum(1)
    torch.testing.assert_close(actual.spread, without.spread - noise)


def test_shrinkage_is_for_few_samples_of_many_dimensions() -> None:
    random = torch.Generator().manual_seed(3)
    y = 6 * torch.rand(120, generator=random) - 3
    x = torch.randn(120, 100, generator=random)
    x[:, 0] += 0.5 * y
    knots, anchors = torch.linspace(-3, 3, 5), torch.linspace(-3, 3, 31)
    labels = LabelPlaces(shares(y, knots), shares(y, anchors), shares(anchors, knots))
    wide = MeasuredMean(x - x.mean(0), torch.zeros(120, 100), torch.ones(120, 1))
    assert whitening_differs(discriminant_start(wide, labels, 2).whitening, whitening_of(wide.mean, 0.0))
    narrow, labels = measured_line(4000)
    assert not whitening_differs(discriminant_start(narrow, labels, 2).whitening, whitening_of(narrow.mean, 0.0))


def whitening_differs(a: Tensor, b: Tensor) -> bool:
    return not torch.allclose(a.norm(dim=1), b.norm(dim=1), rtol=0.01)


def test_a_modality_that_some_samples_lack_is_measured_on_the_others() -> None:
    split = make_dataset().splits["train"]
    x = split.features["text"].clone()
    x[::2] = 0
    batch = Batch({"text": x}, split.lengths)
    measure = FrameMeasure("text", make_dataset().spec)
    half = FrameMeasure("text", make_dataset().spec)
    measured = measure.prepare(batch)
    half.prepare(Batch({"text": x[1::2]}, {"text": split.lengths["text"][1::2]}))
    assert measured.observed.flatten().tolist() == [0.0, 1.0] * 20
    for name, buffer in measure.named_buffers():
        torch.testing.assert_close(buffer, half.get_buffer(name))
