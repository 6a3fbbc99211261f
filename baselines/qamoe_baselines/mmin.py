"""MMIN: imagines the embeddings of missing modalities from those of available ones, in both directions.

Re-implemented after
    Zhao, Li, Jin: Missing Modality Imagination Network for Emotion Recognition with Uncertain Missing Modalities
    (ACL 2021, 2608-2618), code AIM3-RUC/MMIN @ 2f22403; for regression as in zeroQiaoba/GCNet @ 8cce4a0.

An encoder per modality, of text u_t = ReLU(W dropout(max_t ReLU(conv₃, conv₄, conv₅)) + b), of the others u_m = max_t
of the states of an LSTM. A cascade of N residual autoencoders, s_0 = 0, v_0 = u = [u_t; u_a; u_v]:
    v_i = v_{i−1} + s_{i−1},  c_i = E_i(v_i),  s_i = D_i(c_i);   u' = T(v_N + s_N);   ŷ = MLP([c_1; …; c_N])
First a teacher with encoders of its own learns ŷ = MLP(u) of complete samples; then the encoders start as copies of the
teacher's, and with a second cascade u'' of u', and the teacher's embeddings τ of what is missing (zeros elsewhere),
    L = (ŷ − y)² + 4 (u' − τ)² + 2 (u'' − u)²,  means over all elements, without a gradient through τ and the last u

For classes, which are the paper's own task, both (ŷ − y)² are cross-entropies and an MLP ends in one value per class;
several labels have a sigmoid each, which is ours.

From paper and code: all of it.
Inferred: the missing part of a sample is made of the frames that are zero though the clean sample has them, so that it
is defined for single lost frames too; with token ids, one language model for teacher and student, which learns with
the teacher and stays fixed afterwards.
Departs: the authors train on six conditions, each with something missing, and expect all frames; here the suite draws
the corruption. Frames are standardised with training statistics. The maximum runs over the valid frames and not over
padding. Four zero frames follow the text, so that the shortest has a window of each size. Sizes are a quarter of the
published ones and the cascade has three of five blocks, to train faster than C-MIB; the preset `paper` has the
published sizes. Initialisation is torch's own.

Dimension legend: B samples, T frames, D feature width, W width of an embedding, V = W · modalities, C width of a code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.recurrence import recurrent_states
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

WINDOWS = (3, 4, 5)
"""Sizes of the convolutions over text, in tokens; code."""

CARD = {
    "groups": ("robust",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2021,
    "venue": "ACL",
    "parameters": 206_946,
    "published": {"MMIN": ""},
    "presets": {"paper": {"width": 128, "blocks": 5, "hidden": 128}},
    "stages": {
        "text encoder": ("inputs.text", "encoders.text"),
        "other encoders": ("inputs", "encoders"),
        "heads": ("head",),
    },
}


@dataclass(frozen=True)
class MMINConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 32  # code: 128; of an embedding and of each convolution
    blocks: int = 3  # code: 5; N
    hidden: int = 32  # code: 128; of the two layers of a head
    text_dropout: float = 0.5  # code; of the pooled convolutions
    teacher_dropout: float = 0.3  # code; in the teacher's head
    dropout: float = 0.5  # code; in the head
    imagination_weight: float = 4.0  # code
    cycle_weight: float = 2.0  # code
    teacher_share: float = 0.25  # code; of the epochs, 20 of 80

    def layers(self) -> tuple[int, int, int]:
        """Widths of the layers of an autoencoder; the last is C. Code: 256, 128, 64 for a width of 128."""
        return 2 * self.width, self.width, self.width // 2


class ConvolvedText(nn.Module):
    """u_t."""

    def __init__(self, inputs: int, config: MMINConfig) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(inputs, config.width, size) for size in WINDOWS)
        self.map = nn.Sequential(
            Dropout(config.text_dropout), nn.Linear(len(WINDOWS) * config.width, config.width), nn.ReLU()
        )

    def forward(self, x: Float[Tensor, "B T D"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """Zero frames count as any other, as in the code."""
        padded = F.pad(x, (0, 0, 0, WINDOWS[-1] - 1)).transpose(1, 2)  # (B, D, T + 4)
        pooled = [F.relu(convolution(padded)).amax(-1) for convolution in self.convolutions]
        embedded: Tensor = self.map(torch.cat(pooled, dim=1))
        return embedded


class PooledLSTM(nn.Module):
    """u_m of other modalities."""

    def __init__(self, inputs: int, config: MMINConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, config.width, batch_first=True)

    def forward(self, x: Float[Tensor, "B T D"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """The maximum over valid frames; zeros for a sample without any."""
        states = recurrent_states(self.lstm, x)
        # −1 is below every state of an LSTM.
        pooled: Tensor = states.masked_fill(~valid[..., None], -1).amax(1)
        return pooled * valid.any(1)[:, None]


def utterance_embeddings(widths: Mapping[str, int], config: MMINConfig) -> nn.ModuleDict:
    """A new encoder per modality, for frames of these widths."""
    encoders: dict[str, nn.Module] = {}
    for m, width in widths.items():
        encoders[m] = ConvolvedText(width, config) if m == "text" else PooledLSTM(width, config)
    return nn.ModuleDict(encoders)


class ResidualCascade(nn.Module):
    """The cascade of the module docstring: from u to u' and the codes."""

    def __init__(self, width: int, config: MMINConfig) -> None:
        super().__init__()
        sizes = (width, *config.layers())
        self.encoders = nn.ModuleList(layers_between(sizes, nn.LeakyReLU) for _ in range(config.blocks))
        self.decoders = nn.ModuleList(layers_between(sizes[::-1], nn.ReLU) for _ in range(config.blocks))
        self.transition = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, u: Float[Tensor, "B V"]) -> tuple[Float[Tensor, "B V"], Float[Tensor, "B C"]]:
        """The imagined embedding u', and all codes side by side."""
        v = u
        s = torch.zeros_like(u)
        codes = []
        for encode, decode in zip(self.encoders, self.decoders, strict=True):
            v = v + s
            codes.append(encode(v))
            s = decode(codes[-1])
        return self.transition(v + s), torch.cat(codes, dim=1)


def layers_between(sizes: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Linear maps from each size to the next, with the activation between them and not at the end."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def two_layer_head(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """Two layers with ReLU and dropout, and a linear map."""
    layers: list[nn.Module] = []
    for width in (inputs, hidden):
        layers += [nn.Linear(width, hidden), nn.ReLU(), Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


class MMIN(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MMINConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        inputs = {m: MaskedFrames(m, spec) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        widths = {m: x.width for m, x in inputs.items()}
        self.encoders = utterance_embeddings(widths, config)
        self.teacher = utterance_embeddings(widths, config)
        width = len(self.modalities) * config.width
        self.answers = Answers(spec, standardised=False)
        self.teacher_head = two_layer_head(width, config.hidden, self.answers.width, config.teacher_dropout)
        self.cascade = ResidualCascade(width, config)
        self.cycle = ResidualCascade(width, config)
        codes = config.blocks * config.layers()[-1]
        self.head = two_layer_head(codes, config.hidden, self.answers.width, config.dropout)
        self.copied = False  # whether the encoders have started as the teacher's; not part of the weights

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """u_m."""
        with torch.no_grad():  # a language model learns with the teacher only
            x, _ = self.inputs[modality](batch)
        encoded: Tensor = self.encoders[modality](x, batch.mask(modality))
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has u and u'."""
        u = torch.cat([encoded[m] for m in self.modalities], dim=1)
        imagined, codes = self.cascade(u)
        return self.answers(self.head(codes), parts={"embedding": u, "imagined": imagined})

    def phases(self) -> Sequence[Phase]:
        """The teacher, and then the imagination."""
        share = self.config.teacher_share
        teacher = [*self.inputs.parameters(), *self.teacher.parameters(), *self.teacher_head.parameters()]
        student = [p for part in (self.encoders, self.cascade, self.cycle, self.head) for p in part.parameters()]
        return [
            Phase("teacher", self.teacher_loss, [ParameterGroup(teacher)], stop=share),
            Phase("imagination", self.imagination_loss, [ParameterGroup(student)], start=share),
        ]

    def teacher_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The error of the teacher on the clean samples: the mean squared one, or the cross-entropy."""
        clean = batch.uncorrupted()
        frames = {m: self.inputs[m](clean)[0] for m in self.modalities}
        output = self.answers(self.teacher_head(self._embed(frames, batch)))
        return self.answers.loss(output, batch, F.mse_loss)

    def imagination_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring; the first call copies the teacher's encoders."""
        if not self.copied:
            self.encoders.load_state_dict(self.teacher.state_dict())
            self.copied = True
        output = self(batch)
        u = output.parts["embedding"]
        imagined = output.parts["imagined"]
        total = self.answers.loss(output, batch, F.mse_loss)
        total = total + self.config.imagination_weight * F.mse_loss(imagined, self.missing_embedding(batch))
        return total + self.config.cycle_weight * F.mse_loss(self.cycle(imagined)[0], u.detach())

    @torch.no_grad()
    def missing_embedding(self, batch: TrainingBatch) -> Float[Tensor, "B V"]:
        """τ: the teacher's embeddings of the frames that the batch has lost."""
        frames = {}
        for m in self.modalities:
            x, clean = self.inputs[m](batch.uncorrupted())
            _, observed = self.inputs[m](batch)
            frames[m] = x * (clean & ~observed)[..., None]
        return self._embed(frames, batch)

    def _embed(self, frames: Mapping[str, Float[Tensor, "B T D"]], batch: Batch) -> Float[Tensor, "B V"]:
        return torch.cat([self.teacher[m](frames[m], batch.mask(m)) for m in self.modalities], dim=1)


def build(spec: DataSpec, **overrides: Any) -> MMIN:
    """An MMIN for data of this specification, with fields of `MMINConfig` set as given."""
    return MMIN(spec, configure(MMINConfig, overrides))
