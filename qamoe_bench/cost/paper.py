"""The paper's setting for costs: text as 50 token ids through BERT base, audio and vision as 50 frames of features.

The widths are those of aligned CMU-MOSEI, 74 for audio (COVAREP) and 35 for vision (Facet). Weights and inputs are
random, because neither changes the cost of a pass, and every position is valid, so that there is no padding.

The QA-MoE paper prints "4.33 GFLOPs". BERT base alone needs, by formula, 12·(4·768² + 2·768·3072) multiply-adds per
token and 12·2·50²·768 per sample for attention, 4.293 G multiply-adds or 8.59 GFLOPs at two FLOPs each. Hence
the printed number is read as multiply-adds.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.nn.language import TokenStates

PRINTED_G = 4.33
"""The paper's printed "GFLOPs" of QA-MoE."""

FRAMES = 50  # per modality, all valid
WIDTHS = {"text": 1, "audio": 74, "vision": 35}
# Token ids of bert-base-uncased; ids below `FIRST_WORD` are special or unused.
CLS = 101
SEP = 102
MASK = 103
FIRST_WORD = 1000
WORDS = 30522  # size of the vocabulary
TEXT_ENCODER = "text-encoder"
"""Name of the row that shows BERT alone."""


def paper_spec() -> DataSpec:
    """A specification with standardised features and the label range of CMU-MOSEI."""
    return DataSpec(
        name="paper",
        widths=WIDTHS,
        lengths=dict.fromkeys(WIDTHS, FRAMES),
        feature_mean={m: torch.zeros(width) for m, width in WIDTHS.items()},
        feature_std={m: torch.ones(width) for m, width in WIDTHS.items()},
        label_range=(-3.0, 3.0),
        label_mean=0.0,
        label_std=1.0,
        token_ids={"text": MASK},
    )


def paper_batch(size: int) -> Batch:
    """Random samples of full length; equal sizes give equal samples."""
    random = Generator().manual_seed(0)
    features = {m: torch.randn(size, FRAMES, width, generator=random) for m, width in WIDTHS.items()}
    features["text"] = _sentences(size, random)
    return Batch(features, {m: torch.full((size,), FRAMES) for m in WIDTHS})


def _sentences(size: int, random: Generator) -> Float[Tensor, "B T 1"]:
    ids = torch.randint(FIRST_WORD, WORDS, (size, FRAMES, 1), generator=random).float()
    ids[:, 0] = CLS
    ids[:, -1] = SEP
    return ids


class TextEncoder(nn.Module):
    """BERT base alone: the least that any model of this setting costs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TokenStates()

    def forward(self, batch: Batch) -> Output:
        """The mean of all states (not a meaningful prediction)."""
        return Output(self.encoder(batch, "text").mean((1, 2)))
