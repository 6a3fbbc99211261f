"""EMT-DLFR: one token per modality leads the fusion, and two views of a sample restore what one of them has lost.

Re-implemented after
    Sun, Lian, Liu, Tao: Efficient Multimodal Transformer with Dual-Level Feature Restoration for Robust Multimodal
    Sentiment Analysis (IEEE Transactions on Affective Computing, 2023; arXiv 2208.07589),
    code sunlicai/EMT-DLFR @ 4402dc5.

An utterance u_m and local frames x_m: of token ids [CLS] and the words, of features W LSTM(x)_end + b and
W LSTM(x)_t + b. With g_m = V_m u_m, X_m = V_m x_m + positions, and an update U that all layers, modalities and
directions share, each of L layers does, for every modality m and G = [g_t, g_a, g_v],
    X_m ← U(X_m, G),   G_m = U(G, X_m) of the X_m before;   G ← Σ_m softmax_m(w tanh(A G_m + a)) G_m, G_m as one vector
    U(x, s):  x ← x + Att(LN x, LN s);  x ← x + Att(LN x, LN x);  x ← x + W₂ (h₁ ⊙ GELU h₂), [h₁; h₂] = W₁ LN x
    ŷ = W₃ ReLU(W₂ ReLU(W₁ dropout([u_t; u_a; u_v; G])))
In training both the corrupted sample (′) and the whole one pass. For each of k = G and u_m, z_k = BN(P k) and
p_k = Q₂ ReLU BN(Q₁ z_k) with its own P and Q; with the rebuilt frames x̂_m = R_m X′_m and sg without gradient,
    L = |ŷ′ − y| + α (|ŷ − y| − ½ Σ_k [cos(p′_k, sg z_k) + cos(p_k, sg z′_k)]) + β Σ_m smooth-L1(x̂_m, x*_m) / n_m
over lost frames only, smooth-L1 summed, n_m lost frames times dimensions, x*_m the features or the states of the whole
sample; |·| and cos are means over the batch.

From paper and code: all of it. The sizes of Q₁ are a third (of G and text) and half (of the others) of its input, which
are the code's numbers at its sizes. A bias in P, which its batch normalisation removes, is left out.
Inferred: an LSTM for features of text (the paper has BERT only); a frame is lost if it is zero though the clean sample
has it, a token if its id is another; with fewer modalities as many tokens as there are.
Departs, and `faithful` reverts the first:
    input     each dimension standardised with training statistics; the authors feed raw features
    map       V_m always; the code leaves it out where both widths are equal
    sizes     a quarter of the width, half of the head and two of three layers, to train about twice as long as C-MIB;
              the preset `paper` has the sizes for CMU-MOSI
    training  the suite's loop; the authors have Adam at 5e-5 (BERT), 1e-4 (vision) and 1e-3 with weight decay, and step
              after each batch with gradients of up to four

Dimension legend: B samples, M modalities, T frames, S source positions, D feature width, E encoder width, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.final_states import FinalStates
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.tfn_subnets import BatchNorm
from qamoe_baselines.token_transformer import split_heads
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.frames import observed_frames
from qamoe_bench.nn.two_stage import TwoStageModel

GLOBAL = "global"
"""Name of G among the vectors that attract each other; each other one has the name of its modality."""
LARGEST_PERIOD = 10_000.0  # of the positions is 2π times this, in frames; code

VARIANTS = {"faithful": {"standardise": False}}
CARD = {
    "groups": ("robust",),
    "tasks": ("regression",),
    "year": 2023,
    "venue": "IEEE TAFFC",
    "parameters": 113_766,
    "published": {"EMT-DLFR": ""},
    "presets": {
        "paper": {"width": 128, "layers": 3, "hidden": 256, "audio_hidden": 32, "vision_hidden": 64},
    },
    "stages": {
        "text encoder": ("inputs.text", "encoders.text", "maps.text"),
        "other encoders": ("inputs", "encoders", "maps"),
        "heads": ("head",),
    },
}


@dataclass(frozen=True)
class EMTConfig:
    """Hyperparameters; a comment names the source of each value."""

    text_hidden: int = 32  # inferred; of the LSTM, for features only
    text: int = 32  # inferred; E of features (BERT: 768)
    audio_hidden: int = 16  # code: 32 for CMU-MOSI, 16 for the others
    audio: int = 16  # code
    vision_hidden: int = 32  # code: 64 for CMU-MOSI, 32 for the others
    vision: int = 32  # code
    width: int = 32  # code: 128
    heads: int = 4  # code
    layers: int = 2  # code: 3 for CMU-MOSI, 2 for CMU-MOSEI, 4 for CH-SIMS
    hidden: int = 128  # code: 256; of the head
    attention_dropout: float = 0.3  # code
    hidden_dropout: float = 0.1  # code; after the two linear maps of U
    head_dropout: float = 0.3  # code
    attraction_weight: float = 1.0  # code; α
    reconstruction_weight: float = 1.0  # code; β
    standardise: bool = True  # code: False

    def encoder(self, modality: str) -> tuple[int, int]:
        """Width of the LSTM's states, and E."""
        return {
            "text": (self.text_hidden, self.text),
            "audio": (self.audio_hidden, self.audio),
            "vision": (self.vision_hidden, self.vision),
        }[modality]


class UtteranceAndFrames(nn.Module):
    """U_m and x_m of the frames of one modality, in one sequence with the utterance first."""

    def __init__(self, frames: MaskedFrames, config: EMTConfig) -> None:
        super().__init__()
        hidden, width = config.encoder(frames.modality)
        self.width = frames.width if frames.is_language else width
        self.lstm = None if frames.is_language else FinalStates(frames.width, hidden)
        self.linear = nn.Identity() if frames.is_language else nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "B T D"], valid: Bool[Tensor, "B T"]) -> Float[Tensor, "B _ _"]:
        """E + 1 columns, of which the last says which rows are valid."""
        sequence = x
        if self.lstm is None:  # [CLS] is the first frame already, and [SEP] is no word
            valid = F.pad(valid[:, 2:], (1, 1))[:, : valid.shape[1]]
            valid[:, 0] = True
        else:
            states, final = self.lstm.all_states(x, valid.sum(1))
            sequence = self.linear(torch.cat([final[:, None], states], dim=1))
            valid = F.pad(valid, (1, 0), value=True)
        return torch.cat([sequence, valid[..., None].to(sequence.dtype)], dim=2)


class ContextAttention(nn.Module):
    """Att: softmax(QKᵀ/√C)·V over the valid positions of a source, and a linear map; zeros without a position."""

    def __init__(self, config: EMTConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.dropout = config.attention_dropout
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "B T W"], source: Float[Tensor, "B S W"], valid: Bool[Tensor, "B S"] | None
    ) -> Float[Tensor, "B T W"]:
        """One output per position of x; without `valid` the whole source is attended to."""
        key, value = self.key_value(source).chunk(2, dim=-1)
        q, k, v = (split_heads(part, self.heads) for part in (self.query(x), key, value))
        # A softmax over nothing is NaN, so a sample without a valid position attends to all, and is set to zero after.
        any_valid = None if valid is None else valid.any(1)[:, None, None]  # (B, 1, 1)
        mask = None if valid is None or any_valid is None else (valid[:, None] | ~any_valid)[:, None]  # (B, 1, 1, S)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out if any_valid is None else out * any_valid


class GatedLayers(nn.Module):
    """W₂ (h₁ ⊙ GELU h₂) + b."""

    def __init__(self, config: EMTConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.width, 8 * config.width)
        self.out = nn.Linear(4 * config.width, config.width)
        self.dropout = Dropout(config.hidden_dropout)

    def forward(self, x: Float[Tensor, "B T W"]) -> Float[Tensor, "B T W"]:
        """One output per position."""
        value, gate = self.inner(x).chunk(2, dim=-1)
        out: Tensor = self.dropout(self.out(value * F.gelu(gate)))
        return out


class PromotionUnit(nn.Module):
    """U."""

    def __init__(self, config: EMTConfig) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(config.width)
        self.source_norm = nn.LayerNorm(config.width)
        self.cross = ContextAttention(config)
        self.own_norm = nn.LayerNorm(config.width)
        self.own = ContextAttention(config)
        self.last_norm = nn.LayerNorm(config.width)
        self.layers = GatedLayers(config)

    def forward(
        self,
        x: Float[Tensor, "B T W"],
        source: Float[Tensor, "B S W"],
        valid: Bool[Tensor, "B T"] | None = None,
        source_valid: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B T W"]:
        """The positions of x after attending to the source and to each other."""
        x = x + self.cross(self.query_norm(x), self.source_norm(source), source_valid)
        normal = self.own_norm(x)
        x = x + self.own(normal, normal, valid)
        y: Tensor = x + self.layers(self.last_norm(x))
        return y


class PromotionFusion(nn.Module):
    """The L layers of the module docstring."""

    def __init__(self, modalities: int, config: EMTConfig) -> None:
        super().__init__()
        self.depth = config.layers
        self.unit = PromotionUnit(config)
        joint = modalities * config.width
        self.score = nn.Sequential(nn.Linear(joint, joint), nn.Tanh(), nn.Linear(joint, 1))

    def forward(
        self,
        context: Float[Tensor, "B M W"],
        local: Mapping[str, Float[Tensor, "B _ W"]],
        valid: Mapping[str, Bool[Tensor, "B _"]],
    ) -> tuple[Float[Tensor, "B M W"], dict[str, Float[Tensor, "B _ W"]]]:
        """G and X_m."""
        frames = dict(local)
        for _ in range(self.depth):
            views = []
            for m, x in frames.items():
                views.append(self.unit(context, x, source_valid=valid[m]))
                frames[m] = self.unit(x, context, valid=valid[m])
            stacked = torch.stack(views, dim=1)  # (B, M, M, W), of which the second axis is the source
            weights = self.score(stacked.flatten(2)).softmax(1)[..., None]  # (B, M, 1, 1)
            context = (weights * stacked).sum(1)
        return context, frames


class Attraction(nn.Module):
    """P and Q of one vector."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(width, width, bias=False), BatchNorm(width, affine=False))
        self.predict = nn.Sequential(
            nn.Linear(width, hidden, bias=False), BatchNorm(hidden), nn.ReLU(), nn.Linear(hidden, width)
        )

    def forward(self, incomplete: Float[Tensor, "B E"], whole: Float[Tensor, "B E"]) -> Float[Tensor, ""]:
        """−½ (cos(p′, sg z) + cos(p, sg z′)), mean over the batch."""
        z_incomplete = self.project(incomplete)
        z_whole = self.project(whole)
        one = F.cosine_similarity(self.predict(z_incomplete), z_whole.detach())
        other = F.cosine_similarity(self.predict(z_whole), z_incomplete.detach())
        return -0.5 * (one.mean() + other.mean())


class EMTDLFR(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: EMTConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        inputs = {m: MaskedFrames(m, spec, standardise=config.standardise) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        encoders = {m: UtteranceAndFrames(inputs[m], config) for m in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        self.maps = nn.ModuleDict({m: nn.Linear(encoders[m].width, width, bias=False) for m in self.modalities})
        self.fusion = PromotionFusion(len(self.modalities), config)
        joint = len(self.modalities) * width
        self.head = nn.Sequential(
            Dropout(config.head_dropout),
            nn.Linear(joint + sum(encoder.width for encoder in encoders.values()), config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 1),
        )
        attractions = {GLOBAL: Attraction(joint, joint // 3)}
        for m, encoder in encoders.items():
            attractions[m] = Attraction(encoder.width, encoder.width // (3 if m == "text" else 2))
        self.attractions = nn.ModuleDict(attractions)
        self.rebuild = nn.ModuleDict({m: nn.Linear(width, inputs[m].width) for m in self.modalities})

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B _ _"]:
        """U_m and x_m in one sequence, with a last column that is 1 at valid positions."""
        encoded: Tensor = self.encoders[modality](self.inputs[modality](batch)[0], batch.mask(modality))
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _ _"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has G, u_m and the fused frames X_m."""
        local = {}
        tokens = []
        for m in self.modalities:
            mapped = self.maps[m](encoded[m][..., :-1])
            tokens.append(mapped[:, 0])
            frames = mapped[:, 1:]
            local[m] = frames + interleaved_positions(frames)
        valid = {m: encoded[m][:, 1:, -1] > 0 for m in self.modalities}
        context, fused = self.fusion(torch.stack(tokens, dim=1), local, valid)
        parts = {m: encoded[m][:, 0, :-1] for m in self.modalities}
        parts[GLOBAL] = context.flatten(1)
        prediction = self.head(torch.cat(list(parts.values()), dim=1))[:, 0]
        return Output(prediction, parts={**parts, **{f"frames_{m}": x for m, x in fused.items()}})

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        clean = batch.uncorrupted()
        encoded = {}
        reconstruction = output.prediction.new_zeros(())
        for m in self.modalities:
            x, present = self.inputs[m](clean)
            encoded[m] = self.encoders[m](x, clean.mask(m))
            lost = present & self._changed(batch, m)
            skipped = 1 if self.inputs[m].is_language else 0  # [CLS] is no frame
            rebuilt = self.rebuild[m](output.parts[f"frames_{m}"])
            reconstruction = reconstruction + lost_error(rebuilt, x.detach()[:, skipped:], lost[:, skipped:])
        whole = self.fuse(encoded)
        attraction = F.l1_loss(whole.prediction, batch.target)
        for name, attract in self.attractions.items():
            attraction = attraction + attract(output.parts[name], whole.parts[name])
        total = F.l1_loss(output.prediction, batch.target) + self.config.attraction_weight * attraction
        return total + self.config.reconstruction_weight * reconstruction

    def _changed(self, batch: TrainingBatch, modality: str) -> Bool[Tensor, "B T"]:
        """Frames that are zero in the batch; tokens that are not those of the clean sample."""
        if self.inputs[modality].is_language:
            return (batch.features[modality] != batch.clean[modality]).any(-1)
        return ~observed_frames(batch, modality)


def lost_error(
    rebuilt: Float[Tensor, "B T D"], aim: Float[Tensor, "B T D"], lost: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Smooth-L1 over the entries of lost frames, divided by their number."""
    mask = lost[..., None].to(aim.dtype)
    error = F.smooth_l1_loss(rebuilt * mask, aim * mask, reduction="sum")
    return error / (mask.sum() * aim.shape[-1] + 1e-6)


def interleaved_positions(x: Float[Tensor, "B T W"]) -> Float[Tensor, "T W"]:
    """Sines in the even columns and cosines in the odd ones, for positions from 0."""
    _, frames, width = x.shape
    column = torch.arange(width, device=x.device)
    rate = LARGEST_PERIOD ** -((column - column % 2) / width)
    angle = torch.arange(frames, device=x.device)[:, None] * rate  # (T, W)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(x.dtype)


def build(spec: DataSpec, **overrides: Any) -> EMTDLFR:
    """An EMT-DLFR for data of this specification, with fields of `EMTConfig` set as given."""
    return EMTDLFR(spec, configure(EMTConfig, overrides))
