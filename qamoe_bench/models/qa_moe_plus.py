"""QA-MoE-plus: evidence of each modality, tempered by known quality and summed over label anchors (ours).

Not a published model and not the paper's QA-MoE: the suite's own design on its skeleton (encoders, top-k experts, a
quality score and a prior per modality, a mean and a variance), made to measure what that skeleton can reach. Per
modality m, with u_m the encoding of the modality, and N anchors a_1 … a_N evenly spread over the label range:

    r_m  = sigmoid(f(q_m)), q_m from statistics and number of the observed frames; 0 without an observed frame
    g    = softmax over the k largest of W_g u_m
    ℓ_m  = W_m · dropout(u_m + Σ_k g_k E_k(u_m))      log-evidence for each anchor
    p    = softmax(ln prior + Σ_m r_m · ℓ_m)          a product of experts
    ŷ    = the median of p, each anchor's mass spread evenly over its cell;  variance = that of p

A modality without quality contributes nothing, one with a sharp ℓ_m outweighs one with a flat ℓ_m, and without any
evidence p is the prior: the form of Bayes' rule for views that are independent given the label. Trained on the
cross-entropy of p with the label (its mass split between the two nearest anchors), plus the absolute error of ŷ, plus
the cross-entropy of r_m with the share of the signal that corruption left, which is known in training. The mixture
takes r_m as a constant: no gradient flows back into it.

For classes there is one anchor for each, so that p is the distribution over classes; several labels have one sigmoid
each of ln prior + Σ_m r_m · ℓ_m. There is no ŷ, and so no absolute error and no variance.

Departs from QA-MoE: the score is trained on the known corruption and has a separate encoder; experts add to the
encoding instead of replacing it; modalities are combined by adding evidence instead of a fusion layer, with one prior
over the label instead of one per modality; the prediction is a distribution over anchors instead of a mean and a
variance. Chosen on further samples of the embedded law and by cross-validation inside MOSI's train and valid split,
without any test split.

Dimension legend: B samples, M modalities, W width, E experts, N anchors, Q width of the quality's encoding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.anchors import median, shares, spread
from qamoe_bench.nn.answers import Answers, class_output
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.encoder import Summary, UtteranceEncoders
from qamoe_bench.nn.experts import Dispatch, GLUExperts, top_k_gate
from qamoe_bench.nn.frames import FrameStatistics, StandardisedLinear, frame_counts
from qamoe_bench.nn.two_stage import FrameMappingModel, QualityAwareModel

VARIANTS = {
    "-quality-gate": {"quality_gate": False},
    "-experts": {"experts": 0},
}
CARD = {
    "groups": ("quick", "paper"),
    "tasks": ("regression", "classes", "multi-label"),
    "parameters": 163_959,
    "stages": {"heads": ("evidence",)},
    "style": 3,
}


@dataclass(frozen=True)
class QAMoEPlusConfig:
    """Hyperparameters; all are ours, and those that QA-MoE shares have the same value."""

    width: int = 64  # of encodings and experts
    anchors: int = 13  # label anchors; half a unit apart on [-3, 3]; classes have one each
    experts: int = 8  # 0: no experts
    k: int = 3  # experts per sample and modality
    expert_hidden: int = 64  # inner width of an expert
    quality_gate: bool = True  # whether evidence is tempered by r_m
    quality_width: int = 64  # of the quality score's encoding
    dropout: float = 0.0  # of the mixture's output
    encoder: Summary = "statistics"  # how an encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoders, as in QA-MoE; MOSI prefers more
    l1_weight: float = 1.0  # of the absolute error of ŷ
    quality_weight: float = 1.0  # of the cross-entropy of r_m, averaged over modalities
    dispatch: Dispatch = "auto"  # how experts are computed; affects speed only

    def __post_init__(self) -> None:
        if self.experts and not 1 <= self.k <= self.experts:
            raise BenchError(f"setting k: expected 1 to {self.experts}, the number of experts, got {self.k}")
        if self.anchors < 2:
            raise BenchError(f"setting anchors: expected at least 2, got {self.anchors}")


class SignalScore(nn.Module):
    """The logit of r_m of one modality, from statistics and the number of its observed frames.

    Token ids have no statistics, so only their number is used, without the ids of lost tokens. Counting cannot detect
    wrong words.
    """

    def __init__(self, modality: str, spec: DataSpec, width: int) -> None:
        super().__init__()
        self.modality = modality
        self.lost = spec.token_ids.get(modality)  # id of a lost token; None for features
        if self.lost is None:
            self.frame = StandardisedLinear(spec.feature_mean[modality], spec.feature_std[modality], width)
            self.pool = FrameStatistics()
            self.norm = nn.LayerNorm(2 * width)
        inputs = 2 if self.lost is not None else 2 * width + 2
        self.read = nn.Sequential(nn.Linear(inputs, 32), nn.GELU(), nn.Linear(32, 1))

    def map_frames(self, batch: Batch) -> Shaped[Tensor, "B T ..."]:
        """The linear map of every frame (B, T, Q); of token ids whether each is another than that of a lost token."""
        x = batch.features[self.modality]  # (B, T, D)
        mapped: Tensor = self.frame(x) if self.lost is None else x[..., 0] != self.lost
        return mapped

    def forward(
        self, mapped: Shaped[Tensor, "B T ..."], observed: Bool[Tensor, "B L T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B L"]:
        """The logit, from what `map_frames` returned; callers ignore it for samples without an observed frame."""
        inputs = frame_counts(observed if self.lost is None else observed & mapped[:, None], lengths)  # (B, L, 2)
        if self.lost is None:
            statistics = self.norm(self.pool(mapped, observed))  # (B, L, 2·Q)
            inputs = torch.cat([statistics, inputs], dim=2)  # (B, L, 2·Q + 2)
        logit: Tensor = self.read(inputs)
        return logit[..., 0]


@dataclass(frozen=True)
class Evidence:
    """Everything that the prediction needs and that no given score changes.

    Attributes:
        scores: The model's own r_m.
        logits: Their logits, for the loss.
        observed: Per modality 1 with any observed frame, else 0.
        of_modalities: ℓ_m, the log-evidence of each modality for each anchor, in order.
        gates: g of each modality.
    """

    scores: Mapping[str, Float[Tensor, " B"]]
    logits: Mapping[str, Float[Tensor, " B"]]
    observed: Mapping[str, Float[Tensor, " B"]]
    of_modalities: Sequence[Float[Tensor, "B N"]]
    gates: Mapping[str, Float[Tensor, "B E"]]


class QAMoEPlus(FrameMappingModel, QualityAwareModel):
    """The model of the module docstring."""

    anchors: Tensor

    def __init__(self, spec: DataSpec, config: QAMoEPlusConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        self.answers = Answers(spec)
        anchors = config.anchors
        if spec.task.is_regression:
            self.register_buffer("anchors", torch.linspace(*spec.label_range, anchors))
        else:
            anchors = spec.task.outputs
        self.encoders = UtteranceEncoders(spec, width, config.encoder_dropout, config.encoder)
        self.score = nn.ModuleDict({m: SignalScore(m, spec, config.quality_width) for m in self.modalities})
        if config.experts:
            self.gate = nn.ModuleDict({m: nn.Linear(width, config.experts, bias=False) for m in self.modalities})
            self.experts = GLUExperts(config.experts, width, config.expert_hidden, config.dispatch)
        self.evidence = nn.ModuleDict({m: nn.Linear(width, anchors) for m in self.modalities})
        self.dropout = Dropout(config.dropout)
        self.prior = nn.Parameter(torch.zeros(anchors))

    def map_frames(self, batch: Batch, modality: str) -> tuple[Shaped[Tensor, "B T ..."], ...]:
        """The maps of every frame by the encoder and by the score."""
        return self.encoders.map_frames(batch, modality), self._scorer(modality).map_frames(batch)

    def encode_mapped(
        self,
        mapped: tuple[Shaped[Tensor, "B T ..."], ...],
        observed: Bool[Tensor, "B L T"],
        lengths: Int[Tensor, " B"],
        modality: str,
    ) -> Float[Tensor, "B L V"]:
        """u_m, the logit of r_m, and whether any frame is observed, concatenated; V = W + 2."""
        of_encoder, of_score = mapped
        u = self.encoders.encode_mapped(of_encoder, observed, modality)
        logit = self._scorer(modality)(of_score, observed, lengths)
        return torch.cat([u, logit[..., None], observed.any(2)[..., None]], dim=2)

    def fuse(
        self, encoded: Mapping[str, Float[Tensor, "B V"]], quality: Mapping[str, Float[Tensor, " B"]] | None = None
    ) -> Output:
        """Prediction, predicted variance and one quality score per modality.

        Given scores replace r_m entirely: a modality without any frame then contributes as much as its score says,
        because leaving it out is part of r_m. Without the quality gate, scores change nothing.
        """
        mixed = self.mix(encoded)
        return self.weigh(mixed, mixed.scores if quality is None else quality)

    def mix(self, encoded: Mapping[str, Float[Tensor, "B V"]]) -> Evidence:
        """The model's own scores, and the evidence ℓ_m of each modality."""
        u = {m: encoded[m][:, :-2] for m in self.modalities}
        logits = {m: encoded[m][:, -2] for m in self.modalities}
        observed = {m: encoded[m][:, -1] for m in self.modalities}  # 1 with any observed frame, else 0
        scores = {m: logits[m].sigmoid().detach() * observed[m] for m in self.modalities}
        gates = self._gates(u)
        mixed = self._mix(u, gates)
        evidence = [self.evidence[m](self.dropout(x)) for m, x in zip(self.modalities, mixed, strict=True)]
        return Evidence(scores, logits, observed, evidence, gates)

    def weigh(self, mixed: Evidence, quality: Mapping[str, Float[Tensor, " B"]]) -> Output:
        """The prediction with these scores: the evidence of the modalities, weighted by them and summed."""
        scores = {m: quality[m] for m in self.modalities}
        weights = scores if self.config.quality_gate else mixed.observed
        score = self._score(mixed.of_modalities, weights)  # (B, N)
        parts = {f"logit_{m}": logit for m, logit in mixed.logits.items()}
        if not self.answers.task.is_regression:
            return class_output(score, self.answers.task, quality=scores, routing=mixed.gates, parts=parts)
        log_mass = score.log_softmax(1)
        mass = log_mass.exp()
        parts["log_mass"] = log_mass
        return Output(median(mass, self.anchors), spread(mass, self.anchors), scores, mixed.gates, parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """Cross-entropies of the distribution over anchors and of the scores, and the error of the median."""
        if self.answers.task.is_regression:
            label_mass = shares(batch.target, self.anchors)  # (B, N)
            loss = -(label_mass * output.parts["log_mass"]).sum(1).mean()
            loss = loss + self.config.l1_weight * F.l1_loss(output.prediction, batch.target)
        else:
            loss = self.answers.loss(output, batch)
        for m in self.modalities:
            score_loss = F.binary_cross_entropy_with_logits(output.parts[f"logit_{m}"], batch.signal[m])
            loss = loss + self.config.quality_weight / len(self.modalities) * score_loss
        return loss

    def _scorer(self, modality: str) -> SignalScore:
        return cast(SignalScore, self.score[modality])

    def _gates(self, u: Mapping[str, Float[Tensor, "B W"]]) -> dict[str, Float[Tensor, "B E"]]:
        if not self.config.experts:
            return {}
        return {m: top_k_gate(self.gate[m](x), self.config.k, renormalise=True) for m, x in u.items()}

    def _mix(self, u: Mapping[str, Tensor], gates: Mapping[str, Tensor]) -> list[Float[Tensor, "B W"]]:
        """u_m + Σ_k g_k E_k(u_m) of each modality, all in one call of the shared pool."""
        if not self.config.experts:
            return [*u.values()]
        tokens = torch.cat([*u.values()])  # (M·B, W)
        mixed: Tensor = tokens + self.experts(tokens, torch.cat([*gates.values()]))
        return list(mixed.chunk(len(u)))

    def _score(
        self, evidence: Sequence[Float[Tensor, "B N"]], weights: Mapping[str, Float[Tensor, " B"]]
    ) -> Float[Tensor, "B N"]:
        """The prior plus the weighted evidence of each modality: the logarithm of p up to a constant."""
        score = self.prior.expand(len(evidence[0]), -1)  # (B, N)
        for m, x in zip(self.modalities, evidence, strict=True):
            score = score + weights[m][:, None] * x
        return score


def build(spec: DataSpec, **overrides: Any) -> QAMoEPlus:
    """A QA-MoE-plus for data of this specification, with fields of `QAMoEPlusConfig` set as given."""
    return QAMoEPlus(spec, configure(QAMoEPlusConfig, overrides))
