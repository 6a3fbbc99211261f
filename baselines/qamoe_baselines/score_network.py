"""The score network of IMDer and its stochastic differential equation: noise of growing variance, and the way back.

    dx = σ^t dw from t = 0 to 1;   std(t)² = (σ^(2t) − 1) / (2 ln σ);   the network's output is h / std(t)
The network is a U-Net (Ronneberger et al. 2015) over time with a condition of the same shape, after mdswyz/IMDer
@ 1901a92, which extends the published tutorial of Song et al. (Score-Based Generative Modeling through SDEs, ICLR
2021). With swish, e = swish(W [sin 2πft; cos 2πft] + b) of fixed random frequencies f, and A a Transformer of
`causal_transformer`,
    down:  h ← swish GN(y + A(y, c) + D e), y = conv₃ h, which halves the length from the second level on
    up:    h ← swish GN(y + A(y, c) + D e), y = the transposed conv₃ [h; the h of that level on the way down]
    last:  h ← y + A(y, c), y = the transposed conv₃ of [h; the first h], which changes no length
on the deepest level without the way down; the condition c goes through convolutions of its own alongside.

Dimension legend: B samples, S positions in time, W width, C channels of a level, N steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.causal_transformer import CausalSizes, CausalTransformer

SIGMA = 25.0
"""σ; code."""
FREQUENCIES = 30.0  # standard deviation of the random frequencies; code
FIRST_GROUPS = 4  # of the normalisation of the first level; code
GROUPS = 32  # of all others, where the number of channels allows; code
EARLIEST = 1e-3  # the last time on the way back; code
EARLIEST_TRAINED = 1e-5  # code

ScoreFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From noisy x, times and a noisy condition to the score, such as a `ScoreNetwork`."""


@dataclass(frozen=True)
class ScoreSizes:
    """Sizes of a network.

    Attributes:
        width: W, the channels of the first level; each further one has twice as many.
        levels: Number of levels.
        heads: Heads of its Transformers.
        layers: Layers of its Transformers.
        time: Width of the embedded time.
    """

    width: int
    levels: int
    heads: int
    layers: int
    time: int


def noise_std(time: Tensor) -> Tensor:
    """Std(t), the standard deviation of the noise at a time from 0 to 1."""
    return ((SIGMA ** (2 * time) - 1) / (2 * math.log(SIGMA))).sqrt()


class TimeEmbedding(nn.Module):
    """E of the module docstring."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", FREQUENCIES * torch.randn(width // 2))
        self.linear = nn.Linear(width, width)

    def forward(self, time: Float[Tensor, " B"]) -> Float[Tensor, "B _"]:
        """One row per sample."""
        angle = 2 * math.pi * time[:, None] * self.frequencies
        embedded: Tensor = F.silu(self.linear(torch.cat([angle.sin(), angle.cos()], dim=1)))
        return embedded


class ConditionedLevel(nn.Module):
    """One level on the way down or up: from y and c to h."""

    def __init__(self, channels: int, groups: int, sizes: ScoreSizes) -> None:
        super().__init__()
        self.attention = CausalTransformer(CausalSizes(channels, sizes.heads, sizes.layers))
        self.time = nn.Linear(sizes.time, channels)
        self.norm = nn.GroupNorm(math.gcd(groups, channels), channels)

    def forward(
        self, y: Float[Tensor, "B C S"], condition: Float[Tensor, "B C S"], time: Float[Tensor, "B _"]
    ) -> Float[Tensor, "B C S"]:
        """The positions after attending to the condition."""
        y = y + attended_channels(self.attention, y, condition) + self.time(time)[..., None]
        return F.silu(self.norm(y))


def attended_channels(
    attention: nn.Module, y: Float[Tensor, "B C S"], condition: Float[Tensor, "B C S"]
) -> Float[Tensor, "B C S"]:
    """A(y, c), of sequences whose last axis is time."""
    attended: Tensor = attention(y.transpose(1, 2), condition.transpose(1, 2))
    return attended.transpose(1, 2)


class ScoreNetwork(nn.Module):
    """The network of the module docstring."""

    def __init__(self, sizes: ScoreSizes) -> None:
        super().__init__()
        channels = [sizes.width * 2**level for level in range(sizes.levels)]
        self.embedding = TimeEmbedding(sizes.time)
        down = [nn.Conv1d(channels[0], channels[0], 3, padding=1, bias=False)]
        down += [_halving(narrow, wide) for narrow, wide in pairwise(channels)]
        self.down = nn.ModuleList(down)
        self.down_condition = nn.ModuleList(_halving(narrow, wide) for narrow, wide in pairwise(channels))
        groups = [FIRST_GROUPS] + [GROUPS] * (sizes.levels - 1)
        self.down_levels = nn.ModuleList(ConditionedLevel(c, g, sizes) for c, g in zip(channels, groups, strict=True))
        up: list[nn.Module] = []
        up_condition: list[nn.Module] = []
        for level in range(sizes.levels - 1, 0, -1):
            skipped = 0 if level == sizes.levels - 1 else channels[level]
            up.append(_doubling(channels[level] + skipped, channels[level - 1]))
            up_condition.append(_doubling(channels[level], channels[level - 1]))
        self.up = nn.ModuleList(up)
        self.up_condition = nn.ModuleList(up_condition)
        self.up_levels = nn.ModuleList(ConditionedLevel(c, GROUPS, sizes) for c in channels[-2::-1])
        self.last = nn.ConvTranspose1d(2 * channels[0], channels[0], 3, padding=1)
        self.last_condition = nn.ConvTranspose1d(channels[0], channels[0], 3, padding=1)
        self.last_attention = CausalTransformer(CausalSizes(channels[0], sizes.heads, sizes.layers))

    def forward(
        self, x: Float[Tensor, "B S W"], time: Float[Tensor, " B"], condition: Float[Tensor, "B S W"]
    ) -> Float[Tensor, "B S W"]:
        """The score of noisy x at these times."""
        embedded = self.embedding(time)
        c = condition.transpose(1, 2)
        h = x.transpose(1, 2)
        before = []
        for level, (convolve, update) in enumerate(zip(self.down, self.down_levels, strict=True)):
            if level:
                c = self.down_condition[level - 1](c)
            h = update(convolve(h), c, embedded)
            before.append(h)
        deepest = before.pop()
        h = deepest
        for convolve, convolve_condition, update in zip(self.up, self.up_condition, self.up_levels, strict=True):
            c = convolve_condition(c)
            joined = h if h is deepest else torch.cat([h, before.pop()], dim=1)
            h = update(convolve(joined), c, embedded)
        h = self.last(torch.cat([h, before.pop()], dim=1))
        h = h + attended_channels(self.last_attention, h, self.last_condition(c))
        score: Tensor = h.transpose(1, 2) / noise_std(time)[:, None, None]
        return score


def _halving(inputs: int, outputs: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, 3, stride=2, padding=1, bias=False)


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose1d:
    return nn.ConvTranspose1d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False)


def score_loss(
    network: ScoreFunction, x: Float[Tensor, "B S W"], condition: Float[Tensor, "B S W"]
) -> Float[Tensor, ""]:
    """‖std(t) s(x + std(t) z, t, c + std(t) z) + z‖² for random t and z, summed over a sample; mean over samples."""
    time = torch.rand(len(x), device=x.device) * (1 - EARLIEST_TRAINED) + EARLIEST_TRAINED
    z = torch.randn_like(x)
    std = noise_std(time)[:, None, None]
    score = network(x + std * z, time, condition + std * z)
    return (std * score + z).square().sum((1, 2)).mean()


@dataclass(frozen=True)
class SamplingSteps:
    """The way back from t = 1: x ← x + gain · score + noise · ε, where the last step adds no noise.

    Attributes:
        time: The time of each step.
        gain: Factor of the score.
        noise: Standard deviation of the noise.
    """

    time: Float[Tensor, " N"]
    gain: Float[Tensor, " N"]
    noise: Float[Tensor, " N"]


def sampling_steps(count: int, *, euler: bool) -> SamplingSteps:
    """N steps at equally distant times.

    Args:
        count: N, at least 2.
        euler: Whether they are those of Euler and Maruyama, gain σ^(2t) Δ and noise σ^t √Δ, which need about a hundred
            steps. Else they are ancestral steps (Song et al. 2021, appendix F) between the noise levels std(t), which
            are exact where a data point is known, and stay finite for any number of steps.
    """
    time = torch.linspace(1, EARLIEST, count)
    if euler:
        gain = SIGMA ** (2 * time) * (time[0] - time[1])
        return SamplingSteps(time, gain, gain.sqrt())
    variance = noise_std(time).square()
    following = F.pad(variance[1:], (0, 1))
    gain = variance - following
    return SamplingSteps(time, gain, (following * gain / variance).sqrt())


@torch.no_grad()
def sample_score(
    network: ScoreFunction,
    condition: Float[Tensor, "B S W"],
    steps: SamplingSteps,
    noise: Sequence[Any] | Float[Tensor, "_ S W"] | None = None,
) -> Float[Tensor, "B S W"]:
    """A sample given the condition.

    Args:
        network: From noisy values, times and noisy conditions to scores.
        condition: Also its shape.
        steps: The way back.
        noise: 1 + 2·N standard normal tensors, the same for all samples of the batch: that of the start, and for each
            step those of the condition and of x; without it, random ones that differ between samples.
    """

    def drawn(index: int) -> Tensor:
        if noise is None:
            return torch.randn_like(condition)
        return torch.as_tensor(noise[index]).to(condition).expand_as(condition)

    x = drawn(0) * float(noise_std(torch.ones(())))
    for step, (time, gain, deviation) in enumerate(zip(*_numbers(steps), strict=True)):
        at = condition.new_full((len(condition),), time)
        noisy = condition + drawn(1 + 2 * step) * float(noise_std(torch.tensor(time)))
        mean = x + gain * network(x, at, noisy)
        x = mean + deviation * drawn(2 + 2 * step)
    return mean


def _numbers(steps: SamplingSteps) -> tuple[list[float], list[float], list[float]]:
    return steps.time.tolist(), steps.gain.tolist(), steps.noise.tolist()
