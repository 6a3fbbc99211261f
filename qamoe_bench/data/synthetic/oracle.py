"""The Bayes-optimal predictor of data whose frames are linear and Gaussian given the label.

The label s has a known prior on a finite grid. Given s, frame t of a modality is

    x_t = μ(s) + c + τ e_t,    c ~ N(0, C) once per utterance,    e_t ~ N(0, I) per frame,

independently between modalities. Corruptions erase frames, independently of their values, and add Gaussian noise of
standard deviation λ σ_ref. The mean of the n remaining frames is then a sufficient statistic of a modality:

    x̄ ~ N(μ(s), C + (τ² + λ²σ_ref²) / n)        noise drawn independently for every frame
    x̄ ~ N(μ(s), C + τ² / n + λ²σ_ref²)          noise drawn once per utterance

and the posterior of s is a finite sum. The predictor knows λ and τ, and where chance decides about the noise of a
modality, also what it decided. Knowing τ gains next to nothing, because the scatter of the frames reveals it. Its
decisions (`decisions.py`) are the best in expectation, so a model can do better only by chance.

Dimension legend: N samples, S points of the label grid, D features of a frame, K distinct states of a modality's noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.data.synthetic.decisions import Decide, probabilities, scale_decisions
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.protocol.level import is_active
from qamoe_bench.protocol.spec import Condition

Chosen = Mapping[tuple[str, str], NDArray[np.bool_]]
"""By kind of corruption and modality, the samples [N] that got noise that is constant over the utterance."""


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
        decide: What to decide given the posterior; it depends on the task.
    """

    grid: Float[NDArray[np.float64], " S"]
    prior: Float[NDArray[np.float64], " S"]
    channels: Mapping[str, Channel]
    scatter: Mapping[str, Mapping[str, NDArray[np.float64]]]
    reference: Mapping[str, NDArray[np.float64]]
    decide: Decide = scale_decisions

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
            active = {m for m, level in step.levels.items() if is_active(level)}
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

    def predict(
        self, split: str, corrupted: Batch, condition: Condition, chosen: Chosen | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """The optimal decisions for each sample of a whole split, see `qamoe_bench.data.synthetic.decisions`.

        Args:
            split: Name of the split.
            corrupted: All its samples.
            condition: The condition that they are in.
            chosen: Which samples a kind chose by chance, where the condition has such a kind.

        Raises:
            ValueError: The oracle does not cover the condition, or the batch is not the whole split.
        """
        return self.decide(self.grid, self._log_joint(split, corrupted, condition, chosen))

    def posterior(
        self, split: str, corrupted: Batch, condition: Condition, chosen: Chosen | None = None
    ) -> Float[NDArray[np.float64], "N S"]:
        """Probability of every point of the grid, for each sample of a whole split; arguments as in `predict`.

        Raises:
            ValueError: The oracle does not cover the condition, or the batch is not the whole split.
        """
        return probabilities(self._log_joint(split, corrupted, condition, chosen))

    def _log_joint(
        self, split: str, corrupted: Batch, condition: Condition, chosen: Chosen | None
    ) -> Float[NDArray[np.float64], "N S"]:
        """The logarithm of p(s, x) for every point s of the grid, up to a constant per sample."""
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
            noise = _noise_levels(condition, modality, chosen or {}, corrupted.size)  # (N, 2)
            score[present] += _log_likelihood(
                channel,
                mean[present],
                np.column_stack([tau, count, noise])[present],
                self.reference[modality] ** 2,
            )
        return score


def _kept_frames(batch: Batch, modality: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean (N, D) and number (N) of the frames that are valid and not exactly zero."""
    x = batch.features[modality].detach().cpu().numpy()  # (N, T, D)
    kept = x.any(axis=2) & batch.mask(modality).cpu().numpy()  # (N, T)
    count = kept.sum(axis=1)  # (N,)
    total = np.einsum("nt,ntd->nd", kept.astype(np.float64), x.astype(np.float64))
    return total / np.maximum(count, 1)[:, None], count


def _noise_levels(
    condition: Condition, modality: str, chosen: Chosen, samples: int
) -> Float[NDArray[np.float64], "N 2"]:
    """Variance λ² of a modality's noise per frame and per utterance, in units of σ_ref²; 0 without such noise."""
    variance = np.zeros((samples, 2))
    for step in condition.steps:
        noise = kind_named(step.kind).noise
        square = float(step.levels.get(modality, 0.0)) ** 2
        if noise is None or not square:
            continue
        if noise.is_chosen and (step.kind, modality) not in chosen:
            raise ValueError(f"expected the samples that {step.kind!r} chose in {modality!r}, got none; pass them")
        # Columns: fresh for every frame, constant over the utterance.
        if noise.per == "either":
            constant = chosen[step.kind, modality]
            variance += square * np.column_stack([~constant, constant])
        else:
            column = 0 if noise.per == "frame" else 1
            variance[:, column] += square * (chosen[step.kind, modality] if noise.is_chosen else 1)
    return variance


def _log_likelihood(
    channel: Channel,
    mean: Float[NDArray[np.float64], "N D"],
    state: Float[NDArray[np.float64], "N 4"],
    reference: Float[NDArray[np.float64], " D"],
) -> Float[NDArray[np.float64], "N S"]:
    """The logarithm of N(x̄; μ(s), Σ) for every s, up to a constant per sample: μᵀΣ⁻¹x̄ − ½ μᵀΣ⁻¹μ.

    Samples in the same state have the same Σ, so one linear system is solved for each distinct state.

    Args:
        channel: μ(s) and C.
        mean: x̄.
        state: τ, n, and the variances of noise per frame and per utterance in units of σ_ref².
        reference: σ_ref².
    """
    states, state_of_sample = np.unique(state, axis=0, return_inverse=True)  # (K, 4), (N,)
    state_of_sample = state_of_sample.reshape(-1)  # only NumPy 2.0 returns a second axis
    tau, count, frame_noise, utterance_noise = states.T[:, :, None]  # (K, 1) each
    diagonal = (tau**2 + frame_noise * reference) / count + utterance_noise * reference  # (K, D)
    sigma = channel.covariance + diagonal[:, :, None] * np.eye(diagonal.shape[1])  # (K, D, D)
    gain = np.linalg.solve(sigma, channel.mean.T)  # Σ⁻¹μ, (K, D, S)
    offset = 0.5 * np.einsum("sd,kds->ks", channel.mean, gain)  # (K, S)
    return np.asarray((mean[:, None, :] @ gain[state_of_sample])[:, 0] - offset[state_of_sample])  # (N, S)
