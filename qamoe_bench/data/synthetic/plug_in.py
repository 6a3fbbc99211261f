"""The oracle with the law's parameters estimated from training samples: what so many samples allow at best.

The family is known: that frames are Gaussian, which shapes of the label the means of modalities are made of (for
sentiment 1, s, |s| and tanh 2s), and that each modality has at most two directions of them. Of each modality, the
coefficients of the shapes and the covariance C are estimated from clean frames and labels, as a model could do it; the
prior is that of the labels, smoothed. Predictions are then those of the oracle, which is told the noise.

The mean frame of training sample i with n_i frames is x̄_i ~ N(Bᵀ f(s_i), C + w_i I). Here w_i = τ_i² / n_i is known
from the scatter of its frames, so that both estimates are maximum likelihood, by the EM algorithm: along the
eigenvectors of C everything is independent, and the coefficients are weighted least squares in each of them.

Dimension legend: N samples, S points of the label grid, D features of a frame, Q shapes.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.data.dataset import Split
from qamoe_bench.data.synthetic.hypotheses import KeptFrames, Values, kept_frames
from qamoe_bench.data.synthetic.oracle import BayesOracle, Channel

DIRECTIONS = 2
"""Directions of a modality that depend on the label."""

_STEPS = 60  # of the EM algorithm; its likelihood then changes in the fifth digit
_RANK_TOLERANCE = 1e-6
_SMALLEST_SHARE = 1e-3  # of the average variance, that a direction starts with: from 0, EM cannot leave


def plug_in(oracle: BayesOracle, training: Split) -> BayesOracle:
    """The oracle with prior and channels that are estimated from a training split.

    Args:
        oracle: Supplies the grid, the shapes, and what the oracle is told of the samples.
        training: Clean samples of the law, all or some of the training split.
    """
    place = np.abs(training.target.double().numpy()[:, None] - oracle.grid).argmin(axis=1)  # on the grid, (N,)
    prior = _smoothed_shares(place, len(oracle.grid))
    shapes = _shapes(oracle)  # (S, Q)
    channels = {}
    batch = training.batch()
    for modality in oracle.channels:
        channels[modality] = _estimated_channel(kept_frames(batch, modality), place, shapes, prior)
    return replace(oracle, prior=prior, channels=channels)


def _smoothed_shares(place: NDArray[np.int64], points: int) -> Float[Values, " S"]:
    """Shares of the labels, with one more sample of each so that none is impossible."""
    counts = np.bincount(place, minlength=points) + 1.0
    return np.asarray(counts / counts.sum())


def _shapes(oracle: BayesOracle) -> Float[Values, "S Q"]:
    """An orthonormal basis of the functions of the label that means are made of, the constant included."""
    columns = [np.ones((len(oracle.grid), 1)), *(channel.mean for channel in oracle.channels.values())]
    basis, size, _ = np.linalg.svd(np.concatenate(columns, axis=1), full_matrices=False)
    return np.asarray(basis[:, size > _RANK_TOLERANCE * size[0]])


def _estimated_channel(
    frames: KeptFrames, place: NDArray[np.int64], shapes: Float[Values, "S Q"], prior: Float[Values, " S"]
) -> Channel:
    """Maximum likelihood of the means and the covariance of one modality, then the means in few directions."""
    present = frames.number > 0
    mean = frames.mean[present]
    noise = _noise_of_means(frames)[present]  # w, (N,)
    design = shapes[place[present]]  # f(s), (N, Q)
    coefficients = np.linalg.lstsq(design, mean, rcond=None)[0]  # B, (Q, D)
    covariance = _started(mean - design @ coefficients, noise)
    for _ in range(_STEPS):
        variance, axes = np.linalg.eigh(covariance)
        total = variance + noise[:, None]  # (N, D), of each sample along each axis
        coefficients = _weighted_least_squares(design, mean @ axes, 1 / total)  # along the axes
        share = variance / total
        expected = share * (mean @ axes - design @ coefficients)
        spread = expected.T @ expected / len(mean) + np.diag((share * noise[:, None]).mean(axis=0))
        covariance = axes @ spread @ axes.T
        coefficients = coefficients @ axes.T
    within = covariance + noise.mean() * np.eye(len(covariance))
    return Channel(_in_few_directions(shapes @ coefficients, within, prior), covariance)


def _noise_of_means(frames: KeptFrames) -> Float[Values, " N"]:
    """w, the variance per dimension that the scatter of frames gives to their mean."""
    freedom = (frames.number - 1) * frames.mean.shape[1]  # 0 for a single frame
    scatter = frames.scatter.sum(axis=1)
    average = scatter.sum() / max(freedom[frames.number > 0].sum(), 1)
    square = np.where(freedom > 0, scatter / np.maximum(freedom, 1), average)  # τ²
    return np.asarray(square / np.maximum(frames.number, 1))


def _started(residual: Float[Values, "N D"], noise: Float[Values, " N"]) -> Float[Values, "D D"]:
    """The covariance of residuals without the average noise, with positive variance in every direction."""
    variance, axes = np.linalg.eigh(residual.T @ residual / len(residual) - noise.mean() * np.eye(residual.shape[1]))
    floor = _SMALLEST_SHARE * (np.maximum(variance, 0).mean() + noise.mean())
    return np.asarray((axes * np.maximum(variance, floor)) @ axes.T)


def _weighted_least_squares(
    design: Float[Values, "N Q"], values: Float[Values, "N D"], weight: Float[Values, "N D"]
) -> Float[Values, "Q D"]:
    """The coefficients of each column of values, whose samples have weights of their own."""
    normal = np.einsum("nq,nd,np->dqp", design, weight, design, optimize=True)
    right = np.einsum("nq,nd->dq", design, weight * values)
    # A pseudo-inverse, because few samples may lack some labels.
    return np.asarray((np.linalg.pinv(normal, hermitian=True) @ right[..., None])[..., 0].T)


def _in_few_directions(
    means: Float[Values, "S D"], within: Float[Values, "D D"], prior: Float[Values, " S"]
) -> Float[Values, "S D"]:
    """The means of labels, of whose differences only the most discriminant directions are kept."""
    variance, axes = np.linalg.eigh(within)
    centre = prior @ means
    whitened = (means - centre) @ axes / np.sqrt(variance)
    directions = np.linalg.svd(np.sqrt(prior)[:, None] * whitened, full_matrices=False)[2][:DIRECTIONS]
    kept = whitened @ directions.T @ directions
    return np.asarray(centre + kept * np.sqrt(variance) @ axes.T)
