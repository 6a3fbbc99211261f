"""An utterance as a short sequence of segments, for models of conversations: a segment takes the place of an utterance.

The n valid frames of a modality are cut into S parts of equal duration, part s from frame ⌊s·n/S⌋ to before frame
⌈(s + 1)·n/S⌉, so that a short modality has no empty part and modalities of different frame rates have equally many.

Dimension legend: B samples, T frames, S segments, D feature width.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def segment_means(
    x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"], lengths: Int[Tensor, " B"], segments: int
) -> tuple[Float[Tensor, "B S D"], Bool[Tensor, "B S"]]:
    """Means over the observed frames of each segment, and which segments have an observed frame; zeros for the others.

    Args:
        x: Frames.
        observed: Which of them count.
        lengths: Numbers of valid frames.
        segments: S.
    """
    part = torch.arange(segments, device=x.device)
    total = lengths[:, None]  # (B, 1)
    start = part * total // segments  # (B, S)
    stop = -(-(part + 1) * total // segments)  # rounded up
    frame = torch.arange(x.shape[1], device=x.device)
    inside = (frame >= start[..., None]) & (frame < stop[..., None]) & observed[:, None]  # (B, S, T)
    weight = inside.to(x.dtype)
    means = torch.bmm(weight / weight.sum(2, keepdim=True).clamp(min=1), x)
    return means, inside.any(2)
