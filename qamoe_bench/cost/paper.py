"""The paper's setting for costs: text as 50 token ids through BERT base, audio and vision as 50 frames of features.

The widths are those of aligned CMU-MOSEI, 74 for audio (COVAREP) and 35 for vision (Facet). Weights and inputs are
random, since neither changes what a pass costs, and every position is valid, so that nothing is padding.

The QA-MoE paper prints "4.33 GFLOPs". BERT base alone needs, by formula, 12·(4·768² + 2·768·3072) multiply-adds per
token and 12·2·50²·768 per sample for attention, 4.293 G multiply-adds or 8.59 GFLOPs at two FLOPs each. So the printed
number is read as multiply-adds.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.nn.language import TokenStates

PRINTED_G = 4.33
"""What the paper prints as GFLOPs of QA-MoE."""

FRAMES = 50
WIDTHS = {"text": 1, "audio": 74, "vision": 35}
CLS, SEP, MASK, FIRST_WORD, WORDS = 101, 102, 103, 1000, 30522  # of bert-base-uncased
TEXT_ENCODER = "text-encoder"
"""Name of the row of BERT alone."""


def paper_spec() -> DataSpec:
    """Standardised features, and labels as MOSEI has them."""
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
    """Samples of full length; the same for the same size."""
    random = Generator().manual_seed(0)
    features = {m: torch.randn(size, FRAMES, width, generator=random) for m, width in WIDTHS.items()}
    features["text"] = _sentences(size, random)
    return Batch(features, {m: torch.full((size,), FRAMES) for m in WIDTHS})


def _sentences(size: int, random: Generator) -> Float[Tensor, "B T 1"]:
    ids = torch.randint(FIRST_WORD, WORDS, (size, FRAMES, 1), generator=random).float()
    ids[:, 0], ids[:, -1] = CLS, SEP
    return ids


class TextEncoder(nn.Module):
    """BERT base alone, with nothing behind it: what any model of this setting costs at least."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TokenStates()

    def forward(self, batch: Batch) -> Output:
        """The mean of all states, which is no prediction of anything."""
        return Output(self.encoder(batch, "text").mean((1, 2)))
