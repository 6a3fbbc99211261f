"""An encoder from frames to one vector per utterance, shared by models so that comparisons are about fusion.

Each frame is standardised with training statistics and mapped linearly; the observed frames are summarised in one of
four ways; a two-layer perceptron follows. Token ids are replaced by the states of a language model (see
`qamoe_bench.nn.language`), which are mapped without standardisation. Frames that are exactly zero, whether padding or
removed by a corruption, are not observed and do not count. A modality without any observed frame is encoded as the
perceptron's output for zeros.

    statistics   mean and standard deviation, the default: as good as the slower ones on the data sets tried
    mean         mean alone
    gru          mean of a GRU's states (Cho et al. 2014)
    transformer  mean of a two-layer Transformer's outputs, see `qamoe_bench.nn.transformer`

Dimension legend: B samples, T frames, W width, E width of a summary, L sets of observed frames of each sample.
"""

from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.frames import (
    FrameStatistics,
    StandardisedLinear,
    blanked,
    masked_mean,
    means_of_sets,
    observed_frames,
)
from qamoe_bench.nn.language import TokenStates
from qamoe_bench.nn.transformer import Dropouts, TransformerEncoder
from qamoe_bench.nn.two_stage import FrameMappingModel

Summary = Literal["statistics", "mean", "gru", "transformer"]
HEADS = 4  # of the Transformer
LAYERS = 2  # of the Transformer


class FrameMean(nn.Module):
    """Mean over the observed frames."""

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B L T"]) -> Float[Tensor, "B L W"]:
        """Zeros for an empty set."""
        return means_of_sets(x, observed)


class SequenceMean(nn.Module):
    """A summary in which each set of observed frames is a sequence of its own."""

    def forward(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B L T"]) -> Float[Tensor, "B L W"]:
        """One sequence after the other, because all at once would need L times the memory."""
        return torch.stack([self.summary(x, one) for one in observed.unbind(1)], dim=1)

    def summary(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """The summary of one set."""
        raise NotImplementedError


class RecurrentMean(SequenceMean):
    """Mean over the observed frames of a GRU's states; unobserved frames enter the GRU as zero vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)

    def summary(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """States run forward in time, so frames after the last observed one have no influence."""
        states, _ = self.gru(blanked(x, observed))
        return masked_mean(states, observed)


class TransformerMean(SequenceMean):
    """Mean over the observed frames of a Transformer's outputs."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.transformer = TransformerEncoder(width, HEADS, LAYERS, Dropouts(dropout, dropout, dropout))

    def summary(self, x: Float[Tensor, "B T W"], observed: Bool[Tensor, "B T"]) -> Float[Tensor, "B W"]:
        """Only observed frames are attended to, and only their outputs count."""
        return masked_mean(self.transformer(x, observed), observed)


def make_summary(kind: Summary, width: int, dropout: float) -> tuple[nn.Module, int]:
    """A module that maps frames (B, T, W) and sets of them (B, L, T) to one vector per set, and that vector's width."""
    match kind:
        case "statistics":
            return FrameStatistics(), 2 * width
        case "mean":
            return FrameMean(), width
        case "gru":
            return RecurrentMean(width), width
        case "transformer":
            return TransformerMean(width, dropout), width


class UtteranceEncoder(nn.Module):
    """Encodes one modality of a batch as one vector per sample."""

    def __init__(
        self, modality: str, spec: DataSpec, width: int, dropout: float, summary: Summary = "statistics"
    ) -> None:
        super().__init__()
        self.modality = modality
        self.language = TokenStates(spec.pretrained.get(modality)) if modality in spec.token_ids else None
        if self.language is None:
            self.frame: nn.Module = StandardisedLinear(spec.feature_mean[modality], spec.feature_std[modality], width)
        else:
            self.frame = nn.Linear(self.language.width, width)
        self.pool, pooled = make_summary(summary, width, dropout)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(pooled),
            Dropout(dropout),
            nn.Linear(pooled, width),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, batch: Batch) -> Float[Tensor, "B W"]:
        """The encoding, W = the encoder's width."""
        observed = observed_frames(batch, self.modality)
        return self.encode_mapped(self.map_frames(batch), observed[:, None])[:, 0]

    def map_frames(self, batch: Batch) -> Float[Tensor, "B T W"]:
        """The linear map of every frame, or of a language model's state of every token."""
        x = batch.features[self.modality] if self.language is None else self.language(batch, self.modality)  # (B, T, D)
        mapped: Tensor = self.frame(x)
        return mapped

    def encode_mapped(self, mapped: Float[Tensor, "B T W"], observed: Bool[Tensor, "B L T"]) -> Float[Tensor, "B L W"]:
        """The encoding of each set of mapped frames; those that are not observed have no effect."""
        pooled = self.pool(mapped, observed)  # (B, L, E)
        encoded: Tensor = self.perceptron(pooled)
        return encoded


class UtteranceEncoders(nn.ModuleDict):
    """One encoder per modality of the data, by modality."""

    def __init__(self, spec: DataSpec, width: int, dropout: float, summary: Summary) -> None:
        super().__init__({m: UtteranceEncoder(m, spec, width, dropout, summary) for m in spec.modalities})

    def map_frames(self, batch: Batch, modality: str) -> Float[Tensor, "B T W"]:
        """See `UtteranceEncoder.map_frames`."""
        mapped: Tensor = cast(UtteranceEncoder, self[modality]).map_frames(batch)
        return mapped

    def encode_mapped(
        self, mapped: Float[Tensor, "B T W"], observed: Bool[Tensor, "B L T"], modality: str
    ) -> Float[Tensor, "B L W"]:
        """See `UtteranceEncoder.encode_mapped`."""
        return cast(UtteranceEncoder, self[modality]).encode_mapped(mapped, observed)


class UtteranceModel(FrameMappingModel):
    """A two-stage model whose encoding of a modality is that of its utterance encoder alone.

    Attributes:
        encoders: The encoders; set by the subclass.
    """

    encoders: UtteranceEncoders

    def map_frames(self, batch: Batch, modality: str) -> tuple[Shaped[Tensor, "B T ..."], ...]:
        """See `UtteranceEncoder.map_frames`."""
        return (self.encoders.map_frames(batch, modality),)

    def encode_mapped(
        self,
        mapped: tuple[Shaped[Tensor, "B T ..."], ...],
        observed: Bool[Tensor, "B L T"],
        lengths: Int[Tensor, " B"],
        modality: str,
    ) -> Float[Tensor, "B L W"]:
        """See `UtteranceEncoder.encode_mapped`."""
        return self.encoders.encode_mapped(mapped[0], observed, modality)
