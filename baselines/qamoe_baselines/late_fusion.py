"""Late fusion: the control with QA-MoE's encoders and without experts or quality scores.

ŷ = W_y · dropout(GELU(W_f [u_t; u_a; u_v])), trained on mean absolute error. Every gain of QA-MoE over this row is
due to its experts, its quality scores or its likelihood, not to its encoders. Classes and several labels have a wider
last layer and the negative log-likelihood. Not from a paper; the design is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import DataSpec, Output
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.encoder import Summary, UtteranceEncoders, UtteranceModel

CARD = {
    "groups": ("quick", "paper"),
    "tasks": ("regression", "classes", "multi-label"),
    "parameters": 54_721,
    "presets": {"paper": {"width": 128}},  # as in QA-MoE
    "style": 1,
    "role": "control",
}


@dataclass(frozen=True)
class LateFusionConfig:
    """Hyperparameters."""

    width: int = 64  # of encodings and fusion
    dropout: float = 0.1
    encoder: Summary = "statistics"  # how an encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoders; as in QA-MoE


class LateFusion(UtteranceModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: LateFusionConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.encoders = UtteranceEncoders(spec, config.width, config.encoder_dropout, config.encoder)
        self.head = nn.Sequential(
            nn.Linear(len(self.modalities) * config.width, config.width),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(config.width, spec.task.outputs),
        )
        self.answers = Answers(spec)

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> Output:
        """The prediction, with neither variance nor quality."""
        h = torch.cat([encoded[m] for m in self.modalities], dim=1)  # (B, M·W)
        return self.answers(self.head(h))


def build(spec: DataSpec, **overrides: Any) -> LateFusion:
    """A late-fusion network for data of this specification, with fields of `LateFusionConfig` set as given."""
    return LateFusion(spec, configure(LateFusionConfig, overrides))
