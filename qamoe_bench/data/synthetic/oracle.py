"""The Bayes-optimal predictor of a data set whose frames are linear and Gaussian given the label.

The label s has a known prior on a finite grid. Given s, frame t of a modality is

    x_t = μ(s) + c + τ e_t,    c ~ N(0, C) once per utterance,    e_t ~ N(0, I) per frame,

independently between modalities. Corruption takes frames away, blindly, and adds Gaussian noise of standard deviation
λ σ_ref. The mean of the n frames that are left is then all that matters of a modality:

    x̄ ~ N(μ(s), C + (τ² + λ²σ_ref²) / n)        noise drawn anew for every frame
    x̄ ~ N(μ(s), C + τ² / n + λ²σ_ref²)          noise drawn once per utterance

and the posterior of s is a finite sum. The predictor is told λ, and it is told τ, which gains next to nothing: the
scatter of the frames shows it. For every metric it gives the decision that is best in expectation, so no model can do
better other than by luck.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.spec import Condition


@dataclass(frozen=True)
class Channel:
    """What one modality shows of the label, apart from the noise of single frames.

    Attributes:
        mean: μ(s), a row per point of the grid.
        covariance: C, of the part that is random but constant over the utterance.
    """

    mean: Float[NDArray[np.float64], "S D"]
    covariance: Float[NDArray[np.float64], "D D"]


@dataclass(frozen=True)
class BayesOracle:
    """The posterior of the label given a corrupted sample, and the best decisions that follow from it.

    Attributes:
        grid: The labels that occur, rising.
        prior: Their probabilities.
        channels: Per modality, how the label shows.
        scatter: Per split and modality, τ of each sample.
        reference: Per modality, σ_ref of each dimension.
    """

    grid: Float[NDArray[np.float64], " S"]
    prior: Float[NDArray[np.float64], " S"]
    channels: Mapping[str, Channel]
    scatter: Mapping[str, Mapping[str, NDArray[np.float64]]]
    reference: Mapping[str, NDArray[np.float64]]

    def covers(self, condition: Condition) -> bool:
        """Whether the posterior is exact: known kinds, one noise level for all samples, no noise on erased frames.

        A frame that was zeroed first and made noisy afterwards cannot be told from a kept one by being zero. Nor is
        noise of one kind on top of itself covered: corruptions share their draws, so it need not be independent.
        """
        erased: set[str] = set()
        noisy: set[tuple[str, str]] = set()  # kind and modality
        for step in condition.steps:
            kind = CORRUPTION_KINDS[step.kind]
            active = {m for m, level in step.levels.items() if np.any(np.asarray(level) > 0)}
            if kind.only_erases:
                erased |= active
            elif kind.adds_gaussian_noise:
                one_level = all(map(np.isscalar, step.levels.values()))
                repeated = noisy & {(step.kind, m) for m in active}
                if not one_level or repeated or active & erased:
                    return False
                noisy |= {(step.kind, m) for m in active}
            else:
                return False
        return True

    def predict(self, split: str, corrupted: Batch, condition: Condition) -> dict[str, NDArray[np.float64]]:
        """The best decision for every metric, and the posterior variance, per sample of a whole split.

        `prediction` is the posterior mean, `prediction_mae` the median, `prediction_acc7` and `prediction_acc5` the
        centre of the heaviest class, `prediction_acc2_*` and `prediction_f1_*` the heavier side as ±1. In `has0` the
        label 0 counts as positive, in `non0` not at all. Correlation and F1 are no averages over samples, so for them
        the mean and the heavier side are best only nearly, in large splits.

        Raises:
            ValueError: if the oracle does not cover the condition, or the batch is not the whole split.
        """
        posterior = self.posterior(split, corrupted, condition)
        mean = posterior @ self.grid
        has0 = _heavier_side(posterior, self.grid >= 0, self.grid < 0)
        non0 = _heavier_side(posterior, self.grid > 0, self.grid < 0)
        return {
            "prediction": mean,
            "prediction_mae": self.grid[np.argmax(np.cumsum(posterior, axis=1) >= 0.5, axis=1)],
            "prediction_acc7": _heaviest_class(posterior, self.grid, 3),
            "prediction_acc5": _heaviest_class(posterior, self.grid, 2),
            "prediction_acc2_has0": has0,
            "prediction_f1_has0": has0,
            "prediction_acc2_non0": non0,
            "prediction_f1_non0": non0,
            "variance": ((self.grid - mean[:, None]) ** 2 * posterior).sum(axis=1),
        }

    def posterior(self, split: str, corrupted: Batch, condition: Condition) -> Float[NDArray[np.float64], "N S"]:
        """Probability of every point of the grid, per sample of a whole split.

        Raises:
            ValueError: if the oracle does not cover the condition, or the batch is not the whole split.
        """
        if not self.covers(condition):
            raise ValueError(f"expected a condition that the oracle covers, got {condition.name!r}; ask covers() first")
        score = np.log(self.prior) + np.zeros((corrupted.size, 1))
        for modality, channel in self.channels.items():
            tau = self.scatter[split][modality]
            if len(tau) != corrupted.size:
                raise ValueError(f"expected all {len(tau)} samples of {split!r}, got {corrupted.size}; pass them all")
            mean, count = _kept_frames(corrupted, modality)
            seen = np.flatnonzero(count)
            fresh = _noise_variance(condition, "frame", modality)
            constant = _noise_variance(condition, "utterance", modality)
            square = self.reference[modality] ** 2
            score[seen] += _log_likelihood(
                channel, mean[seen], count[seen], tau[seen], fresh * square, constant * square
            )
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _kept_frames(batch: Batch, modality: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean (N, D) and number (N) of the frames that are valid and not exactly zero."""
    x = batch.features[modality].detach().cpu().numpy()
    kept = x.any(axis=2) & batch.mask(modality).cpu().numpy()
    count = kept.sum(axis=1)
    total = np.einsum("nt,ntd->nd", kept.astype(np.float64), x.astype(np.float64))
    return total / np.maximum(count, 1)[:, None], count


def _noise_variance(condition: Condition, per: Literal["frame", "utterance"], modality: str) -> float:
    """Variance λ² of the modality's noise of one kind of draw, in units of σ_ref²; 0 without such noise."""
    variance = 0.0
    for step in condition.steps:
        noise = CORRUPTION_KINDS[step.kind].noise
        if noise is not None and noise.per == per:
            variance += float(step.levels.get(modality, 0.0)) ** 2
    return variance


def _log_likelihood(
    channel: Channel,
    mean: Float[NDArray[np.float64], "N D"],
    count: Int[NDArray[np.int64], " N"],
    tau: Float[NDArray[np.float64], " N"],
    fresh: Float[NDArray[np.float64], " D"],
    constant: Float[NDArray[np.float64], " D"],
) -> Float[NDArray[np.float64], "N S"]:
    """The logarithm of N(x̄; μ(s), Σ) for every s, up to a constant per sample: μᵀΣ⁻¹x̄ − ½ μᵀΣ⁻¹μ.

    Samples with the same τ and n have the same Σ, so there are few systems to solve, however many samples.
    """
    pairs, which = np.unique(np.stack([tau, count], axis=1), axis=0, return_inverse=True)
    which = which.reshape(-1)  # NumPy 2.0 alone gives it a second axis
    diagonal = (pairs[:, :1] ** 2 + fresh) / pairs[:, 1:] + constant
    sigma = channel.covariance + diagonal[:, :, None] * np.eye(diagonal.shape[1])
    gain = np.linalg.solve(sigma, channel.mean.T)  # (pairs, D, S)
    offset = 0.5 * np.einsum("sd,kds->ks", channel.mean, gain)
    return np.asarray((mean[:, None, :] @ gain[which])[:, 0] - offset[which])


def _heaviest_class(
    posterior: Float[NDArray[np.float64], "N S"], grid: Float[NDArray[np.float64], " S"], limit: int
) -> Float[NDArray[np.float64], " N"]:
    """The integer from -limit to limit whose class (clipped, rounded half to even) has the largest mass."""
    centres = np.arange(-limit, limit + 1.0)
    member = np.round(np.clip(grid, -limit, limit))[:, None] == centres
    return np.asarray(centres[np.argmax(posterior @ member, axis=1)])


def _heavier_side(
    posterior: Float[NDArray[np.float64], "N S"], positive: NDArray[np.bool_], negative: NDArray[np.bool_]
) -> Float[NDArray[np.float64], " N"]:
    """+1 where the positive labels have at least the mass of the negative ones, else -1."""
    return np.where(posterior @ positive >= posterior @ negative, 1.0, -1.0)
