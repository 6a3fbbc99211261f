"""EMOE: a router weighs one expert per modality for each sample, and the sum learns from the experts' predictions.

Re-implemented after
    Fang, Huang, Wan, Su, Ye: EMOE: Modality-Specific Enhanced Dynamic Emotion Experts (CVPR 2025, 14314-14324),
    code fuyyyyy/EMOE, as released in June 2025.

x_m are frames convolved to one width, C a map of single frames that all modalities share, T_m Transformers of MulT's
kind (see `qamoe_baselines.causal_transformer`), z all frames of all modalities as one vector, M modalities:
    h_m = the last of T_m(C x_m);   w = softmax(W₂ ReLU(n / ‖n‖) / τ),  n = W₁ z;   f = Σ_m w_m h_m
    u = f + Q ReLU(P f),  ŷ = a · u;   u_m = h_m + Q_m ReLU(P_m h_m),  ŷ_m = a_m · u_m, each map with a bias
    L = |ŷ − y| + mean_m |ŷ_m − y| + 0.1 · D + 0.1 · (H + 0.1 · R)
    D  mean (softmax(u) − softmax(sg Σ_m w_m u_m))²      the sum keeps what the experts know
    R  mean (w_m − sg d_m)²,  d_m ∝ 1 / ((ŷ_m − y)² + 0.1)      weights follow the experts' errors
    H  M Σ_m w_m log w_m, mean over the batch            weights stay spread
With `concat` f has the vectors M · w_m h_m side by side, and D those of w_m u_m.

From the authors' code: all formulas; dropout and sizes are those for CMU-MOSI. Of the paper only the abstract was
read, which names the mixture of modality experts and the distillation from single modalities.
Inferred: with other numbers of modalities the sums have as many terms, and one modality alone has the weight 1.
Departs, and the variant `faithful` reverts the first two:
    input         each dimension standardised with training statistics; the authors feed raw features
    end           h_m is the last valid frame; the authors read the last position, which is mostly padding
    router        z has the means of S segments of equal duration (see `qamoe_baselines.segments`). The authors have 50
                  aligned frames, or map frames of audio and vision to 50, where W₁ has 200 million parameters; the
                  preset `paper` has S = 50
    convolutions  keep the number of frames, so that short samples remain; the authors' shorten by four frames. Always
                  present; the code leaves one out where both widths are equal
    sizes         an eighth of the width and half of the layers and heads, to train about as long as C-MIB; the preset
                  `paper` has the published sizes
    training      the suite's loop; the authors step Adam at 1e-4 after ten batches of 16, and lower it on plateaus
Differences in parameters: the code has a map of single frames for each modality too, 3 · W², which nothing uses, and
maps of 375 and 500 frames to 50, which `segments` replaces.

Dimension legend: B samples, T frames, W width, V width of f, M modalities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.causal_transformer import CausalSizes, CausalTransformer
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.segments import segment_means
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

ATTENTION_DROPOUT = {"text": 0.3, "audio": 0.2, "vision": 0.0}
"""Dropout of attention weights by modality; code, for CMU-MOSI."""
SMOOTHING = 0.1  # of the errors in d_m; code

VARIANTS = {
    "faithful": {"standardise": False, "read_padding": True},
    "concat": {"concat": True},
    "-distillation": {"distillation": 0.0},
    "-similarity": {"similarity": 0.0},
    "-spread": {"spread": 0.0},
}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression",),
    "year": 2025,
    "venue": "CVPR",
    "parameters": 129_287,
    "published": {"EMOE": ""},
    "presets": {"paper": {"width": 256, "heads": 8, "layers": 4, "segments": 50}},
    "stages": {
        "text encoder": ("inputs.text", "convolutions.text", "transformers.text"),
        "other encoders": ("inputs", "convolutions", "transformers", "shared"),
        "heads": ("head", "unimodal"),
    },
}


@dataclass(frozen=True)
class EMOEConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 32  # code: 256
    heads: int = 4  # code: 8
    layers: int = 2  # code: 4
    kernel: int = 5  # code, for CMU-MOSI; frames of the convolutions, odd
    segments: int = 8  # inferred; S, code: 50 frames
    temperature: float = 0.1  # code; τ
    concat: bool = False  # code
    text_dropout: float = 0.5  # code; of the frames of text
    embedding_dropout: float = 0.2  # code; of the inputs of Transformers
    output_dropout: float = 0.5  # code; between P and Q
    distillation: float = 0.1  # code; weight of D
    spread: float = 0.1  # code; weight of H
    similarity: float = 0.01  # code; weight of R
    read_padding: bool = False  # code: True
    standardise: bool = True  # code: False

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise BenchError(f"setting kernel: expected an odd number of frames, got {self.kernel}; add 1")
        if self.segments < 1:
            raise BenchError(f"setting segments: expected at least 1, got {self.segments}; set 1 or more")
        if not self.temperature > 0:
            raise BenchError(f"setting temperature: expected more than 0, got {self.temperature}; set 0.1")

    def transformer(self, modality: str) -> CausalTransformer:
        """A new T_m."""
        sizes = CausalSizes(
            self.width, self.heads, self.layers, ATTENTION_DROPOUT[modality], embedding=self.embedding_dropout
        )
        return CausalTransformer(sizes)


class ModalityRouter(nn.Module):
    """The weights w of one vector."""

    def __init__(self, width: int, modalities: int, temperature: float) -> None:
        super().__init__()
        hidden = max(width // 8, 1)
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, modalities)
        self.temperature = temperature

    def forward(self, z: Float[Tensor, "B _"]) -> Float[Tensor, "B M"]:
        """One weight per modality; they sum to 1."""
        direction = F.normalize(self.hidden(z), dim=1)
        scores: Tensor = self.out(F.relu(direction)) / self.temperature
        return scores.softmax(1)


class ResidualHead(nn.Module):
    """U and ŷ."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        self.outer = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, f: Float[Tensor, "B V"]) -> tuple[Float[Tensor, "B V"], Float[Tensor, " B"]]:
        """The vector and the prediction."""
        u = f + self.outer(self.dropout(F.relu(self.inner(f))))
        return u, self.out(u)[:, 0]


class EMOE(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: EMOEConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        inputs = {m: MaskedFrames(m, spec, standardise=config.standardise) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        self.text_dropout = Dropout(config.text_dropout)
        convolutions = {
            m: nn.Conv1d(x.width, width, config.kernel, padding=config.kernel // 2, bias=False)
            for m, x in inputs.items()
        }
        self.convolutions = nn.ModuleDict(convolutions)
        self.shared = nn.Linear(width, width, bias=False)
        self.transformers = nn.ModuleDict({m: config.transformer(m) for m in self.modalities})
        count = len(self.modalities)
        routed = config.segments * sum(x.width for x in inputs.values())
        # One modality alone leaves no choice.
        self.router = ModalityRouter(routed, count, config.temperature) if count > 1 else None
        self.unimodal = nn.ModuleDict({m: ResidualHead(width, config.output_dropout) for m in self.modalities})
        self.head = ResidualHead(count * width if config.concat else width, config.output_dropout)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B _"]:
        """h_m, and then the part of z."""
        x, observed = self.inputs[modality](batch)
        lengths = batch.lengths[modality]
        means, _ = segment_means(x, observed, lengths, self.config.segments)
        if modality == "text":
            x = self.text_dropout(x)
        x = self.convolutions[modality](x.transpose(1, 2)).transpose(1, 2)
        states = self.transformers[modality](self.shared(x))
        end = torch.full_like(lengths, x.shape[1]) if self.config.read_padding else lengths
        # A sample without a frame is read at its first position, which is padding.
        last = states[torch.arange(len(end), device=end.device), (end - 1).clamp(min=0)]
        return torch.cat([last, means.flatten(1).to(last.dtype)], dim=1)

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has w, u and h_m."""
        width = self.config.width
        parts = {m: encoded[m][:, :width] for m in self.modalities}
        z = torch.cat([encoded[m][:, width:] for m in self.modalities], dim=1)
        weights = z.new_ones(len(z), 1) if self.router is None else self.router(z)
        fused = self._mixed(weights, parts, len(self.modalities) if self.config.concat else 1)
        u, prediction = self.head(fused)
        return Output(prediction, parts={**parts, "weights": weights, "fused": u})

    def _mixed(
        self, weights: Float[Tensor, "B M"], vectors: Mapping[str, Float[Tensor, "B W"]], scale: int = 1
    ) -> Float[Tensor, "B V"]:
        """The weighted vectors of all modalities, added or side by side."""
        weighted = weights[..., None] * torch.stack([vectors[m] for m in self.modalities], dim=1)  # (B, M, W)
        return scale * weighted.flatten(1) if self.config.concat else weighted.sum(1)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        config = self.config
        weights = output.parts["weights"]
        heads = {m: self.unimodal[m](output.parts[m]) for m in self.modalities}
        predictions = torch.stack([prediction for _, prediction in heads.values()], dim=1)  # (B, M)
        target = batch.target[:, None].expand_as(predictions)
        total = F.l1_loss(output.prediction, batch.target) + F.l1_loss(predictions, target)
        teacher = self._mixed(weights, {m: u for m, (u, _) in heads.items()}).detach()
        distillation = F.mse_loss(output.parts["fused"].softmax(1), teacher.softmax(1))
        accuracy = 1 / ((predictions.detach() - target).square() + SMOOTHING)
        similarity = F.mse_loss(weights, accuracy / accuracy.sum(1, keepdim=True))
        kept = weights.clamp(min=1e-9)  # the logarithm of a weight that is rounded to 0 is not finite
        spread = weights.shape[1] * (kept * kept.log()).sum(1).mean()
        total = total + config.distillation * distillation + config.similarity * similarity
        return total + config.spread * spread


def build(spec: DataSpec, **overrides: Any) -> EMOE:
    """An EMOE for data of this specification, with fields of `EMOEConfig` set as given."""
    return EMOE(spec, configure(EMOEConfig, overrides))
