"""The Bayes-optimal predictor of a data set whose frames are linear and Gaussian given the label.

The label s has a known prior on a finite grid. Given s, frame t of a modality is

    x_t = μ(s) + c + τ e_t,    c ~ N(0, C) once per utterance,    e_t ~ N(0, I) per frame,

independently between modalities. Corruptions erase frames, independently of their values, and add Gaussian noise of
standard deviation λ σ_ref. The mean of the n remaining frames is then a sufficient statistic of a modality:

    x̄ ~ N(μ(s), C + (τ² + λ²σ_ref²) / n)        noise drawn independently for every frame
    x̄ ~ N(μ(s), C + τ² / n + λ²σ_ref²)          noise drawn once per utterance

and the posterior of s is a finite sum. The predictor knows λ and τ. Knowing τ gains next to nothing, because the
scatter of the frames reveals it. For every metric it returns the decision that is best in expectation, so a model can
do better only by chance.

Dimension legend: N samples, S points of the label grid, D features of a frame, K distinct pairs of τ and n.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.protocol.spec import Condition


@dataclass(frozen=True)
class Channel:
    """The distribution of one modality given the label, without the noise of single frames.

    Attributes:
        mean: μ(s), a row per point of the grid.
        covariance: C, the covariance of the random part that is constant over the utterance.
    """

    mean: Float[NDArray[np.float64], "S D"]
    covariance: Float[NDArray[np.float64], "D D"]


@dataclass(frozen=True)
class BayesOracle:
    """The posterior of the label given a corrupted sample, and the optimal decisions that follow from it.

    Attributes:
        grid: The possible labels, ascending.
        prior: Their probabilities.
        channels: The distribution of each modality given the label.
        scatter: τ of each sample [N], by split and modality.
        reference: σ_ref of each dimension [D], by modality.
    """

    grid: Float[NDArray[np.float64], " S"]
    prior: Float[NDArray[np.float64], " S"]
    channels: Mapping[str, Channel]
    scatter: Mapping[str, Mapping[str, NDArray[np.float64]]]
    reference: Mapping[str, NDArray[np.float64]]

    def covers(self, condition: Condition) -> bool:
        """Whether the posterior is exact: known kinds, one noise level for all samples, no noise on erased frames.

        A frame that was zeroed first and made noisy afterwards is no longer zero, so it cannot be recognised as erased.
        Applying one kind of noise twice is not covered either: corruptions share their draws, so the two need not be
        independent.
        """
        erased: set[str] = set()  # modalities
        noisy: set[tuple[str, str]] = set()  # kind and modality
        for step in condition.steps:
            kind = kind_named(step.kind)
            active = {m for m, level in step.levels.items() if np.any(np.asarray(level) > 0)}
            if kind.only_erases:
                erased |= active
            elif kind.adds_gaussian_noise:
                one_level = all(np.isscalar(level) for level in step.levels.values())
                repeated = noisy & {(step.kind, m) for m in active}
                if not one_level or repeated or active & erased:
                    return False
                noisy |= {(step.kind, m) for m in active}
            else:
                return False
        return True

    def predict(self, split: str, corrupted: Batch, condition: Condition) -> dict[str, NDArray[np.float64]]:
        """The optimal decision for every metric, and the posterior variance, for each sample of a whole split.

        `prediction` is the posterior mean, `prediction_mae` the median, `prediction_acc7` and `prediction_acc5` the
        centre of the most probable class, `prediction_acc2_*` and `prediction_f1_*` the more probable sign as ±1. In
        `has0` the label 0 counts as positive, in `non0` it is ignored. Correlation and F1 are not averages over
        samples, so for them the mean and the sign are only asymptotically optimal, in large splits.

        Raises:
            ValueError: The oracle does not cover the condition, or the batch is not the whole split.
        """
        posterior = self.posterior(split, corrupted, condition)
        mean = posterior @ self.grid  # (N,)
        at_least_half = np.cumsum(posterior, axis=1) >= 0.5  # (N, S)
        has0 = _probable_sign(posterior, self.grid >= 0, self.grid < 0)
        non0 = _probable_sign(posterior, self.grid > 0, self.grid < 0)
        return {
            "prediction": mean,
            "prediction_mae": self.grid[np.argmax(at_least_half, axis=1)],
            "prediction_acc7": _probable_class(posterior, self.grid, 3),
            "prediction_acc5": _probable_class(posterior, self.grid, 2),
            "prediction_acc2_has0": has0,
            "prediction_f1_has0": has0,
            "prediction_acc2_non0": non0,
            "prediction_f1_non0": non0,
            "variance": ((self.grid - mean[:, None]) ** 2 * posterior).sum(axis=1),
        }

    def posterior(self, split: str, corrupted: Batch, condition: Condition) -> Float[NDArray[np.float64], "N S"]:
        """Probability of every point of the grid, for each sample of a whole split.

        Raises:
            ValueError: The oracle does not cover the condition, or the batch is not the whole split.
        """
        if not self.covers(condition):
            raise ValueError(
                f"expected a condition that the oracle covers, got {condition.name!r}; check it with covers() first"
            )
        score = np.log(self.prior) + np.zeros((corrupted.size, 1))  # (N, S)
        for modality, channel in self.channels.items():
            tau = self.scatter[split][modality]
            if len(tau) != corrupted.size:
                raise ValueError(f"expected all {len(tau)} samples of {split!r}, got {corrupted.size}; pass them all")
            mean, count = _kept_frames(corrupted, modality)
            present = np.flatnonzero(count)  # a modality without frames says nothing about the label
            variance = self.reference[modality] ** 2  # σ_ref², (D,)
            score[present] += _log_likelihood(
                channel,
                mean[present],
                count[present],
                tau[present],
                _noise_variance(condition, "frame", modality) * variance,
                _noise_variance(condition, "utterance", modality) * variance,
            )
        # Subtracting the maximum keeps the exponential from overflowing.
        weight = np.exp(score - score.max(axis=1, keepdims=True))  # (N, S)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _kept_frames(batch: Batch, modality: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean (N, D) and number (N) of the frames that are valid and not exactly zero."""
    x = batch.features[modality].detach().cpu().numpy()  # (N, T, D)
    kept = x.any(axis=2) & batch.mask(modality).cpu().numpy()  # (N, T)
    count = kept.sum(axis=1)  # (N,)
    total = np.einsum("nt,ntd->nd", kept.astype(np.float64), x.astype(np.float64))
    return total / np.maximum(count, 1)[:, None], count


def _noise_variance(condition: Condition, per: Literal["frame", "utterance"], modality: str) -> float:
    """Variance λ² of the modality's noise of one kind of draw, in units of σ_ref²; 0 without such noise."""
    variance = 0.0
    for step in condition.steps:
        noise = kind_named(step.kind).noise
        if noise is not None and noise.per == per:
            variance += float(step.levels.get(modality, 0.0)) ** 2
    return variance


def _log_likelihood(
    channel: Channel,
    mean: Float[NDArray[np.float64], "N D"],
    count: Int[NDArray[np.int64], " N"],
    tau: Float[NDArray[np.float64], " N"],
    frame_noise: Float[NDArray[np.float64], " D"],
    utterance_noise: Float[NDArray[np.float64], " D"],
) -> Float[NDArray[np.float64], "N S"]:
    """The logarithm of N(x̄; μ(s), Σ) for every s, up to a constant per sample: μᵀΣ⁻¹x̄ − ½ μᵀΣ⁻¹μ.

    Samples with the same τ and n have the same Σ, so one linear system is solved for each distinct pair.
    `mean`, `count` and `tau` are x̄, n and τ; `frame_noise` and `utterance_noise` are variances.
    """
    pairs, pair_of_sample = np.unique(np.stack([tau, count], axis=1), axis=0, return_inverse=True)  # (K, 2), (N,)
    pair_of_sample = pair_of_sample.reshape(-1)  # only NumPy 2.0 returns a second axis
    diagonal = (pairs[:, :1] ** 2 + frame_noise) / pairs[:, 1:] + utterance_noise  # (K, D)
    sigma = channel.covariance + diagonal[:, :, None] * np.eye(diagonal.shape[1])  # (K, D, D)
    gain = np.linalg.solve(sigma, channel.mean.T)  # Σ⁻¹μ, (K, D, S)
    offset = 0.5 * np.einsum("sd,kds->ks", channel.mean, gain)  # (K, S)
    return np.asarray((mean[:, None, :] @ gain[pair_of_sample])[:, 0] - offset[pair_of_sample])  # (N, S)


def _probable_class(
    posterior: Float[NDArray[np.float64], "N S"], grid: Float[NDArray[np.float64], " S"], limit: int
) -> Float[NDArray[np.float64], " N"]:
    """The integer from -limit to limit whose class (clipped, rounded half to even) is the most probable."""
    centres = np.arange(-limit, limit + 1.0)  # (classes,)
    member = np.round(np.clip(grid, -limit, limit))[:, None] == centres  # (S, classes)
    return np.asarray(centres[np.argmax(posterior @ member, axis=1)])


def _probable_sign(
    posterior: Float[NDArray[np.float64], "N S"], positive: NDArray[np.bool_], negative: NDArray[np.bool_]
) -> Float[NDArray[np.float64], " N"]:
    """+1 if the positive labels are at least as probable as the negative ones, otherwise -1."""
    return np.where(posterior @ positive >= posterior @ negative, 1.0, -1.0)
