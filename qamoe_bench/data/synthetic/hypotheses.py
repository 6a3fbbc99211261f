"""Hypotheses about the noise of a modality, and the likelihood of a sample's frames under each of them.

A hypothesis fixes τ and the variances of added noise per frame and per utterance; see the law in
`qamoe_bench.data.synthetic.oracle`. Given it and the label s, the n frames that are left have a normal distribution,
which two statistics describe completely: their mean x̄ and, in each dimension d, the sum S_d of squared deviations from
the mean. With v_d = τ² + λ²σ_ref,d² and Σ the covariance of x̄,

    log p(frames | s) = log N(x̄; μ(s), Σ) − ½ Σ_d ((n − 1) log v_d + S_d / v_d)

up to a constant that depends on n only. S says how noisy the frames are, whatever the label.

Dimension legend: N samples, S points of the label grid, D features of a frame, T frames.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.data.synthetic.oracle import BayesOracle, Channel, Chosen
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.protocol.spec import Condition, Step

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PosteriorOfFrames(ABC):
    """A predictor that is told nothing about a sample's corruption, only which conditions a protocol has.

    Attributes:
        oracle: The predictor that knows the corruption, of the same law.
        conditions: The conditions of the protocol; each is equally likely a priori.
    """

    oracle: BayesOracle
    conditions: Sequence[Condition]

    @abstractmethod
    def log_joint(self, corrupted: Batch) -> Float[Values, "N S"]:
        """The logarithm of the joint density of s and what is seen, for every s of the grid, up to a constant."""

    def covers(self, condition: Condition) -> bool:
        """Whether the posterior is exact, as that of the predictor which knows the corruption."""
        return self.oracle.covers(condition)

    def predict(
        self, split: str, corrupted: Batch, condition: Condition, chosen: Chosen | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """The optimal decisions; they depend on the frames only, and the other arguments are ignored."""
        return self.oracle.decide(self.oracle.grid, self.log_joint(corrupted))


class Noise(NamedTuple):
    """What a hypothesis says of a modality's noise.

    Attributes:
        tau: τ, the scatter of clean frames.
        frame: Variance λ² of noise that is fresh for every frame, in units of σ_ref².
        utterance: The same of noise that is constant over the utterance.
    """

    tau: float
    frame: float
    utterance: float


class KeptFrames(NamedTuple):
    """What the frames of one modality say, sample by sample.

    Attributes:
        mean: x̄, zero without frames.
        scatter: S, zero without frames.
        number: n, the number of frames that are valid and not exactly zero.
    """

    mean: Float[Values, "N D"]
    scatter: Float[Values, "N D"]
    number: Int[NDArray[np.int64], " N"]


def kept_frames(batch: Batch, modality: str) -> KeptFrames:
    """The statistics of the frames of one modality that are left, of every sample of a batch."""
    x = batch.features[modality].detach().cpu().numpy().astype(np.float64)  # (N, T, D)
    is_kept = x.any(axis=2) & batch.mask(modality).cpu().numpy()  # (N, T)
    count = is_kept.sum(axis=1)  # (N,)
    weight = is_kept[:, :, None] / np.maximum(count, 1)[:, None, None]  # (N, T, 1)
    mean = (weight * x).sum(axis=1)  # (N, D)
    deviation = (x - mean[:, None, :]) * is_kept[:, :, None]
    return KeptFrames(mean, (deviation**2).sum(axis=1), count)


def hypotheses(oracle: BayesOracle, condition: Condition, modality: str) -> dict[Noise, float]:
    """Every possible noise of a modality under a condition, with its probability.

    τ has the values and the shares that it has in the data, without the training split, so that its size makes no
    difference; where chance decides about the noise of a sample, each outcome is a hypothesis of its own.
    """
    splits = [by_modality for split, by_modality in oracle.scatter.items() if split != "train"]
    scatter = np.concatenate([by_modality[modality] for by_modality in splits])
    values, counts = np.unique(scatter, return_counts=True)
    outcomes = [_outcomes(step, modality) for step in condition.steps]
    probability: dict[Noise, float] = {}
    for tau, count in zip(values, counts, strict=True):
        for combination in itertools.product(*outcomes):
            # Independent noises of a modality add up.
            noise = Noise(float(tau), sum(frame for _, frame, _ in combination), sum(u for _, _, u in combination))
            share = count / len(scatter) * float(np.prod([p for p, _, _ in combination]))
            probability[noise] = probability.get(noise, 0.0) + share
    return probability


def _outcomes(step: Step, modality: str) -> list[tuple[float, float, float]]:
    """What a step may add to a modality: probability, variance per frame, variance per utterance."""
    noise = kind_named(step.kind).noise
    variance = float(step.levels.get(modality, 0.0)) ** 2
    if noise is None or not variance:
        return [(1.0, 0.0, 0.0)]
    if noise.per == "either":
        return [(0.5, variance, 0.0), (0.5, 0.0, variance)]
    added = (variance, 0.0) if noise.per == "frame" else (0.0, variance)
    if noise.chance == 1:
        return [(1.0, *added)]
    return [(noise.chance, *added), (1 - noise.chance, 0.0, 0.0)]


def covariance_of_mean(
    channel: Channel, noise: Noise, count: int, reference: Float[Values, " D"]
) -> Float[Values, "D D"]:
    """Σ, the covariance of x̄ given the label; `reference` is σ_ref."""
    square = reference**2
    diagonal = (noise.tau**2 + noise.frame * square) / count + noise.utterance * square  # (D,)
    return np.asarray(channel.covariance + np.diag(diagonal))


class _Terms(NamedTuple):
    """The parts of log N(x̄; μ(s), Σ) that do not depend on the sample."""

    precision: Float[Values, "D D"]
    gain: Float[Values, "D S"]
    offset: Float[Values, " S"]


@dataclass(frozen=True)
class FrameLikelihood:
    """The likelihood of the frames of one modality, given label and noise.

    Attributes:
        channel: The distribution of the modality given the label.
        reference: σ_ref of each dimension.
    """

    channel: Channel
    reference: Float[Values, " D"]
    _terms: dict[tuple[Noise, int], _Terms] = field(default_factory=dict, repr=False, compare=False)

    def log(self, statistics: KeptFrames, noise: Noise) -> Float[Values, "N S"]:
        """The logarithm for every sample and label, up to a constant per sample; 0 for samples without frames."""
        mean, scatter, number = statistics
        variance = noise.tau**2 + noise.frame * self.reference**2  # v, (D,)
        by_scatter = (number - 1) * np.log(variance).sum() + (scatter / variance).sum(axis=1)  # (N,)
        score = np.zeros((len(number), len(self.channel.mean)))
        for n in np.unique(number[number > 0]):
            rows = np.flatnonzero(number == n)
            precision, gain, offset = self._terms_of(noise, int(n))
            square = ((mean[rows] @ precision) * mean[rows]).sum(axis=1)  # x̄ᵀΣ⁻¹x̄
            score[rows] = mean[rows] @ gain - offset - 0.5 * (square + by_scatter[rows])[:, None]
        return score

    def _terms_of(self, noise: Noise, count: int) -> _Terms:
        if (noise, count) not in self._terms:
            mu = self.channel.mean  # (S, D)
            sigma = covariance_of_mean(self.channel, noise, count, self.reference)
            precision = np.asarray(np.linalg.inv(sigma), np.float64)
            gain = precision @ mu.T
            # With half the logarithm of the determinant, which differs between hypotheses.
            offset = 0.5 * ((mu * gain.T).sum(axis=1) + np.linalg.slogdet(sigma)[1])
            self._terms[noise, count] = _Terms(precision, gain, offset)
        return self._terms[noise, count]


def log_mixture(logs: Sequence[Values], weights: Sequence[float]) -> Values:
    """The logarithm of a weighted sum of densities that are given by their logarithms."""
    stacked = np.stack(logs)
    highest = stacked.max(axis=0)
    share = np.asarray(weights, np.float64).reshape(-1, *[1] * (stacked.ndim - 1))
    return np.asarray(highest + np.log((share * np.exp(stacked - highest)).sum(axis=0)))
