"""The sub-networks of TFN (Zadeh et al. 2017), which LMF uses too: an LSTM for text, three layers for the others.

    h_text = W · LSTM(x)_last + b
    h_m    = ReLU(W₃ ReLU(W₂ ReLU(W₁ dropout(BN(mean_t x))))), m audio or vision

Dimension legend: B samples, D feature width, W width of h_m.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.final_states import FinalStates
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.frames import masked_mean, observed_frames


@dataclass(frozen=True)
class SubnetConfig:
    """Hyperparameters of the sub-networks; a comment names the source of each value."""

    text_hidden: int = 128  # paper and MMSA; of the LSTM
    dropout: float = 0.3  # MMSA; in the sub-networks of audio and vision
    standardise: bool = True  # MMSA: False
    past_the_end: bool = False  # MMSA: True; reads the LSTM after the padding
    padded_mean: bool = False  # MMSA: True; means over padding too


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes its running statistics where a batch of one sample has none of its own."""

    def forward(self, input: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """The normalised rows."""
        if len(input) > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class TextSubnet(nn.Module):
    """h_text, from the frames in their order."""

    def __init__(self, spec: DataSpec, width: int, config: SubnetConfig) -> None:
        super().__init__()
        self.past_the_end = config.past_the_end
        self.frames = MaskedFrames("text", spec, standardise=config.standardise)
        self.lstm = FinalStates(self.frames.width, config.text_hidden)
        self.linear = nn.Linear(config.text_hidden, width)

    def forward(self, batch: Batch) -> Float[Tensor, "B W"]:
        """One row per sample."""
        x, _ = self.frames(batch)
        lengths = batch.lengths["text"]
        if self.past_the_end:
            lengths = lengths.new_full(lengths.shape, x.shape[1])
        encoded: Tensor = self.linear(self.lstm(x, lengths))
        return encoded


class FrameMeanSubnet(nn.Module):
    """h_m, from the mean of the frames."""

    def __init__(self, modality: str, spec: DataSpec, width: int, config: SubnetConfig) -> None:
        super().__init__()
        self.modality = modality
        self.padded = config.padded_mean
        self.frames = MaskedFrames(modality, spec, standardise=config.standardise)
        self.norm = BatchNorm(self.frames.width)
        self.drop = Dropout(config.dropout)
        self.linear_1 = nn.Linear(self.frames.width, width)
        self.linear_2 = nn.Linear(width, width)
        self.linear_3 = nn.Linear(width, width)

    def forward(self, batch: Batch) -> Float[Tensor, "B W"]:
        """One row per sample."""
        x, _ = self.frames(batch)
        mean = x.mean(1) if self.padded else masked_mean(x, observed_frames(batch, self.modality))
        h = F.relu(self.linear_1(self.drop(self.norm(mean))))
        h = F.relu(self.linear_2(h))
        return F.relu(self.linear_3(h))


def tfn_subnets(spec: DataSpec, widths: Mapping[str, int], config: SubnetConfig) -> nn.ModuleDict:
    """A sub-network for each modality of the data, with the given widths of h_m."""
    subnets: dict[str, nn.Module] = {}
    for m in spec.modalities:
        is_text = m == "text"
        subnets[m] = TextSubnet(spec, widths[m], config) if is_text else FrameMeanSubnet(m, spec, widths[m], config)
    return nn.ModuleDict(subnets)
