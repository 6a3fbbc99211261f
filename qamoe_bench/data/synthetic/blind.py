"""The best predictor without any sign of quality: what a model loses that cannot tell a good sample from a bad one.

It knows the law and the conditions of a protocol, each of which is equally likely. Of a sample it sees which modalities
are present, and of each the projections of the mean frame x̄ that depend on the label,

    z = Aᵀ x̄,    A = Σ̄⁻¹ B

where the columns of B span the differences of μ(s), and Σ̄ is the covariance of x̄ given the label, on average over all
conditions: Fisher's linear discriminants. It sees neither the scatter of frames nor their number, nor the rest of x̄,
which would show noise that is constant over the utterance. Its posterior sums over the noise and the number of frames
with the probabilities that these have under the protocol,

    p(s | z) ∝ p(s) Σ_c Π_m Σ_h p(h | c) N(z; Aᵀ μ(s), Aᵀ Σ_h A)

so it is the best answer given z: a z far from all expected ones may still say that a sample is noisy.

Dimension legend: N samples, S points of the label grid, D features of a frame, K projections, H hypotheses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.data.synthetic.hypotheses import (
    PosteriorOfFrames,
    Values,
    covariance_of_mean,
    hypotheses,
    kept_frames,
    log_mixture,
)
from qamoe_bench.data.synthetic.oracle import Channel

_AT_ONCE = 256
"""Samples whose densities are in memory together."""
_RANK_TOLERANCE = 1e-6
"""Directions of μ(s) that are smaller than this share of the largest are rounding errors."""


class _Mixture(NamedTuple):
    """The distribution of z of one modality given the label, under one condition.

    Attributes:
        weight: Probability of each hypothesis about noise and number of frames.
        root: A square root R of each precision, so that Rᵀ (z − E z) is standard normal.
        log_scale: Logarithm of the determinant of R.
    """

    weight: Float[Values, " H"]
    root: Float[Values, "H K K"]
    log_scale: Float[Values, " H"]


@dataclass(frozen=True)
class BlindOracle(PosteriorOfFrames):
    """The posterior of the label given the projections alone, and the optimal decisions that follow from it.

    Attributes:
        counts: By condition and modality, the number of frames that are left of each sample: their distribution.
    """

    counts: Sequence[Mapping[str, Int[NDArray[np.int64], " N"]]]

    def log_joint(self, corrupted: Batch) -> Float[Values, "N S"]:
        """The logarithm of p(s, z) for every point s of the grid, up to a constant per sample."""
        joint = np.log(self.oracle.prior) + np.zeros((len(self.conditions), corrupted.size, 1))  # (C, N, S)
        for modality, channel in self.oracle.channels.items():
            frames = kept_frames(corrupted, modality)
            present = np.flatnonzero(frames.number)
            z = frames.mean[present] @ self._projections[modality]  # (N, K)
            centre = channel.mean @ self._projections[modality]  # (S, K)
            for index, mixture in enumerate(self._mixtures[modality]):
                joint[index, present] += _log_density(z, centre, mixture)
        return log_mixture([*joint], [1.0] * len(joint))

    @cached_property
    def _hypotheses(self) -> dict[str, list[tuple[Float[Values, " H"], Float[Values, "H D D"]]]]:
        """By modality and condition, the probability of each hypothesis and the covariance of x̄ given the label."""
        return {modality: self._of_modality(modality) for modality in self.oracle.channels}

    def _of_modality(self, modality: str) -> list[tuple[Float[Values, " H"], Float[Values, "H D D"]]]:
        channel = self.oracle.channels[modality]
        by_condition = []
        for condition, counts in zip(self.conditions, self.counts, strict=True):
            left = counts[modality]
            # Of a modality that is missing from every sample nothing is ever seen.
            values, times = np.unique(left[left > 0] if left.any() else np.ones(1, np.int64), return_counts=True)
            weights, covariances = [], []
            for noise, probability in hypotheses(self.oracle, condition, modality).items():
                for n, share in zip(values, times / times.sum(), strict=True):
                    weights.append(probability * share)
                    covariances.append(covariance_of_mean(channel, noise, int(n), self.oracle.reference[modality]))
            by_condition.append((np.array(weights), np.stack(covariances)))
        return by_condition

    @cached_property
    def _projections(self) -> dict[str, Float[Values, "D K"]]:
        """A of each modality."""
        projections: dict[str, Values] = {}
        for modality, channel in self.oracle.channels.items():
            by_condition = [np.tensordot(weight, sigma, axes=1) for weight, sigma in self._hypotheses[modality]]
            average = np.mean(by_condition, axis=0)  # Σ̄
            directions = np.linalg.solve(average, signal_directions(channel, self.oracle.prior))
            projections[modality] = np.asarray(directions, np.float64)
        return projections

    @cached_property
    def _mixtures(self) -> dict[str, list[_Mixture]]:
        """By modality and condition."""
        mixtures = {}
        for modality, a in self._projections.items():
            mixtures[modality] = [_projected(a, *hypotheses) for hypotheses in self._hypotheses[modality]]
        return mixtures


def signal_directions(channel: Channel, prior: Float[Values, " S"]) -> Float[Values, "D K"]:
    """B, an orthonormal basis of the differences between the means of labels."""
    centred = channel.mean - prior @ channel.mean  # (S, D)
    _, size, directions = np.linalg.svd(np.sqrt(prior)[:, None] * centred, full_matrices=False)
    return np.asarray(directions[size > _RANK_TOLERANCE * max(size[0], _RANK_TOLERANCE)].T)


def _projected(a: Float[Values, "D K"], weight: Float[Values, " H"], sigma: Float[Values, "H D D"]) -> _Mixture:
    root = np.linalg.cholesky(np.linalg.inv(a.T @ sigma @ a))  # lower triangular
    return _Mixture(weight, root, np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1))


def _log_density(z: Float[Values, "N K"], centre: Float[Values, "S K"], mixture: _Mixture) -> Float[Values, "N S"]:
    """The logarithm of the density of z for every sample and label, up to a constant."""
    parts = []
    for start in range(0, len(z), _AT_ONCE):
        deviation = z[start : start + _AT_ONCE, None, :] - centre  # (n, S, K)
        exponent = mixture.log_scale  # (n, S, H) after the first step
        for k in range(z.shape[1]):  # one or two, so that a sum over an axis would be slower
            exponent = exponent - 0.5 * (deviation @ mixture.root[:, :, k].T) ** 2
        highest = exponent.max(axis=2)
        parts.append(highest + np.log(np.exp(exponent - highest[..., None]) @ mixture.weight))
    return np.concatenate(parts) if parts else np.empty((0, len(centre)))
