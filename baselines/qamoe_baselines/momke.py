"""MoMKE: an expert per modality, learnt alone, and a router that lets every modality use all experts.

Re-implemented after
    Xu, Jiang, Liang: Leveraging Knowledge of Modality Experts for Incomplete Multimodal Learning (ACM Multimedia 2024),
    code wxxv/MoMKE @ 2dceb57.

Each modality is a sequence x^m of S vectors, p^m = dropout(W_m x^m + b_m). An expert k is a stack of blocks
    z ← z + a + MLP(a),  a = softmax(QKᵀ/√C) V with several heads, over the positions that m is not missing at
Phase 1, on complete samples: z^m = expert m of p^m, with a head each, Σ_m mean (w_m z^m + b_m − y)². Phase 2:
    z^m = Σ_k softmax_k(MLP_m(p^m)) expert_k(p^m), and 0 where m is missing
    o = [z^t; z^a; z^v],  ŷ = w (dropout(ReLU(W o + b)) + o) + b',  mean (ŷ − y)²
An MLP has one hidden layer of the same width, GELU and dropout; experts go on learning in phase 2.

For classes, such as the paper's emotions, w and w_m give scores of the classes and both errors are cross-entropies;
several labels have a sigmoid each, which is ours.

From paper and code: all of it but the sequence.
Departs: in the paper the sequence consists of the utterances of a conversation. Here it consists of S segments of one
utterance (see `qamoe_baselines.segments`), because a test sample may not depend on others, and the prediction is the
mean over them. Phase 2 sees the suite's corruption; the authors train one model for each subset of modalities, as the
regime `matched` does. Frames are standardised with training statistics. Sizes are an eighth of the published width and
half of the blocks, to train faster than C-MIB; the preset `paper` has the published sizes.
Inferred: a segment misses a modality if none of its frames is observed; the authors give the mask.

Dimension legend: B samples, S segments, W width, H heads, C head width, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.segments import segment_means
from qamoe_baselines.token_transformer import split_heads
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

CARD = {
    "groups": ("robust",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2024,
    "venue": "ACM Multimedia",
    "parameters": 46_797,
    "published": {"MoMKE": ""},
    "presets": {"paper": {"width": 256, "blocks": 4}},
    "stages": {
        "text encoder": ("inputs.text", "project.text"),
        "other encoders": ("inputs", "project"),
        "experts": ("experts",),
        "heads": ("head",),
    },
}


@dataclass(frozen=True)
class MoMKEConfig:
    """Hyperparameters; a comment names the source of each value."""

    segments: int = 8  # ours; S
    width: int = 32  # code: 256
    blocks: int = 2  # code: 4; of an expert
    heads: int = 2  # code
    dropout: float = 0.5  # code; of projections, MLPs and before the head
    expert_share: float = 0.5  # code; of the epochs, for phase 1


class PlainAttention(nn.Module):
    """a + MLP(a) of the module docstring, without an output map or normalisation."""

    def __init__(self, config: MoMKEConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.mlp = perceptron(width, width, config.dropout)

    def forward(self, x: Float[Tensor, "B S W"], present: Bool[Tensor, "B S"]) -> Float[Tensor, "B S W"]:
        """The update of a block; a = 0 for a sample without present positions."""
        has_any = present.any(1)  # (B,)
        # A softmax over nothing is NaN, so such a sample attends to all, and its output is zeroed.
        mask = (present | ~has_any[:, None])[:, None, None]  # (B, 1, 1, S)
        q = split_heads(self.query(x), self.heads)
        k = split_heads(self.key(x), self.heads)
        v = split_heads(self.value(x), self.heads)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, H, S, C)
        a = attended.transpose(1, 2).flatten(2) * has_any[:, None, None]
        update: Tensor = a + self.mlp(a)
        return update


def perceptron(width: int, outputs: int, dropout: float) -> nn.Sequential:
    """W₂ dropout(GELU(W₁ x + b₁)) + b₂, with dropout of the result too."""
    first = [nn.Linear(width, width), nn.GELU(), Dropout(dropout)]
    return nn.Sequential(*first, nn.Linear(width, outputs), Dropout(dropout))


class ModalityExpert(nn.Module):
    """A stack of blocks."""

    def __init__(self, config: MoMKEConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PlainAttention(config) for _ in range(config.blocks))

    def forward(self, x: Float[Tensor, "B S W"], present: Bool[Tensor, "B S"]) -> Float[Tensor, "B S W"]:
        """The sequence after all blocks."""
        for block in self.blocks:
            x = x + block(x, present)
        return x


class MoMKE(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MoMKEConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        experts = len(self.modalities)
        self.answers = Answers(spec, standardised=False)
        outputs = self.answers.width
        inputs = {m: MaskedFrames(m, spec) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        project = {m: nn.Sequential(nn.Linear(x.width, width), Dropout(config.dropout)) for m, x in inputs.items()}
        self.project = nn.ModuleDict(project)
        self.experts = nn.ModuleDict({m: ModalityExpert(config) for m in self.modalities})
        self.alone = nn.ModuleDict({m: nn.Linear(width, outputs) for m in self.modalities})
        self.routers = nn.ModuleDict({m: perceptron(width, experts, config.dropout) for m in self.modalities})
        joint = experts * width
        self.joint = nn.Sequential(nn.Linear(joint, joint), nn.ReLU(), Dropout(config.dropout))
        self.head = nn.Linear(joint, outputs)

    def _projected(self, batch: Batch, modality: str) -> tuple[Float[Tensor, "B S W"], Bool[Tensor, "B S"]]:
        """p^m, and where m is not missing."""
        x, observed = self.inputs[modality](batch)
        means, present = segment_means(x, observed, batch.lengths[modality], self.config.segments)
        return self.project[modality](means), present

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B S W"]:
        """z^m of phase 2."""
        p, present = self._projected(batch, modality)
        weights = self.routers[modality](p).softmax(-1)  # (B, S, E)
        outputs = torch.stack([expert(p, present) for expert in self.experts.values()], dim=2)  # (B, S, E, W)
        routed: Tensor = (weights[..., None] * outputs).sum(2) * present[..., None]
        return routed

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B S W"]]) -> Output:
        """The prediction, with neither variance nor quality."""
        o = torch.cat([encoded[m] for m in self.modalities], dim=-1)
        return self.answers(self.head(self.joint(o) + o).mean(1))

    def phases(self) -> Sequence[Phase]:
        """Each expert alone, and then all together."""
        share = self.config.expert_share
        shared = [p for part in (self.inputs, self.project, self.experts) for p in part.parameters()]
        alone = [*shared, *self.alone.parameters()]
        together = [*shared, *self.routers.parameters(), *self.joint.parameters(), *self.head.parameters()]
        return [
            Phase("experts", self.expert_loss, [ParameterGroup(alone)], stop=share),
            Phase("router", self.router_loss, [ParameterGroup(together)], start=share),
        ]

    def expert_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The objective of phase 1."""
        clean = batch.uncorrupted()
        total = batch.target.new_zeros(())
        for m in self.modalities:
            values = self.alone[m](self.experts[m](*self._projected(clean, m)))  # (B, S, K)
            total = total + self.answers.loss(self.answers(values.mean(1)), batch, F.mse_loss)
        return total

    def router_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The objective of phase 2."""
        return self.answers.loss(self(batch), batch, F.mse_loss)


def build(spec: DataSpec, **overrides: Any) -> MoMKE:
    """A MoMKE for data of this specification, with fields of `MoMKEConfig` set as given."""
    return MoMKE(spec, configure(MoMKEConfig, overrides))
