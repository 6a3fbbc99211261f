"""Frames as baselines with their own encoders read them: standardised features, or the states of a language model.

Dimension legend: B samples, T frames, D feature width.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.nn.frames import blanked, observed_frames
from qamoe_bench.nn.language import TokenStates


class MaskedFrames(nn.Module):
    """The frames of one modality, with zeros in place of unobserved ones, and the mask of observed ones.

    Attributes:
        width: D of the frames that it returns, 768 for token ids and BERT base.
        is_language: Whether they are states of a language model, the first of them [CLS].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, modality: str, spec: DataSpec, *, standardise: bool = True) -> None:
        super().__init__()
        self.modality = modality
        mean = spec.feature_mean[modality]
        std = spec.feature_std[modality]
        self.is_language = modality in spec.token_ids
        self.language = TokenStates(spec.pretrained.get(modality)) if self.is_language else None
        self.width = len(mean) if self.language is None else self.language.width
        self.register_buffer("mean", mean.clone() if standardise else torch.zeros_like(mean))
        self.register_buffer("std", std.clone() if standardise else torch.ones_like(std))

    def forward(self, batch: Batch) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        """Frames and mask; a frame that is zero in the batch is not observed and stays zero after standardisation."""
        observed = observed_frames(batch, self.modality)
        if self.language is None:
            x = (batch.features[self.modality] - self.mean) / self.std
        else:
            x = self.language(batch, self.modality)
        return blanked(x, observed), observed
