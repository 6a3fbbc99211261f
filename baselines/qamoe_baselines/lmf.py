"""LMF: low-rank multimodal fusion, TFN's outer product in factors of low rank.

Re-implementation of
    Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency: Efficient Low-rank Multimodal Fusion with Modality-Specific
    Factors (ACL 2018; arXiv 1806.00064),
after the paper and thuiar/MMSA @ a94e65d, to whose outputs it is equal with the variant `faithful`.

h_m of each modality comes from the sub-networks of `qamoe_baselines.tfn_subnets`; with factors F_m of rank R
    f_r = Π_m [1; h_m] · F_{m,r},   ŷ = Σ_r w_r f_r + b
which is a linear map of TFN's outer product that is never formed. The objective is the mean absolute error.
Classes have factors of their own, F_m of rank R each, a shared w, and the cross-entropy, as the paper has for emotions;
several labels have one sigmoid each.

From the paper: the factors. From MMSA: the weights w_r (the paper sums), sub-networks, sizes, initialisation, the loss.
Inferred: with one or two modalities the product has fewer factors.
Departs, and `faithful` reverts the first three: input, text and mean as in `qamoe_baselines.tfn`; a training batch of
one sample is normalised with running statistics; the suite's loop trains, MMSA has Adam at 1e-3 and decay 5e-3.
Parameters equal MMSA's.

Dimension legend: B samples, W width of h_m, R rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_baselines.tfn_subnets import SubnetConfig, tfn_subnets
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {"faithful": {"standardise": False, "past_the_end": True, "padded_mean": True}}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2018,
    "venue": "ACL",
    "parameters": 127_917,
    "published": {"LMF": ""},
}


@dataclass(frozen=True)
class LMFConfig(SubnetConfig):
    """Hyperparameters; a comment names the source of each value."""

    text: int = 64  # MMSA; half of the LSTM's
    audio: int = 16  # MMSA
    vision: int = 128  # MMSA
    rank: int = 3  # MMSA


class LMF(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: LMFConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        widths = {"text": config.text, "audio": config.audio, "vision": config.vision}
        self.encoders = tfn_subnets(spec, widths, config)
        outputs = spec.task.outputs
        factors = {m: nn.Parameter(torch.empty(config.rank, widths[m] + 1, outputs)) for m in self.modalities}
        self.factors = nn.ParameterDict(factors)
        self.weights = nn.Parameter(torch.empty(1, config.rank))
        self.bias = nn.Parameter(torch.zeros(1, outputs))
        self.answers = Answers(spec, standardised=False)
        for parameter in (*factors.values(), self.weights):
            nn.init.xavier_normal_(parameter)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """h_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _"]]) -> Output:
        """The prediction, with neither variance nor quality."""
        h = {m: torch.cat([torch.ones_like(encoded[m][:, :1]), encoded[m]], dim=1) for m in self.modalities}
        values = [self._product(h, index).sum(1) + self.bias[0, index] for index in range(self.answers.width)]
        return self.answers(torch.stack(values, dim=1))

    def _product(self, h: Mapping[str, Float[Tensor, "B _"]], index: int) -> Float[Tensor, "B R"]:
        """w_r f_r of one value of the last layer."""
        product: Tensor = self.weights  # (1, R), the weight of each rank
        for m in self.modalities:
            product = product * (h[m] @ self.factors[m][..., index].T)
        return product


def build(spec: DataSpec, **overrides: Any) -> LMF:
    """An LMF for data of this specification, with fields of `LMFConfig` set as given."""
    return LMF(spec, configure(LMFConfig, overrides))
