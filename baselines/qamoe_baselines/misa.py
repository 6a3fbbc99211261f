"""MISA: modality-invariant and modality-specific representations.

Re-implementation of
    Hazarika, Zimmermann, Poria: MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment
    Analysis (ACM Multimedia 2020; arXiv 2005.03545),
after the paper and thuiar/MMSA @ a94e65d (from declare-lab/MISA), to whose outputs it is equal.

Each modality is encoded to one vector u_m: token ids as the mean of BERT's states, features by two bidirectional LSTMs,
    u_m = [→h₁; →h₂; ←h₁; ←h₂],   h₁ = LSTM₁(x)_end,   h₂ = LSTM₂(LN LSTM₁(x))_end
    o_m = LN ReLU(W_m u_m),   p_m = sigmoid(P_m o_m) private,   c_m = sigmoid(C o_m) shared, with the same C for all
    ŷ   = W₂ ReLU(dropout(W₁ [Transformer(p_t, p_v, p_a, c_t, c_v, c_a)]))
    L   = mean (ŷ − y)² + .1 · difference + .3 · similarity + 1 · reconstruction
    similarity      mean over pairs of modalities of the central moment discrepancy of c_m and c_n, five moments
    difference      Σ ‖P̂ᵀĈ‖² / (entries) over (p_m, c_m) and pairs (p_m, p_n); rows centred over the batch, norm 1
    reconstruction  mean over m of mean (R_m (p_m + c_m) − o_m)²

For classes, as the paper has for humour (UR-FUNNY), (ŷ − y)² is the cross-entropy and W₂ as wide as there are classes;
several labels have a sigmoid each, which is ours.
From paper and code: all formulas. Weights, width and dropout are MMSA's for MOSI.
Inferred: with fewer than three modalities the sums have fewer terms, and no similarity with one.
Departs, and `faithful` reverts the first two:
    input       each dimension standardised with training statistics, zeros stay zeros; MMSA feeds raw features
    Transformer 256 inside instead of torch's 2048, which were half of the parameters and of the time
    LSTM        as wide as the features but at most 64 (`limit`), which saves most of the time for wide features
    text        features of text are encoded like the other modalities, as in the authors' code without BERT
    lengths     of each modality; MMSA takes those of the text for all
    gradient    the roots of the discrepancy have 1e-12 under them, or equal moments would give NaN
    training    the suite's loop; MMSA has Adam at 1e-4 with batches of 16, and clips each gradient value at .8
Differences in parameters: MMSA has a discriminator that no loss reads (4·W + 4) and, for token ids, an unused
normalisation of text; without its optional adversarial loss neither learns.

Dimension legend: B samples, T frames, W width, U width of u_m, S = 2·M vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_baselines.final_states import FinalStates
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.frames import masked_mean, observed_frames
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {
    "faithful": {"standardise": False, "inner": 2048},
    "-similarity": {"similarity": 0.0},
    "-difference": {"difference": 0.0},
    "-reconstruction": {"reconstruction": 0.0},
}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2020,
    "venue": "ACM Multimedia",
    "parameters": 641_409,
    "published": {"MISA": ""},
    "stages": {"heads": ("head",)},
}
MOMENTS = 5


@dataclass(frozen=True)
class MISAConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 128  # MMSA
    dropout: float = 0.2  # MMSA
    heads: int = 2  # paper and code; of the Transformer
    inner: int = 256  # of the Transformer; code: torch's default of 2048
    limit: int = 64  # widest LSTM; code: none
    difference: float = 0.1  # MMSA
    similarity: float = 0.3  # MMSA
    reconstruction: float = 1.0  # MMSA
    standardise: bool = True  # code: False


class StackedStates(nn.Module):
    """u_m of frames: the final states of two bidirectional LSTMs with a normalisation between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.rnn_1 = FinalStates(width, hidden, bidirectional=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.rnn_2 = FinalStates(2 * hidden, hidden, bidirectional=True)

    def forward(self, x: Float[Tensor, "B T D"], lengths: Tensor) -> Float[Tensor, "B U"]:
        """Forward states of both LSTMs, then backward states of both."""
        states, first = self.rnn_1.all_states(x, lengths)
        second = self.rnn_2(self.norm(states), lengths)
        both = torch.stack([first, second], dim=1).reshape(len(x), 2, 2, self.hidden)  # (B, layer, direction, hidden)
        return both.transpose(1, 2).flatten(1)


class MISAEncoder(nn.Module):
    """u_m of one modality."""

    def __init__(self, modality: str, spec: DataSpec, config: MISAConfig) -> None:
        super().__init__()
        self.modality = modality
        self.frames = MaskedFrames(modality, spec, standardise=config.standardise)
        hidden = min(self.frames.width, config.limit)
        self.states = None if self.frames.is_language else StackedStates(self.frames.width, hidden)
        self.width = self.frames.width if self.states is None else 4 * hidden

    def forward(self, batch: Batch) -> Float[Tensor, "B U"]:
        """One row per sample; the mean of the states for token ids."""
        x, _ = self.frames(batch)
        if self.states is None:
            return masked_mean(x, observed_frames(batch, self.modality))
        encoded: Tensor = self.states(x, batch.lengths[self.modality])
        return encoded


class MISA(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MISAConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        # The order of the authors' vectors, which the fusion layer reads.
        self.order = [m for m in ("text", "vision", "audio") if m in self.modalities]
        width = config.width
        encoders = {m: MISAEncoder(m, spec, config) for m in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        self.project = nn.ModuleDict({m: _projection(encoders[m].width, width) for m in self.order})
        self.private = nn.ModuleDict({m: nn.Linear(width, width) for m in self.order})
        self.shared = nn.Linear(width, width)
        reconstructs = config.reconstruction > 0
        self.reconstruct = nn.ModuleDict({m: nn.Linear(width, width) for m in self.order if reconstructs})
        self.transformer = nn.TransformerEncoderLayer(width, config.heads, config.inner, batch_first=True)
        vectors = 2 * len(self.modalities)
        self.head = nn.Sequential(
            nn.Linear(vectors * width, 3 * width),
            Dropout(config.dropout),
            nn.ReLU(),
            nn.Linear(3 * width, spec.task.outputs),
        )
        self.answers = Answers(spec, standardised=False)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B U"]:
        """u_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _"]]) -> Output:
        """The prediction; `parts` has o_m, p_m, c_m of each modality."""
        parts: dict[str, Tensor] = {}
        for m in self.order:
            projected = self.project[m](encoded[m])
            parts[f"projected_{m}"] = projected
            parts[f"private_{m}"] = self.private[m](projected).sigmoid()
            parts[f"shared_{m}"] = self.shared(projected).sigmoid()
        names = [f"{kind}_{m}" for kind in ("private", "shared") for m in self.order]
        h = self.transformer(torch.stack([parts[name] for name in names], dim=1))  # (B, S, W)
        return self.answers(self.head(h.flatten(1)), parts=parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        config = self.config
        total = self.answers.loss(output, batch, _squared_error)
        private = {m: output.parts[f"private_{m}"] for m in self.order}
        shared = {m: output.parts[f"shared_{m}"] for m in self.order}
        pairs = list(combinations(self.order, 2))
        if config.difference:
            differences = [orthogonality_loss(private[m], shared[m]) for m in self.order]
            differences += [orthogonality_loss(private[m], private[n]) for m, n in pairs]
            total = total + config.difference * torch.stack(differences).sum()
        if config.similarity and pairs:
            discrepancies = [moment_discrepancy(shared[m], shared[n], MOMENTS) for m, n in pairs]
            total = total + config.similarity * torch.stack(discrepancies).mean()
        if config.reconstruction:
            errors = []
            for m in self.order:
                rebuilt = self.reconstruct[m](private[m] + shared[m])
                errors.append((rebuilt - output.parts[f"projected_{m}"]).square().mean())
            total = total + config.reconstruction * torch.stack(errors).mean()
        return total


def orthogonality_loss(x: Float[Tensor, "B W"], y: Float[Tensor, "B W"]) -> Float[Tensor, ""]:
    """Mean squared entry of X̂ᵀŶ, with columns centred over the batch and rows scaled to norm 1."""
    return (_unit_rows(x).T @ _unit_rows(y)).square().mean()


def moment_discrepancy(x: Float[Tensor, "B W"], y: Float[Tensor, "B W"], moments: int) -> Float[Tensor, ""]:
    """Σ_k ‖E[(x − Ex)^k] − E[(y − Ey)^k]‖ with the means themselves for k = 1 (Zellinger et al. 2017)."""
    total = _distance(x.mean(0), y.mean(0))
    centred_x = x - x.mean(0)
    centred_y = y - y.mean(0)
    for k in range(2, moments + 1):
        total = total + _distance(centred_x.pow(k).mean(0), centred_y.pow(k).mean(0))
    return total


def _distance(x: Float[Tensor, " W"], y: Float[Tensor, " W"]) -> Float[Tensor, ""]:
    return ((x - y).square().sum() + 1e-12).sqrt()  # a root has no finite derivative at 0


def _squared_error(prediction: Float[Tensor, " B"], target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    return (prediction - target).square().mean()


def _unit_rows(x: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
    centred = x - x.mean(0)
    # The norms carry no gradient, as in the authors' code.
    norm: Tensor = torch.linalg.vector_norm(centred.detach(), dim=1, keepdim=True)
    return centred / (norm + 1e-6)


def _projection(wide: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide, width), nn.ReLU(), nn.LayerNorm(width))


def build(spec: DataSpec, **overrides: Any) -> MISA:
    """A MISA for data of this specification, with fields of `MISAConfig` set as given."""
    return MISA(spec, configure(MISAConfig, overrides))
