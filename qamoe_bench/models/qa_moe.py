"""QA-MoE: experts gated by content, mixed with a learnt prior by quality (reference implementation).

Reference implementation after secondary descriptions of
    Zhu, Jiang, Jiang, Hou, Zhou, Lin, Wang: QA-MoE (ACL 2026, long 1461; arXiv 2604.05704),
whose body and code were not available to us.

Per modality m, with u_m the encoding of the modality:
    μ_m = W_μ u_m + b_μ,   σ²_m = softplus(W_σ u_m + b_σ)
    r_m = 1 / (1 + mean_d σ²_{m,d})
    g   = softmax over the k largest of W_g μ_m
    y_m = r_m · Σ_k g_k E_k(μ_m) + (1 − r_m) · y_prior
and, for all together, h = fusion(y_t, y_a, y_v), ŷ = W_y h + b_y, s = W_s h + b_s, trained with the heteroscedastic
Gaussian negative log-likelihood ½·exp(−s)·(y − ŷ)² + ½·s. For classes, p = softmax(W_y h + b_y), trained with the
cross-entropy; for several labels a sigmoid each.

From the descriptions: all formulas above, 8 experts, k = 3, GLU experts, dropout 0.1.
Inferred: renormalising the gate over the kept experts, one pool of experts and one prior shared by the modalities with
one gate matrix each, the fusion layer (concatenate, linear, GELU), the likelihood's exact form, width 64.
Departs: the encoders are the suite's own (see `qamoe_bench.nn.encoder`), while the paper uses pretrained ones; ŷ is
the training mean plus the head's output times the training standard deviation, which only changes the initial ŷ.
Classes: the paper reports them too (IEMOCAP, MIntRec), but the descriptions do not state its loss for them. The
cross-entropy, without s and variance, is our choice (`class_loss`). The alternative `heteroscedastic` keeps s, as the
temperature of p = softmax(exp(−s/2) · (W_y h + b_y)), after Kendall, Gal, Cipolla (CVPR 2018). `loss` is for numbers.
Known consequence: σ²_m has a gradient only through r_m, so nothing makes r_m a measure of quality. Reports print its
rank correlation with the realised corruption.

Ablations, as settings after the model's name (`qa-moe:-quality-gate`): `-quality-gate` sets r_m = 1, `-fallback` leaves
out y_prior, `-experts` replaces the mixture by one dense block as wide as three experts, `-nll` trains on mean absolute
error; `k=1` to `k=8` set the number of experts per token. `label-nll` and `feature-nll` are our own variants with a
training target for the score, see `qamoe_bench.models.quality`; they are not the paper's method.

Dimension legend: B samples, M modalities, W width, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.models.quality import Quality, QualityKind, gaussian_loss, make_quality
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.encoder import Summary, UtteranceEncoders
from qamoe_bench.nn.experts import Dispatch, GLUExperts, top_k_gate
from qamoe_bench.nn.two_stage import FrameMappingModel, QualityAwareModel

VARIANTS = {
    "-quality-gate": {"quality": "none"},
    "-fallback": {"fallback": False},
    "-experts": {"experts": 1, "k": 1, "expert_hidden": 384},
    "-nll": {"loss": "l1"},
    "label-nll": {"quality": "label-nll"},
    "feature-nll": {"quality": "feature-nll"},
}
CARD = {
    "groups": ("quick", "paper"),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2026,
    "venue": "ACL",
    "parameters": 280_514,
    "published": {"QA-MoE": ""},
    "presets": {"paper": {"width": 128, "expert_hidden": 256}},  # inferred, like all of that preset but λ and η
    "stages": {"heads": ("log_variance",)},
    "style": 0,
}


@dataclass(frozen=True)
class QAMoEConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 64  # of encodings, experts and fusion; not stated in the descriptions
    experts: int = 8  # paper
    k: int = 3  # experts per sample and modality; paper
    expert_hidden: int = 128  # inner width of an expert; not stated
    renormalise_gate: bool = True  # softmax over the kept logits; not stated
    share_experts: bool = True  # one pool for all modalities, not one each; not stated
    share_prior: bool = True  # one y_prior for all modalities, not one each; not stated
    fallback: bool = True  # whether the model has y_prior; paper
    quality: QualityKind = "described"  # source of r_m, see `qamoe_bench.models.quality`; paper: described
    kappa: float = 8.0  # of the quality `feature-nll`: r of a missing modality is 1 / (1 + κ); ours
    dropout: float = 0.1  # paper
    encoder: Summary = "statistics"  # how an encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoders, which are not the paper's
    loss: Literal["nll", "nll+l1", "l1"] = "nll"  # paper: nll, in its standard form; l1 has no variance
    class_loss: Literal["cross-entropy", "heteroscedastic"] = "cross-entropy"  # not stated; see the docstring
    dispatch: Dispatch = "auto"  # how experts are computed; affects speed only

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.experts:
            raise BenchError(f"setting k: expected 1 to {self.experts}, the number of experts, got {self.k}")


@dataclass(frozen=True)
class Mixtures:
    """Everything that the fusion needs and that no given score changes.

    Attributes:
        scores: The model's own r_m; 1 without the quality gate.
        of_experts: Σ_k g_k E_k(μ_m) of each modality, in order.
        gates: g of each modality.
        parts: What the losses of the scores need.
    """

    scores: Mapping[str, Float[Tensor, " B"]]
    of_experts: Sequence[Float[Tensor, "B W"]]
    gates: Mapping[str, Float[Tensor, "B E"]]
    parts: Mapping[str, Tensor]


class QAMoE(FrameMappingModel, QualityAwareModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: QAMoEConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        modalities = len(self.modalities)
        self.encoders = UtteranceEncoders(spec, width, config.encoder_dropout, config.encoder)
        self.quality = nn.ModuleDict(
            {m: make_quality(config.quality, m, spec, width, config.kappa) for m in self.modalities}
        )
        self.mean = nn.ModuleDict({m: nn.Linear(width, width) for m in self.modalities})
        routed = self.modalities if config.experts > 1 else ()  # a single expert needs no gate
        self.gate = nn.ModuleDict({m: nn.Linear(width, config.experts, bias=False) for m in routed})
        dispatch = "dense" if config.k == config.experts else config.dispatch
        self.experts = nn.ModuleList(
            GLUExperts(config.experts, width, config.expert_hidden, dispatch)
            for _ in range(1 if config.share_experts else modalities)
        )
        if config.fallback and config.quality != "none":
            self.prior = nn.Parameter(torch.zeros(1 if config.share_prior else modalities, width))
        self.fusion = nn.Sequential(nn.Linear(modalities * width, width), nn.GELU(), Dropout(config.dropout))
        self.predict = nn.Linear(width, spec.task.outputs)
        self.is_regression = spec.task.is_regression
        if config.loss != "l1" if self.is_regression else config.class_loss == "heteroscedastic":
            self.log_variance = nn.Linear(width, 1)
        self.answers = Answers(spec)

    def map_frames(self, batch: Batch, modality: str) -> tuple[Shaped[Tensor, "B T ..."], ...]:
        """The maps of every frame by the encoder and, if it has one, by the quality score."""
        return self.encoders.map_frames(batch, modality), *self._scorer(modality).map_frames(batch)

    def encode_mapped(
        self,
        mapped: tuple[Shaped[Tensor, "B T ..."], ...],
        observed: Bool[Tensor, "B L T"],
        lengths: Int[Tensor, " B"],
        modality: str,
    ) -> Float[Tensor, "B L V"]:
        """u_m, followed by the quality score's own encoding of the modality."""
        of_encoder, *of_score = mapped
        u = self.encoders.encode_mapped(of_encoder, observed, modality)
        return torch.cat([u, self._scorer(modality).encode(of_score, observed, lengths)], dim=2)

    def fuse(
        self, encoded: Mapping[str, Float[Tensor, "B V"]], quality: Mapping[str, Float[Tensor, " B"]] | None = None
    ) -> Output:
        """Prediction, predicted variance and one quality score per modality.

        Given scores replace r_m; without a quality gate there is no r_m, and they change nothing.
        """
        mixed = self.mix(encoded)
        return self.weigh(mixed, mixed.scores if quality is None else quality)

    def mix(self, encoded: Mapping[str, Float[Tensor, "B V"]]) -> Mixtures:
        """The model's own scores, and the mixture of the chosen experts of each modality."""
        u = {m: encoded[m][:, : self.config.width] for m in self.modalities}
        scores: dict[str, Tensor] = {}  # r_m, (B,)
        parts: dict[str, Tensor] = {}
        for m in self.modalities:
            code = encoded[m][:, self.config.width :]
            scores[m], score_parts = self._scorer(m)(u[m], code)
            parts.update({f"{m}/{name}": part for name, part in score_parts.items()})
        mean = {m: self.mean[m](u[m]) for m in self.modalities}
        gates = {m: self._gate(m, mean[m]) for m in self.modalities}
        return Mixtures(scores, self._mixtures(mean, gates), gates, parts)

    def weigh(self, mixed: Mixtures, quality: Mapping[str, Float[Tensor, " B"]]) -> Output:
        """The prediction with these scores: mixtures tempered by them, and fused."""
        scores = {m: quality[m] for m in self.modalities} if self._has_gate else mixed.scores
        tempered = []
        for index, (mixture, r) in enumerate(zip(mixed.of_experts, scores.values(), strict=True)):
            tempered.append(self._temper(index, mixture, r[:, None]))  # (B, W)
        h = self.fusion(torch.cat(tempered, dim=1))  # (B, M·W) to (B, W)
        values: Tensor = self.predict(h)  # (B, K)
        if not self.is_regression and self.config.class_loss == "heteroscedastic":
            values = values * (-0.5 * self._log_variance(h)).exp()[:, None]
        return self.answers(
            values,
            variance=self._variance(h),
            quality=scores if self._has_gate else {},
            routing=mixed.gates,
            parts=mixed.parts,
        )

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The configured objective of the prediction, plus that of each quality score that has its own."""
        loss = self._error(output, batch) if self.is_regression else self.answers.loss(output, batch)
        for m in self.modalities:
            prefix = f"{m}/"
            score_parts = {n.removeprefix(prefix): part for n, part in output.parts.items() if n.startswith(prefix)}
            score_loss = self._scorer(m).loss(score_parts, batch)
            if score_loss is not None:
                loss = loss + score_loss
        return loss

    def _error(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The configured objective of numbers."""
        error = output.prediction - batch.target
        loss = error.new_zeros(())
        if "nll" in self.config.loss:
            assert output.variance is not None
            loss = loss + gaussian_loss(error, output.variance)
        if "l1" in self.config.loss:
            loss = loss + error.abs().mean()
        return loss

    @property
    def _has_gate(self) -> bool:
        """Whether r_m weighs the experts against the prior."""
        return self.config.quality != "none"

    def _scorer(self, modality: str) -> Quality:
        return cast(Quality, self.quality[modality])

    def _gate(self, modality: str, mean: Float[Tensor, "B W"]) -> Float[Tensor, "B E"]:
        if self.config.experts == 1:
            return torch.ones_like(mean[:, :1])
        return top_k_gate(self.gate[modality](mean), self.config.k, renormalise=self.config.renormalise_gate)

    def _mixtures(self, mean: Mapping[str, Tensor], gates: Mapping[str, Tensor]) -> Sequence[Float[Tensor, "B W"]]:
        """Σ_k g_k E_k(μ_m) of each modality, in order."""
        if not self.config.share_experts:
            return [experts(mean[m], gates[m]) for m, experts in zip(mean, self.experts, strict=True)]
        # All modalities in one call, as tokens of one pool.
        tokens = torch.cat([*mean.values()])  # (M·B, W)
        gate = torch.cat([*gates.values()])  # (M·B, E)
        mixtures: Sequence[Tensor] = self.experts[0](tokens, gate).chunk(len(mean))
        return mixtures

    def _temper(self, index: int, mixture: Float[Tensor, "B W"], r: Float[Tensor, "B 1"]) -> Float[Tensor, "B W"]:
        """r·mixture + (1 − r)·prior, if the model has a prior; without the quality gate r is 1."""
        if not self._has_gate or not self.config.fallback:
            return r * mixture
        return r * mixture + (1 - r) * self.prior[0 if self.config.share_prior else index]

    def _variance(self, h: Float[Tensor, "B W"]) -> Float[Tensor, " B"] | None:
        """exp(s) in squared label units, if the model has it."""
        if not self.is_regression or self.config.loss == "l1":
            return None
        return self.answers.std**2 * self._log_variance(h).exp()

    def _log_variance(self, h: Float[Tensor, "B W"]) -> Float[Tensor, " B"]:
        """The head's s, clamped: |s| = 10 is far outside any label scale, and e^10 is finite."""
        s: Tensor = self.log_variance(h)[:, 0]
        return s.clamp(-10, 10)


def build(spec: DataSpec, **overrides: Any) -> QAMoE:
    """A QA-MoE for data of this specification, with fields of `QAMoEConfig` set as given."""
    return QAMoE(spec, configure(QAMoEConfig, overrides))
