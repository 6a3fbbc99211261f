"""LNLN: a dominant modality, corrected by a proxy where it is incomplete, guides a hyper-modality.

Re-implemented after
    Zhang, Wang, Yu: Towards Robust Multimodal Sentiment Analysis with Incomplete Data (NeurIPS 2024; arXiv 2409.20012),
    code Haoyu-ha/LNLN @ 80a052c.

Each modality is encoded to K tokens h_m (see `qamoe_baselines.token_transformer`); text is dominant (t):
    c = sigmoid(W₂ LeakyReLU(W₁ s + b₁) + b₂),  s = Transformer([token; h_t]) at its token         completeness of text
    p = Transformer([tokens; h_0; h_a; h_v]) at its tokens, with learnt h_0                         proxy of text
    d⁰ = (1 − c) p + c h_t;  dˡ the states of a Transformer over d⁰                                corrected text
    g ← g + Out(Σ_m softmax(Q dˡ (K_m h_m)ᵀ/√C) V_m h_m),  m ∈ {a, v}, once per state; g starts learnt   hyper-modality
    ŷ = W mean_k f + b,  f = the positions, but for an added first one, of dᴸ after cross-attention to g
Attention has several heads and normalised inputs. With clean tokens h*_m, reconstructors R_m and a discriminator δ of
tokens (two layers, LeakyReLU 0.1), the objective is (means over all elements)
    L = (ŷ − y)² + 0.9 · (c − (1 − r_t))² + 0.8 · cross-entropy(δ([d⁰; h*_t]), [corrected; clean])
        + 0.1 · (R(h) − h*)²
where r_t is the share of text that is lost. A reversed gradient after p makes the proxy deceive the discriminator.

From paper and code: all of it. The targets h*_m have a gradient too, as in the code.
Inferred: 1 − r_t is the share of the signal of text that corruption left (`TrainingBatch.signal`), which also defines
it for noise; the first modality of the data is dominant where there is no text; g stays as it starts if there is no
other modality.
Departs, and the variant `faithful` reverts the first three:
    reversal   the proxy is reversed for the discriminator alone. In the code the reversed proxy is used for the
               prediction as well, so that the generator of the proxy is trained to increase the error
    attention  to observed frames only; the authors attend to padding and lost frames too
    input      each dimension standardised with training statistics; the authors feed raw features
    tokens     padding and lost tokens of text: BERT's states are not read there; the authors read them
    sizes      a quarter of the width, half of the heads and about half of the blocks, to train no longer than
               C-MIB on the embedded data; the preset `paper` has the published sizes
    unused     a second attention of the authors' decoder layers, never applied, does not exist here
    masks      the authors corrupt modalities of equal padded length with equal masks (protocol `lnln-missing`); the
               model does not depend on that
    training   the suite's loop; the authors use AdamW at 1e-4 for 200 epochs, choosing checkpoints on the test split

Dimension legend: B samples, K tokens, N positions, W width, H heads, C head width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.gradient_reversal import reverse_gradient
from qamoe_baselines.token_transformer import FrameTokens, TokenBlock, TokenSizes, TokenTransformer, split_heads
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.nn.two_stage import TwoStageModel

SLOPE = 0.1
"""Of every leaky ReLU; code."""

VARIANTS = {
    "faithful": {"reverse_prediction": True, "masked": False, "standardise": False},
}
CARD = {
    "groups": ("robust",),
    "tasks": ("regression",),
    "year": 2024,
    "venue": "NeurIPS",
    "parameters": 88_436,
    "published": {"LNLN": ""},
    "presets": {"paper": {"width": 128, "hidden": 128, "heads": 8, "head_width": 64, "hyper_heads": 8, "depth": 2}},
    "stages": {"text encoder": ("encoders.text",), "other encoders": ("encoders",), "heads": ("head",)},
}


@dataclass(frozen=True)
class LNLNConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 32  # code: 128
    hidden: int = 32  # code: 128; of Transformer blocks, half of it in the completeness check and discriminator
    heads: int = 4  # code: 8
    head_width: int = 8  # code: 64, also where the width is 128
    hyper_heads: int = 4  # code: 8; of the hyper-modality, where the head width is the width over the heads
    depth: int = 1  # code: 2; blocks of every Transformer; the hyper-modality has one layer more
    tokens: int = 8  # code; K
    completeness_weight: float = 0.9  # code: alpha
    adversarial_weight: float = 0.8  # code: beta
    reconstruction_weight: float = 0.1  # code: gamma
    reverse_prediction: bool = False  # code: True
    masked: bool = True  # code: False
    standardise: bool = True  # code: False

    def sizes(self) -> TokenSizes:
        """Of every Transformer."""
        return TokenSizes(self.width, self.depth, self.heads, self.head_width, self.hidden)


class HyperLayer(nn.Module):
    """One layer of the hyper-modality: attention from the dominant modality to each other one, added up."""

    def __init__(self, others: tuple[str, ...], config: LNLNConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.hyper_heads
        self.query_norm = nn.LayerNorm(width)
        self.source_norms = nn.ModuleDict({m: nn.LayerNorm(width) for m in others})
        self.query = nn.Linear(width, width, bias=False)
        self.keys = nn.ModuleDict({m: nn.Linear(width, width, bias=False) for m in others})
        self.values = nn.ModuleDict({m: nn.Linear(width, width, bias=False) for m in others})
        self.out = nn.Linear(width, width)

    def forward(
        self,
        hyper: Float[Tensor, "B K W"],
        dominant: Float[Tensor, "B K W"],
        tokens: Mapping[str, Float[Tensor, "B K W"]],
    ) -> Float[Tensor, "B K W"]:
        """The next hyper-modality."""
        q = split_heads(self.query(self.query_norm(dominant)), self.heads)
        total = torch.zeros_like(q)
        for m, norm in self.source_norms.items():
            source = norm(tokens[m])
            k = split_heads(self.keys[m](source), self.heads)
            v = split_heads(self.values[m](source), self.heads)
            total = total + F.scaled_dot_product_attention(q, k, v)  # (B, H, K, C)
        shifted: Tensor = hyper + self.out(total.transpose(1, 2).flatten(2))
        return shifted


class CrossTransformer(nn.Module):
    """Cross-attention from a target to a source; the same learnt vector is put before both."""

    def __init__(self, config: LNLNConfig) -> None:
        super().__init__()
        self.source_positions = nn.Parameter(torch.randn(1, config.tokens + 1, config.width))
        self.target_positions = nn.Parameter(torch.randn(1, config.tokens + 1, config.width))
        self.first = nn.Parameter(torch.zeros(1, 1, config.width))
        self.blocks = nn.ModuleList(TokenBlock(config.sizes()) for _ in range(config.depth))

    def forward(self, source: Float[Tensor, "B K W"], target: Float[Tensor, "B K W"]) -> Float[Tensor, "B N W"]:
        """The target, N = K + 1 positions."""
        first = self.first.expand(len(source), -1, -1)
        source = torch.cat([first, source], dim=1) + self.source_positions
        x = torch.cat([first, target], dim=1) + self.target_positions
        for block in self.blocks:
            x = block(x, source)
        return x


class LNLN(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: LNLNConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.dominant, *others = self.modalities  # text comes first wherever the data has it
        self.others = tuple(others)
        sizes = config.sizes()
        settings = {"standardise": config.standardise, "masked": config.masked}
        encoders = {m: FrameTokens(m, spec, sizes, config.tokens, **settings) for m in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        self.check = TokenTransformer(sizes, config.tokens, tokens=1)
        self.completeness = two_layers(config.width, config.hidden // 2, 1)
        self.proxy_start = nn.Parameter(torch.ones(1, config.tokens, config.width))
        self.proxy = TokenTransformer(sizes, config.tokens * len(self.modalities), config.tokens)
        self.language = TokenTransformer(sizes, config.tokens)
        self.hyper_start = nn.Parameter(torch.ones(1, config.tokens, config.width))
        layers = config.depth + 1 if self.others else 0
        self.hyper = nn.ModuleList(HyperLayer(self.others, config) for _ in range(layers))
        self.cross = CrossTransformer(config)
        self.head = nn.Linear(config.width, 1)
        self.discriminator = two_layers(config.width, config.hidden // 2, 2)
        reconstructors = {m: TokenTransformer(sizes, config.tokens) for m in self.modalities}
        self.reconstructors = nn.ModuleDict(reconstructors)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B K W"]:
        """h_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B K W"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has c, the reversed d⁰ and h of each modality."""
        h = encoded[self.dominant]
        c = self.completeness(self.check(h)[:, 0]).sigmoid()[..., None]  # (B, 1, 1)
        tokens = [self.proxy_start.expand(len(h), -1, -1), *(encoded[m] for m in self.others)]
        proxy = self.proxy(torch.cat(tokens, dim=1))[:, : self.config.tokens]
        deceiving = (1 - c) * reverse_gradient(proxy) + c * h
        corrected = deceiving if self.config.reverse_prediction else (1 - c) * proxy + c * h
        states = self.language.states(corrected)
        hyper = self.hyper_start.expand(len(h), -1, -1)
        for layer, state in zip(self.hyper, states, strict=False):  # no layers if there is one modality only
            hyper = layer(hyper, state, encoded)
        f = self.cross(hyper, states[-1])
        parts = {f"tokens_{m}": encoded[m] for m in self.modalities}
        parts |= {"completeness": c[:, 0, 0], "corrected": deceiving}
        return Output(self.head(f[:, 1:].mean(1))[:, 0], parts=parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        config = self.config
        clean = self.encode(batch.uncorrupted())
        completeness = F.mse_loss(output.parts["completeness"], batch.signal[self.dominant])
        total = F.mse_loss(output.prediction, batch.target) + config.completeness_weight * completeness
        adversarial = self._adversarial_loss(output.parts["corrected"], clean[self.dominant])
        total = total + config.adversarial_weight * adversarial
        rebuilt = [self.reconstructors[m](output.parts[f"tokens_{m}"]) for m in self.modalities]
        aims = [clean[m] for m in self.modalities]
        return total + config.reconstruction_weight * F.mse_loss(torch.cat(rebuilt, 1), torch.cat(aims, 1))

    def _adversarial_loss(self, corrected: Float[Tensor, "B K W"], clean: Float[Tensor, "B K W"]) -> Float[Tensor, ""]:
        """Cross-entropy of the discriminator over single tokens; class 1 is corrected, 0 is clean; code."""
        scores = self.discriminator(torch.cat([corrected, clean]).flatten(0, 1))  # (2·B·K, 2)
        classes = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        classes[: len(scores) // 2] = 1
        return F.cross_entropy(scores, classes)


def two_layers(width: int, hidden: int, outputs: int) -> nn.Sequential:
    """W₂ LeakyReLU(W₁ x + b₁) + b₂."""
    return nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, outputs))


def build(spec: DataSpec, **overrides: Any) -> LNLN:
    """An LNLN for data of this specification, with fields of `LNLNConfig` set as given."""
    return LNLN(spec, configure(LNLNConfig, overrides))
