"""The mean of an utterance's frames together with its noise, measured from the frames themselves.

With n observed frames x_t of mean x̄ and sample variance v (per dimension), the noise variance of x̄ is

    q = v / n + e

v / n is what frames that scatter independently leave in their mean; one frame does not scatter, so there v is its
average over the training samples with more frames (0 if there are none). e is noise that all frames share, which their
scatter does not show. It shows in the directions in which clean means hardly vary: with Q the half of the principal
directions with the least variance, u = mean (Qᵀ(x̄ − c))² and ū its clean training average without scatter,

    e = max(0, u − 2·(ū + mean Qᵀ(v/n)Q)) · σ_ref² / mean Qᵀσ_ref²Q

so a sample has such noise where u exceeds twice its expectation, and the noise is shaped like σ_ref², as corruptions
are. All of it is in units of the standard deviation of clean means, without any parameter to be trained.

Dimension legend: B samples, T frames, D feature width, L = D/2 low directions.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.nn.frames import observed_frames

THRESHOLD = 2.0
"""How many times its expectation the energy of low directions must exceed to count as noise."""
LEAST_SCALE = 1e-4
"""Standard deviation of means, relative to that of frames, below which a dimension counts as constant."""
SAMPLES_AT_A_TIME = 64
"""Of a training split that may be larger than memory."""


@dataclass(frozen=True)
class FrameMoments:
    """Moments of the observed frames of utterances.

    Attributes:
        mean: x̄; zeros without a frame.
        variance: v, the sample variance; zeros with fewer than two frames.
        count: n.
    """

    mean: Float[Tensor, "B D"]
    variance: Float[Tensor, "B D"]
    count: Float[Tensor, "B 1"]


def frame_moments(x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> FrameMoments:
    """Moments in two passes; squares minus the squared mean would lose all digits of frames far from zero."""
    weight = observed[..., None].to(x.dtype)  # (B, T, 1)
    count = weight.sum(1)  # (B, 1)
    # Where and not a product, because padding may hold anything.
    mean = torch.where(observed[..., None], x, 0).sum(1) / count.clamp(min=1)
    deviation = torch.where(observed[..., None], x - mean[:, None], 0)
    return FrameMoments(mean, (deviation**2).sum(1) / (count - 1).clamp(min=1), count)


@dataclass(frozen=True)
class MeasuredMean:
    """Means of frames with their noise, in units of the standard deviation of clean training means.

    Attributes:
        mean: (x̄ − c) / s; zeros without a frame.
        noise: q / s².
        observed: 1 with any observed frame, else 0.
    """

    mean: Float[Tensor, "B D"]
    noise: Float[Tensor, "B D"]
    observed: Float[Tensor, "B 1"]


class FrameMeasure(nn.Module):
    """Measures the mean of one modality and its noise; see the module docstring.

    Before `prepare` c and s are those of single frames, and there is no shared noise.
    """

    reference: Tensor
    centre: Tensor
    scale: Tensor
    scatter: Tensor
    low: Tensor
    low_energy: Tensor
    shape: Tensor

    def __init__(self, modality: str, spec: DataSpec, *, shared_noise: bool = True) -> None:
        super().__init__()
        self.modality = modality
        self.shared_noise = shared_noise
        std = spec.feature_std[modality]
        width = len(std)
        self.register_buffer("reference", std.clone())  # σ_ref
        self.register_buffer("centre", spec.feature_mean[modality].clone())
        self.register_buffer("scale", std.clone())
        self.register_buffer("scatter", torch.ones(width))  # average v / s²
        self.register_buffer("low", torch.zeros(width, width // 2))  # Q
        self.register_buffer("low_energy", torch.zeros(()))  # ū
        self.register_buffer("shape", torch.zeros(width))  # σ_ref² / s² over its mean in Q

    def forward(self, batch: Batch) -> MeasuredMean:
        """x̄ and q of every sample."""
        moments = frame_moments(batch.features[self.modality], observed_frames(batch, self.modality))
        mean, noise = self._scaled(moments)
        return MeasuredMean(mean, noise + self._shared(mean, noise), (moments.count > 0).to(mean.dtype))

    def prepare(self, samples: Batch) -> MeasuredMean:
        """Take all statistics from clean training samples, of which at least two have the modality; measures them too.

        Without shared noise in what is returned, because the samples are clean.
        """
        moments = _moments_of(samples, self.modality)
        present = moments.count[:, 0] > 0
        scatters = moments.count[:, 0] > 1
        if present.sum() > 1:
            means = moments.mean[present].double()
            self.centre.copy_(means.mean(0))
            std = means.std(0, correction=0)
            # A constant dimension has no scale of its own; rounding may leave it a tiny one.
            self.scale.copy_(torch.where(std > LEAST_SCALE * self.reference, std, self.reference))
        average = moments.variance[scatters].double().mean(0) if scatters.any() else torch.zeros_like(self.scatter)
        self.scatter.copy_(average / self.scale.double() ** 2)
        mean, noise = self._scaled(moments)
        self._take_low(mean[present], noise[present])
        return MeasuredMean(mean, noise, present[:, None].to(mean.dtype))

    def _scaled(self, moments: FrameMoments) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """(x̄ − c) / s, zeros without a frame, and v / (n·s²)."""
        mean = torch.where(moments.count > 0, (moments.mean - self.centre) / self.scale, 0)
        variance = torch.where(moments.count > 1, moments.variance / self.scale**2, self.scatter)
        return mean, variance / moments.count.clamp(min=1)

    def _take_low(self, mean: Float[Tensor, "N D"], noise: Float[Tensor, "N D"]) -> None:
        """Take Q and ū from clean means; without two samples nothing is known about them."""
        if len(mean) < 2:
            return
        _, directions = torch.linalg.eigh(covariance(mean))  # ascending
        self.low.copy_(directions[:, : self.low.shape[1]])
        if self.low.shape[1]:
            energy = (mean @ self.low).square().mean() - _in_low(noise, self.low).mean()
            self.low_energy.copy_(energy.clamp(min=0))
            shape = (self.reference / self.scale) ** 2
            self.shape.copy_(shape / _in_low(shape[None], self.low)[0])

    def _shared(self, mean: Float[Tensor, "B D"], noise: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Shared noise e / s²: energy beyond the expected one, in the directions in which clean means hardly vary."""
        if not self.shared_noise or self.low.shape[1] == 0:  # one dimension has no low half
            return torch.zeros_like(noise)
        energy = (mean @ self.low).square().mean(1, keepdim=True)  # (B, 1)
        expected = self.low_energy + _in_low(noise, self.low)  # (B, 1)
        return (energy - THRESHOLD * expected).clamp(min=0) * self.shape


def covariance(x: Float[Tensor, "N D"]) -> Float[Tensor, "D D"]:
    """In float64, with the mean over N and not N − 1."""
    centred = x.double() - x.double().mean(0)
    return centred.T @ centred / len(x)


def _moments_of(samples: Batch, modality: str) -> FrameMoments:
    """Moments of all samples; only a few of them are in memory at a time."""
    parts = []
    for piece in samples.split(SAMPLES_AT_A_TIME):
        parts.append(frame_moments(piece.features[modality], observed_frames(piece, modality)))
    mean = torch.cat([p.mean for p in parts])
    variance = torch.cat([p.variance for p in parts])
    return FrameMoments(mean, variance, torch.cat([p.count for p in parts]))


def _in_low(noise: Float[Tensor, "B D"], low: Float[Tensor, "D L"]) -> Float[Tensor, "B 1"]:
    """The mean of the diagonal of Qᵀ diag(q) Q."""
    return noise @ low.square().mean(1, keepdim=True)
