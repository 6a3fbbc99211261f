"""TFN: tensor fusion network, the outer product of all modalities.

Re-implementation of
    Zadeh, Chen, Poria, Cambria, Morency: Tensor Fusion Network for Multimodal Sentiment Analysis (EMNLP 2017),
after the paper and thuiar/MMSA @ a94e65d, to whose outputs it is equal with the variant `faithful`.

h_m of each modality comes from the sub-networks of `qamoe_baselines.tfn_subnets`; then
    z = [1; h_t] ⊗ [1; h_a] ⊗ [1; h_v],   o = W₃ ReLU(W₂ ReLU(W₁ dropout(z))),   ŷ = low + (high − low) · sigmoid(o)
which holds the features of single modalities, of pairs and of all three. The objective is the mean absolute error.
For classes o has a value of each for a softmax, and the objective is the cross-entropy, as in the paper, which has five
classes, and a sigmoid for two. Several labels have one sigmoid each.

From the paper: z, the ranges of ŷ, the sub-networks. From MMSA: their layers and sizes, the loss.
Inferred: with one or two modalities z has fewer factors; low and high are the ends of the label scale.
Departs, and `faithful` reverts the first three:
    input       each dimension standardised with training statistics, zeros stay zeros; MMSA feeds raw features
    text        the LSTM is read at the last valid frame; MMSA reads it after the padding
    mean        over observed frames; MMSA counts padding
    sizes       audio and vision have 16 units, a quarter of the entries of z and of the time; the paper has 32, MMSA 32
                and 128 (the variant)
    one sample  a training batch of one sample is normalised with running statistics
    training    the suite's loop; MMSA has Adam at 1e-3 with batches of 32
Differences in parameters: MMSA stores 6 and −3, the width and start of the label scale, as two parameters that do not
learn.

Dimension legend: B samples, W width of h_m, Z = Π_m (W_m + 1).
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
from qamoe_bench.nn.answers import class_output
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {"faithful": {"standardise": False, "past_the_end": True, "padded_mean": True, "audio": 32, "vision": 128}}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2017,
    "venue": "EMNLP",
    "parameters": 703_425,
    "published": {"TFN": ""},
    "stages": {"heads": ("post",)},
}


@dataclass(frozen=True)
class TFNConfig(SubnetConfig):
    """Hyperparameters; a comment names the source of each value."""

    text: int = 32  # MMSA
    audio: int = 16  # paper and MMSA: 32
    vision: int = 16  # paper: 32, MMSA: 128
    post: int = 64  # MMSA; width of the layers after the fusion
    post_dropout: float = 0.5  # MMSA; of z


class TFN(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: TFNConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        widths = {"text": config.text, "audio": config.audio, "vision": config.vision}
        self.encoders = tfn_subnets(spec, widths, config)
        product = 1
        for m in self.modalities:
            product *= widths[m] + 1
        self.post_dropout = Dropout(config.post_dropout)
        self.post = nn.Sequential(
            nn.Linear(product, config.post),
            nn.ReLU(),
            nn.Linear(config.post, config.post),
            nn.ReLU(),
            nn.Linear(config.post, spec.task.outputs),
        )
        self.task = spec.task
        self.low, self.high = spec.label_range

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """h_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _"]]) -> Output:
        """The prediction, with neither variance nor quality."""
        o = self.post(self.post_dropout(outer_product([encoded[m] for m in self.modalities])))  # (B, K)
        if not self.task.is_regression:
            return class_output(o, self.task)
        return Output(self.low + (self.high - self.low) * o[:, 0].sigmoid())


def outer_product(vectors: list[Float[Tensor, "B _"]]) -> Float[Tensor, "B Z"]:
    """All products of one entry of each [1; h], flattened with the last vector varying fastest."""
    product = torch.ones_like(vectors[0][:, :1])  # (B, 1)
    for h in vectors:
        with_one = torch.cat([torch.ones_like(h[:, :1]), h], dim=1)  # (B, W + 1)
        product = torch.bmm(product[:, :, None], with_one[:, None]).flatten(1)
    return product


def build(spec: DataSpec, **overrides: Any) -> TFN:
    """A TFN for data of this specification, with fields of `TFNConfig` set as given."""
    return TFN(spec, configure(TFNConfig, overrides))
