"""QA-MoE-plus: evidence of each modality, tempered by known quality and added up over label anchors (ours).

Not a published model and not the paper's QA-MoE: the suite's own design on its skeleton (encoders, top-k experts, a
quality score and a prior per modality, two answers), made to see what the skeleton can do. Per modality m, with u_m
the encoding of the modality, and N anchors a_1 … a_N evenly spread over the label range:

    r_m  = sigmoid(f(q_m)), q_m from frame statistics and the number of frames left; 0 where no frame is left
    g    = softmax over the k largest of W_g u_m
    ℓ_m  = W_m · dropout(u_m + Σ_k g_k E_k(u_m))      log-evidence for each anchor
    p    = softmax(ln prior + Σ_m r_m · ℓ_m)          a product of experts
    ŷ    = the median of p, each anchor's mass spread evenly over its cell;  variance = that of p

A modality without quality says nothing, one with a sharp ℓ_m outweighs one with a flat ℓ_m, and with no evidence at all
the prior is left: the form of Bayes' rule for views that are independent given the label. Trained on the
cross-entropy of p with the label (its mass split between the two nearest anchors), plus the absolute error of ŷ, plus
the cross-entropy of r_m with the share of the signal that corruption left, which is known in training. The mixture
takes r_m as a fact: no gradient flows back into it.

Departs from QA-MoE: the score is trained on the known corruption and has an encoder of its own; experts add to the
encoding instead of replacing it; modalities are combined by adding evidence instead of a fusion layer, with one prior
over the label instead of one per modality; the answer is a distribution over anchors instead of a mean and a variance.
Chosen on further samples of the embedded law and by cross-validation inside MOSI's train and valid split, with no test
split in view.

Dimension legend: B samples, M modalities, W width, E experts, N anchors, Q width of the quality's encoding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.encoder import Summary, utterance_encoders
from qamoe_bench.nn.experts import Dispatch, GLUExperts, top_k_gate
from qamoe_bench.nn.frames import FrameStatistics, StandardisedLinear, frame_counts, observed_frames
from qamoe_bench.nn.two_stage import QualityAwareModel

VARIANTS = {
    "-quality-gate": {"quality_gate": False},
    "-experts": {"experts": 0},
}
CARD = {
    "groups": ("quick",),
    "stages": {"heads": ("evidence",)},
    "style": 3,
}


@dataclass(frozen=True)
class QAMoEPlusConfig:
    """Every choice of the model; all are ours, and what QA-MoE has too has its value."""

    width: int = 64  # of encodings and experts
    anchors: int = 13  # label anchors; half a unit apart on [-3, 3]
    experts: int = 8  # 0 leaves them out
    k: int = 3  # experts that answer for a modality of a sample
    expert_hidden: int = 64  # inner width of an expert
    quality_gate: bool = True  # whether evidence is tempered by r_m
    quality_width: int = 64  # of the quality's own encoding
    dropout: float = 0.0  # of the mixture's answer
    encoder: Summary = "statistics"  # how an encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoders, as QA-MoE has it; MOSI would have liked more
    l1_weight: float = 1.0  # of the absolute error of ŷ
    quality_weight: float = 1.0  # of the cross-entropy of r_m, averaged over modalities
    dispatch: Dispatch = "auto"  # how experts are computed; changes speed only

    def __post_init__(self) -> None:
        if self.experts and not 1 <= self.k <= self.experts:
            raise BenchError(f"QAMoEPlusConfig.k: expected 1 to {self.experts}, the number of experts, got {self.k}")
        if self.anchors < 2:
            raise BenchError(f"QAMoEPlusConfig.anchors: expected at least 2, got {self.anchors}")


class SignalScore(nn.Module):
    """The logit of r_m of one modality, from statistics of its frames and how many of them are left.

    Of token ids only their number counts, without those that stand for a lost token: ids have no statistics, and a
    wrong word cannot be told from a right one by counting.
    """

    def __init__(self, modality: str, spec: DataSpec, width: int) -> None:
        super().__init__()
        self.modality, self.lost = modality, spec.token_ids.get(modality)
        if self.lost is None:
            self.frame = StandardisedLinear(spec.feature_mean[modality], spec.feature_std[modality], width)
            self.pool = FrameStatistics()
            self.norm = nn.LayerNorm(2 * width)
        known = 2 if self.lost is not None else 2 * width + 2
        self.read = nn.Sequential(nn.Linear(known, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, batch: Batch) -> Float[Tensor, " B"]:
        """Any number; what it says of a sample without frames is not used."""
        x, lengths, observed = batch.features[self.modality], batch.lengths[self.modality], self._left(batch)
        known = frame_counts(observed, lengths)  # (B, 2)
        if self.lost is None:
            known = torch.cat([self.norm(self.pool(self.frame(x), observed)), known], dim=1)  # (B, 2·Q + 2)
        logit: Tensor = self.read(known)
        return logit[:, 0]

    def _left(self, batch: Batch) -> Bool[Tensor, "B T"]:
        """Frames that are there and do not stand for a lost token."""
        observed = observed_frames(batch, self.modality)
        return observed if self.lost is None else observed & (batch.features[self.modality][..., 0] != self.lost)


class QAMoEPlus(QualityAwareModel):
    """The model of the module docstring."""

    anchors: Tensor

    def __init__(self, spec: DataSpec, config: QAMoEPlusConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        self.register_buffer("anchors", torch.linspace(*spec.label_range, config.anchors))
        self.encoders = utterance_encoders(spec, width, config.encoder_dropout, config.encoder)
        self.score = nn.ModuleDict({m: SignalScore(m, spec, config.quality_width) for m in self.modalities})
        if config.experts:
            self.gate = nn.ModuleDict({m: nn.Linear(width, config.experts, bias=False) for m in self.modalities})
            self.experts = GLUExperts(config.experts, width, config.expert_hidden, config.dispatch)
        self.evidence = nn.ModuleDict({m: nn.Linear(width, config.anchors) for m in self.modalities})
        self.dropout = nn.Dropout(config.dropout)
        self.prior = nn.Parameter(torch.zeros(config.anchors))

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B V"]:
        """u_m, the logit of r_m, and whether any frame is left, side by side."""
        left = observed_frames(batch, modality).any(1)
        return torch.cat([self.encoders[modality](batch), self.score[modality](batch)[:, None], left[:, None]], dim=1)

    def fuse(
        self, encoded: Mapping[str, Float[Tensor, "B V"]], quality: Mapping[str, Float[Tensor, " B"]] | None = None
    ) -> Output:
        """Prediction, predicted variance and one quality score per modality.

        Given scores replace r_m entirely: a modality without any frame then contributes as much as its score says,
        because leaving it out is part of r_m. Without the quality gate, scores change nothing.
        """
        u = {m: encoded[m][:, :-2] for m in self.modalities}
        logits, left = ({m: encoded[m][:, i] for m in self.modalities} for i in (-2, -1))
        own = {m: logits[m].sigmoid().detach() * left[m] for m in self.modalities}
        used = own if quality is None else {m: quality[m] for m in self.modalities}
        gates = self._gates(u)
        answers = self._answers(u, gates)
        score = self.prior.expand(len(answers[0]), -1)  # (B, N)
        for m, answer in zip(self.modalities, answers, strict=True):
            weight = used[m] if self.config.quality_gate else left[m]
            score = score + weight[:, None] * self.evidence[m](self.dropout(answer))
        log_mass = score.log_softmax(1)
        mass = log_mass.exp()
        mean = mass @ self.anchors
        spread = (mass * (self.anchors - mean[:, None]) ** 2).sum(1)
        # A cell is not a point: mass spread evenly over it adds its own variance, and keeps the sum positive.
        variance = spread + self._cell() ** 2 / 12
        parts = {"log_mass": log_mass, **{f"logit_{m}": logit for m, logit in logits.items()}}
        return Output(median(mass, self.anchors), variance, used, gates, parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """Cross-entropies of the distribution over anchors and of the scores, and the error of the median."""
        place = shares(batch.target, self.anchors)  # (B, N)
        loss = -(place * output.parts["log_mass"]).sum(1).mean()
        loss = loss + self.config.l1_weight * F.l1_loss(output.prediction, batch.target)
        for m in self.modalities:
            known = F.binary_cross_entropy_with_logits(output.parts[f"logit_{m}"], batch.signal[m])
            loss = loss + self.config.quality_weight / len(self.modalities) * known
        return loss

    def _gates(self, u: Mapping[str, Float[Tensor, "B W"]]) -> dict[str, Float[Tensor, "B E"]]:
        if not self.config.experts:
            return {}
        return {m: top_k_gate(self.gate[m](x), self.config.k, renormalise=True) for m, x in u.items()}

    def _answers(self, u: Mapping[str, Tensor], gates: Mapping[str, Tensor]) -> list[Float[Tensor, "B W"]]:
        """u_m + Σ_k g_k E_k(u_m) of each modality; one pool answers for all at once."""
        if not self.config.experts:
            return [*u.values()]
        tokens = torch.cat([*u.values()])  # (M·B, W)
        mixed: Tensor = tokens + self.experts(tokens, torch.cat([*gates.values()]))
        return list(mixed.chunk(len(u)))

    def _cell(self) -> Float[Tensor, ""]:
        return self.anchors[1] - self.anchors[0]


def shares(label: Float[Tensor, " B"], anchors: Float[Tensor, " N"]) -> Float[Tensor, "B N"]:
    """A label's mass split between its two nearest anchors, in proportion; labels beyond the ends count as the ends."""
    step = anchors[1] - anchors[0]
    return (1 - (label.clamp(anchors[0], anchors[-1])[:, None] - anchors).abs() / step).clamp(min=0)


def median(mass: Float[Tensor, "B N"], anchors: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
    """Where half of the mass lies below, with each anchor's mass spread evenly over its cell; within the anchors."""
    below = mass.cumsum(1)  # (B, N), up to the upper border of each cell
    cell = (below < 0.5).sum(1, keepdim=True).clamp(max=len(anchors) - 1)  # (B, 1), the one that half falls into
    inside = mass.gather(1, cell).clamp(min=1e-6)
    part = (0.5 - (below.gather(1, cell) - inside)) / inside  # how much of the cell lies below
    step = anchors[1] - anchors[0]
    return (anchors[cell] + (part - 0.5) * step)[:, 0].clamp(anchors[0], anchors[-1])


def build(spec: DataSpec, **overrides: Any) -> QAMoEPlus:
    """A QA-MoE-plus for data of this specification, with fields of `QAMoEPlusConfig` set as given."""
    return QAMoEPlus(spec, configure(QAMoEPlusConfig, overrides))
