"""Whether the frames of text begin with [CLS] and end with [SEP], decided from the token ids of a data set.

Protocols that lose single frames spare these two, as the originals do; features without them have nothing to spare.

Dimension legend: N samples, L tokens.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

ENOUGH = 0.95
"""Share of samples that must agree. Extraction scripts cut a few long texts, which then lose their [SEP]."""


def has_boundary_tokens(lengths: Sequence[Int[Tensor, " _"]], tokens: Sequence[Int[Tensor, "_ 3 _"]]) -> bool:
    """Whether text has one frame per token, and all texts begin with one token and end with another.

    Vectors of words (GloVe), of whole utterances or of other tokens have other numbers of frames. Names of special
    tokens are not needed: nothing else begins every text of a data set, so any tokenizer of BERT's family is covered.

    Args:
        lengths: Number of valid frames of text [N] in each split; 0 where a sample has no text.
        tokens: Token ids, attention mask and segments [N, 3, L] in each split.
    """
    frames = torch.cat(list(lengths))
    counts = []
    ends = []
    for split in tokens:
        mask = split[:, 1].long()  # (N, L)
        counts.append(mask.sum(1))
        ends.append(_ends(split[:, 0], mask))
    first, last = torch.cat(ends).T  # (N,) each
    has_text = frames > 0
    if not has_text.any():
        return False
    # The most frequent ids, since a few texts may be cut.
    opening = first[has_text].mode().values
    closing = last[has_text].mode().values
    agrees = (torch.cat(counts) == frames) & (first == opening) & (last == closing)
    return bool(opening != closing) and float(agrees[has_text].float().mean()) >= ENOUGH


def _ends(ids: Int[Tensor, "N L"], mask: Int[Tensor, "N L"]) -> Int[Tensor, "N 2"]:
    """The first and the last valid id of each sample, on whichever side its padding is."""
    first = mask.argmax(1)
    last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
    return ids.long().gather(1, torch.stack([first, last], dim=1))
