"""C-MIB: multimodal information bottleneck, complete (reproduction).

Reproduction of
    Mai, Zeng, Hu: Multimodal Information Bottleneck (IEEE TMM 2022; arXiv 2210.17444),
    code TmacMai/Multimodal-Information-Bottleneck @ f6d006b.

Each modality is encoded to one vector x_m by a convolution over three frames and, for audio and vision, a Transformer.
A bottleneck b (see `qamoe_baselines.cmib_bottleneck`) makes z = μ + σ ⊙ ε of a vector and a prediction ŷ_b of z:
    L_b = mean |ŷ_b − y| + β · ½ · mean(μ² + σ² − 2 log σ − 1)
One bottleneck per modality gives z_m, a fusion (see `qamoe_baselines.cmib_fusion`) one vector of these, and one more
bottleneck the prediction ŷ = ŷ_multi. The objective, by `variant`:
    c   Σ_m L_m + L_multi + mean |ŷ − y|            C-MIB, "complete"
    e   L_multi + mean |ŷ − y|                      E-MIB, "early": fuses x_m and not z_m
    l   Σ_m L_m + mean |ŷ − y| + mean |ŷ − y|       L-MIB, "late": a decoder reads the fused vector, no bottleneck
    b   mean |ŷ − y|                                B-MIB, no bottleneck anywhere

From paper and code: all formulas and sizes, fusions as their module says. The objective contains the last error once
more than the derivation, in all three files of the authors' code. ŷ leaves the decoder in label units.
For classes, such as the emotions that the paper recognises too, every mean |ŷ − y| is a cross-entropy, which is the
derivation's −log p(y|z) as well, and decoders are as wide as there are classes. Several labels have a sigmoid each,
which is ours.
Departs, and the variant `faithful` reverts the first four:
    input       each dimension standardised with training statistics; the authors feed raw features
    pooling     x_m = W dropout(LN [mean_t x; std_t x]) + c over observed frames, to which the Transformer is limited
                too, or just their mean if any modality is token ids, which keeps the published number of parameters.
                The authors read the last position, which is mostly padding, without any mask. With features instead of
                token ids that position holds little of the text, so `faithful` makes sense with token ids only
    evaluation  z = μ; the authors sample at test time too
    dropout     .3 of the pooled vector without token ids, because features lack BERT's own dropout; ½ is as good on
                MOSI, cross-validated inside training and validation, and worse on fresh samples of the embedded law
    text        features as they are in the data; a language model is trained only if the text is token ids: that of
                the data set (see `DataSpec.pretrained`), or BERT base with random weights
    start       torch's own initialisation; the authors draw linear maps from N(0, 0.02²)
    training    the suite's loop, the same for every model; the authors use Adam at 1e-5 for text and 2e-5 for the rest

Dimension legend: B samples, T frames, D feature width, M modalities, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qamoe_baselines.cmib_bottleneck import Bottleneck, Gaussian, Squeezed
from qamoe_baselines.cmib_fusion import Fusion, make_fusion, product_of_experts
from qamoe_baselines.pooling import MeanPool, StatisticsPool
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.frames import blanked, observed_frames
from qamoe_bench.nn.language import TokenStates
from qamoe_bench.nn.transformer import Dropouts, TransformerEncoder
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {
    "e-mib": {"variant": "e"},
    "l-mib": {"variant": "l"},
    "b-mib": {"variant": "b"},
    "faithful": {"pool": "last", "sample_in_evaluation": True, "standardise": False},
    "sum": {"fusion": "sum"},
    "product": {"fusion": "product"},
    "tensor": {"fusion": "tensor"},
    "low-rank": {"fusion": "low-rank"},
    "graph": {"fusion": "graph"},
    "poe": {"fusion": "poe"},
}
CARD = {
    "groups": ("paper",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2022,
    "venue": "IEEE Transactions on Multimedia",
    "parameters": 836_100,
    "published": {"C-MIB": "", "E-MIB": "e-mib", "L-MIB": "l-mib", "B-MIB": "b-mib"},
    "stages": {
        "text encoder": ("branches.text",),
        "other encoders": ("branches",),
        "heads": ("decoder", "multimodal"),
    },
    "style": 2,
}


@dataclass(frozen=True)
class CMIBConfig:
    """Hyperparameters; a comment names the source of each value."""

    variant: Literal["c", "e", "l", "b"] = "c"  # paper
    fusion: Fusion = "concat"  # paper
    width: int = 50  # code; of encodings, codes and the fused vector
    hidden: int = 1024  # code; inner width of a bottleneck
    beta: float = 1e-3  # paper and code; weight of the divergence
    layers: int = 3  # code; of each Transformer
    heads: int = 5  # code; they divide the width
    attention_dropout: float = 0.5  # code
    hidden_dropout: float = 0.3  # code
    residual_dropout: float = 0.3  # code
    embedding_dropout: float = 0.2  # code
    pool: Literal["statistics", "mean", "last"] = (
        "statistics"  # code: last; with token ids, `statistics` acts as `mean`
    )
    pool_dropout: float = 0.3  # inferred; in pooling by statistics or mean, without token ids
    sample_in_evaluation: bool = False  # code: True
    standardise: bool = True  # code: False

    def __post_init__(self) -> None:
        if self.fusion == "poe" and self.variant in ("e", "b"):
            raise BenchError(
                f"setting fusion: 'poe' multiplies the codes of one bottleneck per modality, and variant "
                f"{self.variant!r} has none; choose another fusion, or variant c or l"
            )

    def transformer(self) -> TransformerEncoder:
        """A new Transformer, for audio or vision."""
        dropouts = Dropouts(self.attention_dropout, self.hidden_dropout, self.residual_dropout, self.embedding_dropout)
        return TransformerEncoder(self.width, self.heads, self.layers, dropouts)


class Standardised(nn.Module):
    """(x − mean) / std of each dimension, with given statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, " D"], std: Float[Tensor, " D"]) -> None:
        super().__init__()
        self.width = len(mean)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, batch: Batch, modality: str) -> Float[Tensor, "B T D"]:
        """Standardised frames; unobserved ones become −mean/std, like any zero."""
        return (batch.features[modality] - self.mean) / self.std


class Branch(nn.Module):
    """Encodes one modality of a batch as one vector per sample."""

    def __init__(self, modality: str, spec: DataSpec, config: CMIBConfig) -> None:
        super().__init__()
        self.modality = modality
        self.last = config.pool == "last"
        self.tokens = modality in spec.token_ids
        mean = spec.feature_mean[modality]
        std = spec.feature_std[modality]
        if not config.standardise:
            mean = torch.zeros_like(mean)
            std = torch.ones_like(std)
        self.frames = TokenStates(spec.pretrained.get(modality)) if self.tokens else Standardised(mean, std)
        self.convolution = nn.Conv1d(self.frames.width, config.width, kernel_size=3, padding=1, bias=False)
        self.transformer = None if modality == "text" else config.transformer()
        dropout = 0.0 if spec.token_ids else config.pool_dropout
        statistics = config.pool == "statistics" and not spec.token_ids
        self.pool = StatisticsPool(config.width, dropout) if statistics else MeanPool(dropout)

    def forward(self, batch: Batch) -> Float[Tensor, "B W"]:
        """x_m; zeros for a sample without observed frames, except that `last` reads its last position as it is."""
        observed = observed_frames(batch, self.modality)  # (B, T)
        if not self.last:
            return self._pooled(self.frames(batch, self.modality), observed)
        if isinstance(self.frames, TokenStates):  # the authors read BERT's states of padding too
            x = self.frames.states_of_padding(batch, self.modality)
        else:
            x = blanked(self.frames(batch, self.modality), observed)
        return self._states(x, None)[:, -1]

    def _pooled(self, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """The pooled states of the samples that have an observed frame; zeros for the others.

        The others are not computed, which saves a third of the time under random missing. Frames are blanked first, so
        that the convolution does not mix values of lost frames or padding into observed ones.
        """
        rows = observed.any(1)  # (B,)
        kept = observed[rows]  # (K, T)
        pooled: Tensor = self.pool(self._states(blanked(x[rows], kept), kept), kept)  # (K, W)
        encoded = pooled.new_zeros(len(x), self.convolution.out_channels)  # (B, W)
        encoded[rows] = pooled
        return encoded

    def _states(self, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T W"]:
        states: Tensor = self.convolution(x.transpose(1, 2)).transpose(1, 2)
        if self.transformer is not None:
            states = self.transformer(states, observed)
        return states


class CMIB(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: CMIBConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        hidden = config.hidden
        outputs = spec.task.outputs
        self.answers = Answers(spec, standardised=False)
        self.branches = nn.ModuleDict({m: Branch(m, spec, config) for m in self.modalities})
        squeezed = self.modalities if config.variant in ("c", "l") else ()
        self.unimodal = nn.ModuleDict({m: Bottleneck(width, hidden, outputs) for m in squeezed})
        self.fusion = None if config.fusion == "poe" else make_fusion(config.fusion, len(self.modalities), width)
        self.multimodal = Bottleneck(width, hidden, outputs) if config.variant in ("c", "e") else None
        self.decoder = nn.Linear(width, outputs) if self.multimodal is None else None

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """x_m."""
        encoded: Tensor = self.branches[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> Output:
        """The prediction, with neither variance nor quality, and the parts that the loss needs."""
        sample = self.training or self.config.sample_in_evaluation
        squeezed = {m: bottleneck(encoded[m], sample=sample) for m, bottleneck in self.unimodal.items()}
        parts = {f"values_{m}": s.values for m, s in squeezed.items()}
        parts |= {f"divergence_{m}": s.code.divergence() for m, s in squeezed.items()}
        if self.fusion is None:
            fused = product_of_experts(self._codes(squeezed)).draw(sample=sample)  # (B, W)
        else:
            vectors = {m: s.z for m, s in squeezed.items()} if squeezed else encoded
            fused = self.fusion(torch.stack([vectors[m] for m in self.modalities], dim=1))  # (B, W)
        if self.decoder is not None:
            return self.answers(self.decoder(fused), parts=parts)
        assert self.multimodal is not None
        final = self.multimodal(fused, sample=sample)
        return self.answers(final.values, parts=parts | {"divergence": final.code.divergence()})

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The objective of the variant, see the module docstring."""
        error = self.answers.loss(output, batch)
        if self.config.variant == "b":
            return error
        errors = 2 * error  # see the module docstring
        divergence = torch.zeros_like(error)
        for name, part in output.parts.items():
            if name.startswith("values_"):
                errors = errors + self.answers.loss(self.answers(part), batch)
            elif name.startswith("divergence"):
                divergence = divergence + part
        return errors + self.config.beta * divergence

    def _codes(self, squeezed: Mapping[str, Squeezed]) -> Gaussian:
        """The codes of all modalities, (B, M, W)."""
        codes = [squeezed[m].code for m in self.modalities]
        mean = torch.stack([code.mean for code in codes], dim=1)
        std = torch.stack([code.std for code in codes], dim=1)
        return Gaussian(mean, std)


def build(spec: DataSpec, **overrides: Any) -> CMIB:
    """A C-MIB for data of this specification, with fields of `CMIBConfig` set as given."""
    return CMIB(spec, configure(CMIBConfig, overrides))
