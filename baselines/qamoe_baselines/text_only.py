"""Text only: the control that ignores audio and vision.

ŷ = W_y · dropout(GELU(W_f u_t)), late fusion of a single modality, trained on mean absolute error. The gain of a model
over this row comes from audio and vision; where text is missing, this row shows the value of a constant prediction.
On data without text it learns one constant; on data whose text has no features yet it is refused. Classes and several
labels have a wider last layer and the negative log-likelihood. Not from a paper; the design is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.encoder import Summary, UtteranceEncoder
from qamoe_bench.nn.two_stage import TwoStageModel

MODALITY = "text"

CARD = {
    "groups": ("quick", "paper"),
    "tasks": ("regression", "classes", "multi-label"),
    "parameters": 19_009,
    "style": 4,
    "requires": ("text",),
}


@dataclass(frozen=True)
class TextOnlyConfig:
    """Hyperparameters, the same as those of late fusion."""

    width: int = 64  # of the encoding
    dropout: float = 0.1
    encoder: Summary = "statistics"  # how the encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoder


class TextOnly(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: TextOnlyConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.has_text = MODALITY in spec.modalities
        if self.has_text:
            self.encoder = UtteranceEncoder(MODALITY, spec, config.width, config.encoder_dropout, config.encoder)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.width),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(config.width, spec.task.outputs),
        )
        self.answers = Answers(spec)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """u_t; zeros for any other modality, which is ignored."""
        if modality != MODALITY:
            return batch.features[modality].new_zeros(batch.size, self.config.width)
        encoded: Tensor = self.encoder(batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> Output:
        """The prediction, with neither variance nor quality."""
        h = encoded[MODALITY] if self.has_text else next(iter(encoded.values()))  # (B, W)
        return self.answers(self.head(h))


def build(spec: DataSpec, **overrides: Any) -> TextOnly:
    """A text-only network for data of this specification, with fields of `TextOnlyConfig` set as given."""
    return TextOnly(spec, configure(TextOnlyConfig, overrides))
