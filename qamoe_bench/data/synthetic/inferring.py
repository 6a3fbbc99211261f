"""The Bayes-optimal predictor that is told nothing about the corruption of a sample and infers it from the frames.

It knows the law and the conditions of a protocol, each of which is equally likely; it is told neither the condition nor
τ, nor what chance decided. Its posterior sums over all of them:

    p(s | frames) ∝ p(s) Σ_c Π_m Σ_h p(h | c) p(frames of m | s, h)

with the hypotheses h about the noise of modality m under condition c. The condition is common to all modalities of a
sample, so each modality tells something about the noise of the others. What is missing it sees; from how much is
missing it draws no conclusion about the noise. So the predictor that is told everything cannot be worse in expectation,
and one that also counts the missing frames lies between the two.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.data.synthetic.hypotheses import (
    FrameLikelihood,
    Noise,
    PosteriorOfFrames,
    hypotheses,
    kept_frames,
    log_mixture,
)


@dataclass(frozen=True)
class InferringOracle(PosteriorOfFrames):
    """The posterior of the label given the frames alone, and the optimal decisions that follow from it."""

    def log_joint(self, corrupted: Batch) -> Float[NDArray[np.float64], "N S"]:
        """The logarithm of p(s, frames) for every point s of the grid, up to a constant per sample."""
        statistics = {modality: kept_frames(corrupted, modality) for modality in self._likelihoods}
        # Settings have hypotheses in common, so each likelihood is computed once.
        logs: dict[tuple[str, Noise], NDArray[np.float64]] = {}
        by_setting = []
        for setting in self._settings:
            joint = np.log(self.oracle.prior) + np.zeros((corrupted.size, 1))  # (N, S)
            for modality, prior in setting.items():
                for noise in prior:
                    if (modality, noise) not in logs:
                        logs[modality, noise] = self._likelihoods[modality].log(statistics[modality], noise)
                joint += log_mixture([logs[modality, noise] for noise in prior], [*prior.values()])
            by_setting.append(joint)
        return log_mixture(by_setting, self._shares)

    @cached_property
    def _likelihoods(self) -> dict[str, FrameLikelihood]:
        channels = self.oracle.channels.items()
        return {m: FrameLikelihood(channel, self.oracle.reference[m]) for m, channel in channels}

    @cached_property
    def _by_condition(self) -> list[dict[str, dict[Noise, float]]]:
        """By condition and modality, the hypotheses about the noise with their probabilities."""
        modalities = [*self.oracle.channels]
        return [{m: hypotheses(self.oracle, condition, m) for m in modalities} for condition in self.conditions]

    @cached_property
    def _settings(self) -> list[dict[str, dict[Noise, float]]]:
        """The distinct ones of these: conditions that differ only in what they erase are the same here."""
        distinct = []
        for setting in self._by_condition:
            if setting not in distinct:
                distinct.append(setting)
        return distinct

    @cached_property
    def _shares(self) -> list[float]:
        """The share of conditions that each setting stands for."""
        return [self._by_condition.count(setting) / len(self.conditions) for setting in self._settings]
