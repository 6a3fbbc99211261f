"""TFR-Net: Transformers within and between incomplete modalities, which also reconstruct their frames.

Re-implemented after
    Yuan, Li, Xu, Yu: Transformer-based Feature Reconstruction Network for Robust Multimodal Sentiment Analysis
    (ACM Multimedia 2021, 4400-4407), code thuiar/TFR-Net @ 00f06a6 and thuiar/MMSA @ a94e65d.

With convolved frames x_m and Transformers of MulT's kind (see `qamoe_baselines.causal_transformer`):
    h_m = [S_m(x_m); C_{m←k}(x_m, x_k) for each other modality k]
    x̂_m = W (h_m after a Transformer over its channels) + b                                     reconstruction
    s = BiGRU(h_m) over the valid frames;  g = sigmoid(conv₃ s);  r_m = max_t tanh(W [h_m; g tanh s] + b)
    ŷ = W₂ LeakyReLU(W₁ BatchNorm([r_t; r_a; r_v]) + b₁) + b₂
    L = mean |ŷ − y| + Σ_m a_m (smooth-L1(x̂_m, x*_m) + 5 · CMD(x̂_m, x*_m)) / n_m      from the second epoch on
over lost frames only, smooth-L1 summed, n_m lost frames times dimensions, CMD the sum of the distances of the first
three central moments (Zellinger et al. 2017) over the frames of a batch.

From paper and code: all of it.
Inferred: a frame is lost if it is zero though the clean sample has it; h_m is as many times as wide as there are
modalities, which with three is the published width.
Departs, and the variant `faithful` reverts the first three:
    channels  the Transformer over channels attends to the 3W channels of the sample. The code passes its axes in
              another order, and attends to other samples of the batch instead; only the reconstruction depends on it
    weights   a_m = 1; the code has 5, 2, 20 for the raw features of CMU-MOSI
    input     each dimension standardised with training statistics; the authors feed raw features
    input map always a convolution; the code leaves it out where D = W
    heads     of the Transformer over channels: the largest common divisor of 25 and the length, for any length
    sizes     about a third of the widths and of the layers, to train about as long as C-MIB; the preset `paper` has the
              published sizes
    training  the suite's loop; the authors step their optimiser after each batch with gradients of up to four, and
              their learning rate falls on plateaus

Dimension legend: B samples, T frames, D feature width, W width, V = W · modalities, H hidden units.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.causal_transformer import CausalSizes, CausalTransformer
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.recurrence import recurrent_states
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

KERNELS = {"text": 1, "audio": 5, "vision": 3}
"""Sizes of the convolutions, in frames; code."""
SOURCE_DROPOUT = {"text": 0.2, "audio": 0.1, "vision": 0.0}
"""Dropout of attention weights, by the modality that is attended to; code."""
CODE_WEIGHTS = {"text": 5.0, "audio": 2.0, "vision": 20.0}
"""a_m in the code, for CMU-MOSI."""
CHANNEL_HEADS = 25  # of the Transformer over channels; code
MOMENTS = 3  # of the CMD; code

VARIANTS = {
    "faithful": {"across_samples": True, "standardise": False, "code_weights": True},
}
CARD = {
    "groups": ("robust",),
    "tasks": ("regression",),
    "year": 2021,
    "venue": "ACM Multimedia",
    "parameters": 48_370,
    "published": {"TFR-Net": ""},
    "presets": {
        "paper": {
            "width": 30, "heads": 6, "layers": 3, "recurrent_layers": 3, "text_hidden": 36, "audio_hidden": 20,
            "vision_hidden": 48, "hidden": 128,
        }
    },
    "stages": {
        "text encoder": ("inputs.text", "convolutions.text"),
        "other encoders": ("inputs", "convolutions"),
        "heads": ("head", "rebuild"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class TFRNetConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 10  # code: 30
    heads: int = 2  # code: 6
    layers: int = 1  # code: 3; of each Transformer
    recurrent_layers: int = 1  # code: 3
    text_hidden: int = 12  # code: 36; of the gated units of text
    audio_hidden: int = 12  # code: 20
    vision_hidden: int = 12  # code: 48
    hidden: int = 32  # code: 128; of the head
    text_dropout: float = 0.2  # code; of the frames of text
    dropout: float = 0.2  # code; of hidden units, residual branches, embeddings and r_m
    moment_weight: float = 5.0  # code
    warm_up: int = 1  # code; epochs without reconstruction
    across_samples: bool = False  # code: True
    code_weights: bool = False  # code: True
    standardise: bool = True  # code: False

    def gated(self, modality: str) -> int:
        """H of the gated units of a modality."""
        return {"text": self.text_hidden, "audio": self.audio_hidden, "vision": self.vision_hidden}[modality]

    def transformer(self, source: str) -> CausalTransformer:
        """A new Transformer that attends to frames of `source`."""
        rates = (SOURCE_DROPOUT[source], self.dropout, self.dropout, self.dropout)
        return CausalTransformer(CausalSizes(self.width, self.heads, self.layers, *rates))

    def over_channels(self, frames: int) -> CausalTransformer:
        """A new Transformer whose vectors are the courses of channels over so many frames."""
        rates = (SOURCE_DROPOUT["text"], self.dropout, self.dropout, self.dropout)
        heads = math.gcd(CHANNEL_HEADS, frames)
        return CausalTransformer(CausalSizes(frames, heads, self.layers, *rates), positions=False)


class ValidBiGRU(nn.Module):
    """A bidirectional GRU over the valid frames at the start; zeros at the others."""

    def __init__(self, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        widths = [inputs] + [2 * hidden] * (layers - 1)
        self.forwards = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)

    def forward(self, x: Float[Tensor, "B T V"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """The states of both directions, E = 2·H."""
        # Each sample is reversed within its own length, so that the backward direction starts at its last valid frame.
        length = valid.sum(1, keepdim=True)
        position = torch.arange(x.shape[1], device=x.device)
        order = torch.where(valid, length - 1 - position, position)[..., None]  # (B, T, 1)
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            assert isinstance(forwards, nn.GRU)
            assert isinstance(backwards, nn.GRU)
            ahead = recurrent_states(forwards, x)
            behind = recurrent_states(backwards, x.gather(1, order.expand_as(x)))
            behind = behind.gather(1, order.expand_as(behind))
            x = torch.cat([ahead, behind], dim=-1) * valid[..., None]
        return x


class GatedPool(nn.Module):
    """r_m."""

    def __init__(self, inputs: int, hidden: int, config: TFRNetConfig) -> None:
        super().__init__()
        self.gru = ValidBiGRU(inputs, hidden, config.recurrent_layers)
        self.gate = nn.Conv1d(2 * hidden, 1, kernel_size=3, padding=1)
        self.linear = nn.Linear(2 * hidden + inputs, hidden)
        self.dropout = Dropout(config.dropout)

    def forward(self, h: Float[Tensor, "B T V"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B H"]:
        """The maximum runs over all frames, padding too, as in the code."""
        s = self.gru(h, valid)
        gate = self.gate(s.transpose(1, 2)).sigmoid().transpose(1, 2)  # (B, T, 1)
        r = self.linear(torch.cat([h, s.tanh() * gate], dim=-1)).tanh()
        pooled: Tensor = self.dropout(r.amax(1))
        return pooled


class TFRNet(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: TFRNetConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.frames = dict(spec.lengths)
        self.warming_up = False  # set by `start_epoch`; not part of the weights
        width = config.width
        both = width * len(self.modalities)
        inputs = {m: MaskedFrames(m, spec, standardise=config.standardise) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        kernels = {m: KERNELS[m] for m in self.modalities}
        convolutions = {
            m: nn.Conv1d(inputs[m].width, width, size, padding=size // 2, bias=False) for m, size in kernels.items()
        }
        self.convolutions = nn.ModuleDict(convolutions)
        self.text_dropout = Dropout(config.text_dropout)
        # The Transformer of a pair is named for the modality of the queries and then that of the source.
        pairs = [(m, k) for m in self.modalities for k in self.modalities]
        self.transformers = nn.ModuleDict({f"{m}_{k}": config.transformer(k) for m, k in pairs})
        self.channels = nn.ModuleDict({m: config.over_channels(self.frames[m]) for m in self.modalities})
        self.rebuild = nn.ModuleDict({m: nn.Linear(both, inputs[m].width) for m in self.modalities})
        self.pools = nn.ModuleDict({m: GatedPool(both, config.gated(m), config) for m in self.modalities})
        gated = sum(config.gated(m) for m in self.modalities)
        self.head = nn.Sequential(
            nn.BatchNorm1d(gated), nn.Linear(gated, config.hidden), nn.LeakyReLU(), nn.Linear(config.hidden, 1)
        )

    def start_epoch(self, epoch: int) -> None:
        """Begin or end the epochs without reconstruction; epochs count from 1."""
        self.warming_up = epoch <= self.config.warm_up

    def _padded(self, x: Tensor, modality: str) -> Tensor:
        """Frames up to the longest of the data, which the Transformer over channels needs."""
        return F.pad(x, (0, 0, 0, self.frames[modality] - x.shape[1]))

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B T E"]:
        """Convolved frames x_m, and a last channel that is 1 at valid frames; E = W + 1."""
        x, _ = self.inputs[modality](batch)
        if modality == "text":
            x = self.text_dropout(x)
        valid = batch.mask(modality)[..., None].to(x.dtype)
        x = self.convolutions[modality](self._padded(x, modality).transpose(1, 2)).transpose(1, 2)
        return torch.cat([x, self._padded(valid, modality)], dim=-1)

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B T E"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has h of each modality."""
        x = {m: encoded[m][..., :-1] for m in self.modalities}
        pooled = []
        parts = {}
        for m in self.modalities:
            parts[m] = self._states(x, m)
            pooled.append(self.pools[m](parts[m], encoded[m][..., -1] > 0))
        return Output(self.head(torch.cat(pooled, dim=1))[:, 0], parts=parts)

    def _states(self, x: Mapping[str, Float[Tensor, "B _ W"]], modality: str) -> Float[Tensor, "B T V"]:
        """H of a modality: its own states first."""
        states = [self.transformers[f"{modality}_{modality}"](x[modality])]
        for k in self.modalities:
            if k != modality:
                states.append(self.transformers[f"{modality}_{k}"](x[modality], x[k]))
        return torch.cat(states, dim=-1)

    def rebuilt(self, h: Float[Tensor, "B T V"], modality: str) -> Float[Tensor, "B T D"]:
        """The reconstruction of the frames of a modality."""
        courses = h.transpose(1, 2)  # (B, V, T)
        if self.config.across_samples:
            mixed = self.channels[modality](courses.transpose(0, 1)).transpose(0, 1)
        else:
            mixed = self.channels[modality](courses)
        frames: Tensor = self.rebuild[modality](mixed.transpose(1, 2))
        return frames

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        total = F.l1_loss(output.prediction, batch.target)
        if self.training and self.warming_up:
            return total
        for m in self.modalities:
            with torch.no_grad():  # the features are given, and a language model must not make them easy to rebuild
                clean, present = self.inputs[m](batch.uncorrupted())
                lost = present & ~self.inputs[m](batch)[1]
            weight = CODE_WEIGHTS[m] if self.config.code_weights else 1.0
            x_hat = self.rebuilt(output.parts[m], m)
            aim = self._padded(clean, m)
            mask = self._padded(lost[..., None].to(aim.dtype), m)
            total = total + weight * reconstruction_loss(x_hat * mask, aim * mask, mask, self.config.moment_weight)
        return total


def reconstruction_loss(
    x_hat: Float[Tensor, "B T D"], aim: Float[Tensor, "B T D"], mask: Float[Tensor, "B T 1"], moment_weight: float
) -> Float[Tensor, ""]:
    """(Smooth-L1 + moment_weight · CMD) over the number of entries of frames in the mask, of masked frames."""
    entries = mask.sum() * aim.shape[-1] + 1e-4
    smooth = F.smooth_l1_loss(x_hat, aim, reduction="sum")
    return (smooth + moment_weight * moment_distance(x_hat.flatten(0, 1), aim.flatten(0, 1))) / entries


def moment_distance(x: Float[Tensor, "N D"], y: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    """CMD: |mean x − mean y| + Σ_k |mean (x − mean x)^k − mean (y − mean y)^k| up to the third moment."""
    total = _distance(x.mean(0), y.mean(0))
    for k in range(2, MOMENTS + 1):
        total = total + _distance((x - x.mean(0)).pow(k).mean(0), (y - y.mean(0)).pow(k).mean(0))
    return total


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b).square().sum() + 1e-12).sqrt()  # the constant keeps the gradient at zero finite


def build(spec: DataSpec, **overrides: Any) -> TFRNet:
    """A TFR-Net for data of this specification, with fields of `TFRNetConfig` set as given."""
    return TFRNet(spec, configure(TFRNetConfig, overrides))
