"""P-RMF: a proxy modality, weighted by the variances of variational codes, leads the fusion.

Re-implemented after
    Zhu, Hu, Wang, Yang, Tang, An: Proxy-Driven Robust Multimodal Sentiment Analysis with Incomplete Data
    (ACL 2025, 22123-22138),
    the authors' code (aoqzhu/P-RMF) as it is kept in 1579364808/PRD-Net @ cdb0039 and yyyffff-sudo/LA-PRMF @ b46d945.

Each modality is encoded to K tokens h_m (see `qamoe_baselines.token_transformer`), and these by a variational encoder,
for every token and dimension:
    e_m = Transformer(ReLU(W h_m + b));  μ_m = clamp(W_μ e_m + b_μ, ±10);  log σ_m² = clamp(W_σ e_m + b_σ, ±10)
    w_m = exp(1/σ_m) / Σ_k exp(1/σ_k);  p = Σ_m w_m ⊙ μ_m                        the proxy
    p ← q + dropout(W_f LN q + b_f),  q = p + Σ_m w_m ⊙ A_m(p, h_m)              four times, with the same parameters
    ŷ = W₂ dropout(ReLU(W₁ mean_k p + b₁)) + b₂
A_m is attention with one head, W_o dropout(softmax(QKᵀ/√W)) V + b_o, of normalised inputs. With clean tokens h*_m,
z_m = μ_m + σ_m ⊙ ε, decoders D_m and reconstructors R_m, the objective is (means over all elements)
    L = (ŷ − y)² + 0.1 · Σ_m (R_m(h_m) − h*_m)² / M + 0.5 · L_kl
    L_kl = (Σ_m [(D_m(z_m) − h*_m)² + KL(m ‖ N(0, I))] + KL(v ‖ t) + KL(a ‖ t) + KL(a ‖ v)) / 3

From paper and code: all of it. The exponentials overflow float32 where σ < 0.011, so the weights are computed as a
softmax of 1/σ, which is the same number. The targets h*_m have a gradient too, as in the code.
Inferred: with fewer than three modalities, all pairs that remain, and M instead of 3 as divisor.
Departs, and the variant `faithful` reverts the first four:
    reversal      none; the authors reverse the gradient of the proxy without any discriminator, so that the encoders of
                  the proxy are trained to increase the error of the prediction
    reconstructor trained; in the authors' optimiser no group holds it, so that it stays random
    attention     to observed frames only; the authors attend to padding and lost frames too
    input         each dimension standardised with training statistics; the authors feed raw features
    sizes         a quarter of the width, half of the heads and of the blocks, to train no longer than C-MIB on
                  the embedded data; the preset `paper` has the published sizes
    training      the suite's loop; the authors use AdamW at 1e-4, and 5e-6 for BERT and the fusion, and choose the
                  checkpoint of every metric on the test split, which is not offered here

Dimension legend: B samples, M modalities, K tokens, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.gradient_reversal import reverse_gradient
from qamoe_baselines.token_transformer import FrameTokens, TokenSizes, TokenTransformer
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

LIMIT = 10.0
"""Bound of |μ| and |log σ²|; code."""
ORDER = ("text", "vision", "audio")
"""Order of the modalities in the pairwise divergences: the later one is measured against the earlier one; code."""

VARIANTS = {
    "faithful": {"reverse": True, "train_reconstructor": False, "masked": False, "standardise": False},
}
CARD = {
    "groups": ("robust",),
    "tasks": ("regression",),
    "year": 2025,
    "venue": "ACL",
    "parameters": 117_217,
    "published": {"P-RMF": ""},
    "presets": {"paper": {"width": 128, "hidden": 128, "heads": 8, "head_width": 64, "depth": 2}},
    "stages": {"text encoder": ("encoders.text",), "other encoders": ("encoders",), "heads": ("head",)},
}


@dataclass(frozen=True)
class PRMFConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 32  # code: 128
    hidden: int = 32  # code: 128; hidden units of Transformer blocks and of the head
    heads: int = 4  # code: 8
    head_width: int = 8  # code: 64, also where the width is 128
    depth: int = 1  # code: 2; blocks of every Transformer
    tokens: int = 8  # code; K
    rounds: int = 4  # code; applications of the fusion
    attention_dropout: float = 0.5  # code; of the attention weights in the fusion
    fusion_dropout: float = 0.5  # code
    head_dropout: float = 0.5  # code
    reconstruction_weight: float = 0.1  # code
    divergence_weight: float = 0.5  # code
    reverse: bool = False  # code: True
    train_reconstructor: bool = True  # code: False
    masked: bool = True  # code: False
    standardise: bool = True  # code: False

    def sizes(self) -> TokenSizes:
        """Of every Transformer."""
        return TokenSizes(self.width, self.depth, self.heads, self.head_width, self.hidden)


class VariationalTokens(nn.Module):
    """The variational encoder and decoder of one modality."""

    def __init__(self, config: PRMFConfig) -> None:
        super().__init__()
        width = config.width
        self.input = nn.Linear(width, width)
        self.encoder = TokenTransformer(config.sizes(), config.tokens)
        self.mean = nn.Linear(width, width)
        self.log_variance = nn.Linear(width, width)
        self.latent = nn.Linear(width, width)
        self.decoder = TokenTransformer(config.sizes(), config.tokens)
        self.output = nn.Linear(width, width)

    def forward(self, h: Float[Tensor, "B K W"]) -> tuple[Float[Tensor, "B K W"], Float[Tensor, "B K W"]]:
        """μ and log σ²."""
        encoded = self.encoder(F.relu(self.input(h)))
        return self.mean(encoded).clamp(-LIMIT, LIMIT), self.log_variance(encoded).clamp(-LIMIT, LIMIT)

    def decode(self, z: Float[Tensor, "B K W"]) -> Float[Tensor, "B K W"]:
        """D_m(z)."""
        decoded: Tensor = self.output(self.decoder(F.relu(self.latent(z))))
        return decoded


class SourceAttention(nn.Module):
    """A_m: from the proxy to the tokens of one modality."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(width)
        self.source_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, proxy: Float[Tensor, "B K W"], h: Float[Tensor, "B K W"]) -> Float[Tensor, "B K W"]:
        """One output per token of the proxy."""
        source = self.source_norm(h)
        scores = torch.bmm(self.query(self.query_norm(proxy)), self.key(source).transpose(1, 2))  # (B, K, K)
        weights = self.dropout((scores * proxy.shape[-1] ** -0.5).softmax(-1))
        out: Tensor = self.out(torch.bmm(weights, self.value(source)))
        return out


class ProxyFusion(nn.Module):
    """One round of the fusion."""

    def __init__(self, modalities: tuple[str, ...], config: PRMFConfig) -> None:
        super().__init__()
        self.attend = nn.ModuleDict({m: SourceAttention(config.width, config.attention_dropout) for m in modalities})
        self.norm = nn.LayerNorm(config.width)
        self.linear = nn.Linear(config.width, config.width)
        self.dropout = Dropout(config.fusion_dropout)

    def forward(
        self,
        proxy: Float[Tensor, "B K W"],
        tokens: Mapping[str, Float[Tensor, "B K W"]],
        weights: Mapping[str, Float[Tensor, "B K W"]],
    ) -> Float[Tensor, "B K W"]:
        """The next proxy."""
        mixed = proxy
        for m, attend in self.attend.items():
            mixed = mixed + weights[m] * attend(proxy, tokens[m])
        fused: Tensor = mixed + self.dropout(self.linear(self.norm(mixed)))
        return fused


class PRMF(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: PRMFConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        settings = {"standardise": config.standardise, "masked": config.masked}
        encoders = {m: FrameTokens(m, spec, config.sizes(), config.tokens, **settings) for m in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        self.codes = nn.ModuleDict({m: VariationalTokens(config) for m in self.modalities})
        self.fusion = ProxyFusion(self.modalities, config)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.hidden),
            nn.ReLU(),
            Dropout(config.head_dropout),
            nn.Linear(config.hidden, 1),
        )
        reconstructors = {m: TokenTransformer(config.sizes(), config.tokens) for m in self.modalities}
        self.reconstructors = nn.ModuleDict(reconstructors)
        self.reconstructors.requires_grad_(config.train_reconstructor)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B K W"]:
        """h_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B K W"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has h, μ and log σ² of each modality."""
        parts = {}
        for m in self.modalities:
            parts[f"tokens_{m}"] = encoded[m]
            parts[f"mean_{m}"], parts[f"log_variance_{m}"] = self.codes[m](encoded[m])
        means = torch.stack([parts[f"mean_{m}"] for m in self.modalities])  # (M, B, K, W)
        deviations = torch.stack([parts[f"log_variance_{m}"] for m in self.modalities]).mul(0.5).exp()
        weights = (1 / deviations).softmax(0)
        proxy = (weights * means).sum(0)  # (B, K, W)
        if self.config.reverse:
            proxy = reverse_gradient(proxy)
        by_modality = dict(zip(self.modalities, weights, strict=True))
        for _ in range(self.config.rounds):
            proxy = self.fusion(proxy, encoded, by_modality)
        return Output(self.head(proxy.mean(1))[:, 0], parts=parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        clean = self.encode(batch.uncorrupted())
        reconstruction = output.prediction.new_zeros(())
        for m in self.modalities:
            rebuilt = self.reconstructors[m](output.parts[f"tokens_{m}"])
            reconstruction = reconstruction + F.mse_loss(rebuilt, clean[m])
        total = F.mse_loss(output.prediction, batch.target)
        total = total + self.config.reconstruction_weight * reconstruction / len(self.modalities)
        return total + self.config.divergence_weight * self._divergence(output.parts, clean)

    def _divergence(
        self, parts: Mapping[str, Tensor], clean: Mapping[str, Float[Tensor, "B K W"]]
    ) -> Float[Tensor, ""]:
        """L_kl."""
        total = next(iter(clean.values())).new_zeros(())
        for m in self.modalities:
            mean = parts[f"mean_{m}"]
            log_variance = parts[f"log_variance_{m}"]
            code = self.codes[m]
            assert isinstance(code, VariationalTokens)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            total = total + F.mse_loss(code.decode(z), clean[m])
            total = total + gaussian_divergence(mean, log_variance, mean * 0, mean * 0)
        present = [m for m in ORDER if m in self.modalities]
        for earlier, later in combinations(present, 2):
            codes = [parts[f"{part}_{m}"] for m in (later, earlier) for part in ("mean", "log_variance")]
            total = total + gaussian_divergence(*codes)
        return total / len(self.modalities)


def gaussian_divergence(mean: Tensor, log_variance: Tensor, mean_q: Tensor, log_variance_q: Tensor) -> Tensor:
    """KL(N(mean, σ²) ‖ N(mean_q, σ_q²)) in nats, averaged over all elements."""
    ratio = (log_variance - log_variance_q).exp()
    distance = (mean - mean_q).square() * (-log_variance_q).exp()
    return 0.5 * (ratio + distance - 1 - log_variance + log_variance_q).mean()


def build(spec: DataSpec, **overrides: Any) -> PRMF:
    """A P-RMF for data of this specification, with fields of `PRMFConfig` set as given."""
    return PRMF(spec, configure(PRMFConfig, overrides))
