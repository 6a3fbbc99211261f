"""The encoder of Self-MM and MMIM: [CLS] of a language model, or W · LSTM(x)_end + b of features.

Dimension legend: B samples, W width.
"""

from jaxtyping import Float
from torch import Tensor, nn

from qamoe_baselines.final_states import FinalStates
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_bench.contract import Batch, DataSpec


class LSTMEncoder(nn.Module):
    """Encodes one modality of a batch as one vector per sample.

    Attributes:
        width: W; that of the language model for token ids.
    """

    def __init__(
        self, modality: str, spec: DataSpec, hidden: int, width: int, *, bidirectional: bool, standardise: bool
    ) -> None:
        super().__init__()
        self.modality = modality
        self.frames = MaskedFrames(modality, spec, standardise=standardise)
        self.width = self.frames.width if self.frames.is_language else width
        self.lstm = None
        self.linear = None
        if not self.frames.is_language:
            self.lstm = FinalStates(self.frames.width, hidden, bidirectional=bidirectional)
            self.linear = nn.Linear(self.lstm.width, width)

    def forward(self, batch: Batch) -> Float[Tensor, "B W"]:
        """The state of [CLS], which is the first one, or the mapped final state."""
        x, _ = self.frames(batch)
        if self.lstm is None or self.linear is None:
            first: Tensor = x[:, 0]
            return first
        encoded: Tensor = self.linear(self.lstm(x, batch.lengths[self.modality]))
        return encoded
