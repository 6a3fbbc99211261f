"""Discriminant directions of a numeric label: the few directions of utterance means in which the label shows most.

Means x are whitened by their total covariance, shrunk towards the identity: S = (1 − a)·cov(x) + a·I, W = S^(−½). The
label enters as hinges h(y), piecewise linear between knots, so that a position C h(y) may be any such function. C is
fitted to the whitened means by least squares; the leading right singular vectors of cov(h)^½ C are the directions. They
are Fisher's: what maximises between over total variance maximises between over within variance. Classes are knots too,
each h(y) one at a class, so that C holds their means.

a is the one of `SHRINKAGES` under which held-out labels are most probable, in cross-validation over contiguous blocks,
because neighbouring samples are often of one video. The embedded data need none, the wide features of MOSI much.

Dimension legend: N samples, D feature width, H knots, A anchors, K directions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qamoe_bench.nn.measured import MeasuredMean, covariance

SHRINKAGES = (0.0, 0.3, 0.6, 0.9)
FOLDS = 5
LEAST_VARIANCE = 1e-6
"""Of a direction, relative to the average one; below it a direction is constant and gets no weight."""
LEAST_SPREAD = 0.1
"""Of s², relative to the residual variance, which contains the noise of clean means as well."""
PRIOR_SAMPLES = 0.1
"""Mass that is added to that of the labels, in labels, and spread evenly over the anchors."""


class LabelPlaces(NamedTuple):
    """Labels of samples, as hinges and as mass at anchors.

    Attributes:
        hinges: h(y) of each label.
        mass: Share of each anchor in each label.
        at: h of each anchor.
    """

    hinges: Float[Tensor, "N H"]
    mass: Float[Tensor, "N A"]
    at: Float[Tensor, "A H"]

    def rows(self, rows: Bool[Tensor, " N"]) -> "LabelPlaces":
        """Some of the labels, in float64."""
        return LabelPlaces(self.hinges[rows].double(), self.mass[rows].double(), self.at.double())


@dataclass(frozen=True)
class Directions:
    """Directions with the label's position along them.

    Attributes:
        whitening: W; rows of constant directions are zero.
        projection: Orthonormal rows, to be applied after W.
        prototypes: C h at each knot.
        spread: s², the variance around it without the noise of frames.
    """

    whitening: Float[Tensor, "D D"]
    projection: Float[Tensor, "K D"]
    prototypes: Float[Tensor, "H K"]
    spread: Float[Tensor, " K"]


def discriminant_start(measured: MeasuredMean, labels: LabelPlaces, count: int, *, rotate: bool = True) -> Directions:
    """The leading `count` directions of clean samples, in float64, with the shrinkage that fits them.

    Args:
        measured: Samples in the order of the data, at least two of which have the modality.
        labels: Their labels.
        count: K, at most D and at most H − 1.
        rotate: False to standardise each dimension instead of whitening.
    """
    present = measured.observed[:, 0] > 0
    kept = _rows_of(measured, present)
    places = labels.rows(present)
    fold = torch.arange(len(kept.mean), device=kept.mean.device) * FOLDS // len(kept.mean)
    # Too few samples to hold some out are too few for any covariance.
    best = SHRINKAGES[-1]
    if len(fold) >= 2 * FOLDS:
        losses = {a: _held_out_loss(kept, places, count, a, fold, rotate) for a in SHRINKAGES}
        best = min(losses, key=losses.__getitem__)
    return fit_directions(kept, places, count, whitening_of(kept.mean, best, rotate=rotate))


def whitening_of(x: Float[Tensor, "N D"], shrinkage: float, *, rotate: bool = True) -> Float[Tensor, "D D"]:
    """W; without rotation only the standardisation of each dimension."""
    total = covariance(x)
    variance, axes = torch.linalg.eigh(total if rotate else total.diagonal().diag())
    is_constant = variance <= LEAST_VARIANCE * variance.mean()
    shrunk = (1 - shrinkage) * variance + shrinkage
    gain = torch.where(is_constant, 0.0, shrunk.clamp(min=1e-30).rsqrt())  # the clamp is for the branch not taken
    whitening: Tensor = gain[:, None] * axes.T
    return whitening


def fit_directions(
    measured: MeasuredMean, labels: LabelPlaces, count: int, whitening: Float[Tensor, "D D"]
) -> Directions:
    """The leading directions of samples all of which have the modality; `labels` in float64."""
    h = labels.hinges
    x = measured.mean.double() @ whitening.T  # (N, D)
    # A small ridge, because a knot may have no label near it.
    gram = h.T @ h + 1e-6 * len(h) * torch.eye(h.shape[1], dtype=h.dtype, device=h.device)
    coefficients = torch.linalg.solve(gram, h.T @ x)  # C, (H, D)
    variance, axes = torch.linalg.eigh(covariance(h))
    root = variance.clamp(min=0).sqrt()[:, None] * axes.T  # cov(h)^½ up to a rotation, (H, H)
    projection = _signed(torch.linalg.svd(root @ coefficients, full_matrices=False).Vh[:count])
    total = ((x - h @ coefficients) @ projection.T).square().mean(0)  # (K,)
    noise = _noise_along(measured, projection @ whitening).mean(0)
    spread = torch.maximum(total - noise, LEAST_SPREAD * total).clamp(min=1e-2)
    return Directions(whitening, projection, coefficients @ projection.T, spread)


def prior_of(mass: Float[Tensor, "N A"]) -> Float[Tensor, " A"]:
    """Logarithm of the labels' average mass, with a little at every anchor; not normalised."""
    return (mass.sum(0) + PRIOR_SAMPLES).log() - mass.sum().log()


def _held_out_loss(
    measured: MeasuredMean,
    labels: LabelPlaces,
    count: int,
    shrinkage: float,
    fold: Float[Tensor, " N"] | Tensor,
    rotate: bool,
) -> float:
    """Cross-entropy of held-out labels with the posterior of this modality alone, summed over samples."""
    total = 0.0
    for index in range(FOLDS):
        fitted_on = _rows_of(measured, fold != index)
        whitening = whitening_of(fitted_on.mean, shrinkage, rotate=rotate)
        fit = fit_directions(fitted_on, labels.rows(fold != index), count, whitening)
        posterior = _log_posterior(fit, _rows_of(measured, fold == index), labels, fold != index)
        total -= float((labels.mass[fold == index] * posterior).sum())
    return total


def _log_posterior(
    fit: Directions, measured: MeasuredMean, labels: LabelPlaces, seen: Bool[Tensor, " N"]
) -> Float[Tensor, "M A"]:
    """The logarithm of p for other samples, with r = 1 / (1 + mean σ²) as the model has it."""
    directions = fit.projection @ fit.whitening  # (K, D)
    position = measured.mean.double() @ directions.T  # (M, K)
    r = 1 / (1 + (_noise_along(measured, directions) / fit.spread).mean(1, keepdim=True))
    t = labels.at @ fit.prototypes  # (A, K)
    evidence = position @ (t / fit.spread).T - (0.5 * t**2 / fit.spread).sum(1)
    return (prior_of(labels.mass[seen]) + r * evidence).log_softmax(1)


def _noise_along(measured: MeasuredMean, directions: Float[Tensor, "K D"]) -> Float[Tensor, "N K"]:
    """Noise variance along directions, as dimensions are noisy independently."""
    return measured.noise.double() @ directions.square().T


def _rows_of(measured: MeasuredMean, rows: Bool[Tensor, " N"]) -> MeasuredMean:
    return MeasuredMean(measured.mean[rows], measured.noise[rows], measured.observed[rows])


def _signed(rows: Float[Tensor, "K D"]) -> Float[Tensor, "K D"]:
    """Rows with their largest entry positive, since singular vectors have no sign of their own."""
    largest = rows.abs().argmax(1, keepdim=True)
    return torch.where(rows.gather(1, largest) < 0, -rows, rows)
