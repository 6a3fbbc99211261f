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
Gaussian negative log-likelihood ½·exp(−s)·(y − ŷ)² + ½·s.

From the descriptions: all formulas above, 8 experts, k = 3, GLU experts, dropout 0.1.
Inferred: renormalising the gate over the kept experts, one pool of experts and one prior shared by the modalities with
one gate matrix each, the fusion layer (concatenate, linear, GELU), the likelihood's exact form, width 64.
Departs: the encoders are the suite's own (see `qamoe_bench.nn.encoder`), where the paper uses pretrained ones; ŷ is
the training mean plus the head's output times the training standard deviation, which only moves the start.
Known consequence: σ²_m has a gradient only through r_m, so nothing makes r_m a measure of quality. Reports print its
rank correlation with the real corruption, whatever it is.

Dimension legend: B samples, M modalities, W width, E experts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.nn.config import configure
from qamoe_bench.nn.encoder import Summary, utterance_encoders
from qamoe_bench.nn.experts import GLUExperts, top_k_gate


@dataclass(frozen=True)
class QAMoEConfig:
    """Every choice of the model; what the paper fixes says so."""

    width: int = 64  # of encodings, experts and fusion; not stated in the descriptions
    experts: int = 8  # paper
    top_k: int = 3  # paper
    expert_hidden: int = 128  # inner width of an expert; not stated
    renormalise_gate: bool = True  # softmax over the kept logits; not stated
    share_experts: bool = True  # one pool for all modalities, not one each; not stated
    share_prior: bool = True  # one y_prior for all modalities, not one each; not stated
    dropout: float = 0.1  # paper
    encoder: Summary = "statistics"  # how an encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoders, which are not the paper's
    loss: Literal["nll", "nll+l1", "l1"] = "nll"  # paper: nll, in its standard form


class QAMoE(nn.Module):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: QAMoEConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width, pools = config.width, 1 if config.share_experts else len(self.modalities)
        self.encoders = utterance_encoders(spec, width, config.encoder_dropout, config.encoder)
        self.mean = nn.ModuleDict({m: nn.Linear(width, width) for m in self.modalities})
        self.spread = nn.ModuleDict({m: nn.Linear(width, width) for m in self.modalities})
        self.gate = nn.ModuleDict({m: nn.Linear(width, config.experts, bias=False) for m in self.modalities})
        self.experts = nn.ModuleList(GLUExperts(config.experts, width, config.expert_hidden) for _ in range(pools))
        self.prior = nn.Parameter(torch.zeros(1 if config.share_prior else len(self.modalities), width))
        self.fusion = nn.Sequential(
            nn.Linear(len(self.modalities) * width, width), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.predict = nn.Linear(width, 1)
        self.log_variance = nn.Linear(width, 1)
        self.label_mean, self.label_std = spec.label_mean, spec.label_std

    def encode(self, batch: Batch) -> dict[str, Float[Tensor, "B W"]]:
        """u_m of each modality; depends on that modality alone."""
        return {m: self.encoders[m](batch) for m in self.modalities}

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> Output:
        """Everything after the encoders."""
        mean = {m: self.mean[m](encoded[m]) for m in self.modalities}
        quality = {m: self._quality(self.spread[m](encoded[m])) for m in self.modalities}
        mixed = [self._mix(i, m, mean[m], quality[m]) for i, m in enumerate(self.modalities)]
        h = self.fusion(torch.cat(mixed, dim=1))  # (B, W)
        prediction = self.label_mean + self.label_std * self.predict(h)[:, 0]
        # The clamp keeps exp(−s) finite while training is wild; |s| = 10 is far outside any label scale.
        variance = self.label_std**2 * self.log_variance(h)[:, 0].clamp(-10, 10).exp()
        return Output(prediction, variance, quality)

    def forward(self, batch: Batch) -> Output:
        """Prediction, predicted variance and one quality score per modality."""
        return self.fuse(self.encode(batch))

    def loss(self, output: Output, batch: Batch) -> Float[Tensor, ""]:
        """Heteroscedastic Gaussian negative log-likelihood, without its constant; or as the configuration says."""
        assert output.variance is not None
        assert batch.target is not None
        error = output.prediction - batch.target
        nll = 0.5 * (error**2 / output.variance + output.variance.log()).mean()
        match self.config.loss:
            case "nll":
                return nll
            case "nll+l1":
                return nll + error.abs().mean()
            case "l1":
                return error.abs().mean()

    @staticmethod
    def _quality(spread: Float[Tensor, "B W"]) -> Float[Tensor, " B"]:
        return 1 / (1 + F.softplus(spread).mean(dim=1))

    def _mix(
        self, index: int, modality: str, mean: Float[Tensor, "B W"], quality: Float[Tensor, " B"]
    ) -> Float[Tensor, "B W"]:
        """y_m: the chosen experts' answer, drawn towards the prior as quality falls."""
        config = self.config
        gate = top_k_gate(self.gate[modality](mean), config.top_k, renormalise=config.renormalise_gate)  # (B, E)
        answers = self.experts[0 if config.share_experts else index](mean)  # (B, E, W)
        content = torch.einsum("be,bew->bw", gate, answers)
        prior = self.prior[0 if config.share_prior else index]
        return quality[:, None] * content + (1 - quality[:, None]) * prior


def build(spec: DataSpec, **overrides: Any) -> QAMoE:
    """A QA-MoE for data of this specification, with fields of `QAMoEConfig` set as given."""
    return QAMoE(spec, configure(QAMoEConfig, overrides))
