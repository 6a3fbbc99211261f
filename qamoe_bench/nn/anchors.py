"""Distributions over label anchors: a label's place among them, and the answers that a distribution gives.

Dimension legend: B samples, N anchors, evenly spaced and ascending.
"""

from jaxtyping import Float
from torch import Tensor


def shares(label: Float[Tensor, " B"], anchors: Float[Tensor, " N"]) -> Float[Tensor, "B N"]:
    """A label's mass split linearly between its two nearest anchors; labels outside the anchors are clamped to them."""
    step = anchors[1] - anchors[0]
    return (1 - (label.clamp(anchors[0], anchors[-1])[:, None] - anchors).abs() / step).clamp(min=0)


def median(mass: Float[Tensor, "B N"], anchors: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
    """The median of the mass, each anchor's mass spread evenly over its cell; clamped to the range of the anchors."""
    below = mass.cumsum(1)  # (B, N), mass below the upper border of each cell
    cell = (below < 0.5).sum(1, keepdim=True).clamp(max=len(anchors) - 1)  # (B, 1), the cell that contains the median
    inside = mass.gather(1, cell).clamp(min=1e-6)
    part = (0.5 - (below.gather(1, cell) - inside)) / inside  # share of the cell that lies below the median
    step = anchors[1] - anchors[0]
    return (anchors[cell] + (part - 0.5) * step)[:, 0].clamp(anchors[0], anchors[-1])


def middle_mean(mass: Float[Tensor, "B N"], anchors: Float[Tensor, " N"], share: float) -> Float[Tensor, " B"]:
    """The mean of the middle of the mass (a trimmed mean), spread and clamped as by `median`.

    Where the mass has two peaks, its median moves from one to the other with hardly any mass; this answer does not.

    Args:
        mass: Probabilities.
        anchors: Their places.
        share: How much of the mass is averaged, from 0 (the median) to 1 (the mean).
    """
    if not share:
        return median(mass, anchors)
    below = mass.cumsum(1)  # (B, N), mass below the upper border of each cell
    start = below - mass  # below its lower border
    lower = start.clamp((1 - share) / 2, (1 + share) / 2)
    upper = below.clamp((1 - share) / 2, (1 + share) / 2)
    kept = upper - lower  # of each cell
    part = ((lower + upper) / 2 - start) / mass.clamp(min=1e-6)  # of the cell below the middle of what is kept
    step = anchors[1] - anchors[0]
    place = (kept * (anchors + (part - 0.5) * step)).sum(1) / kept.sum(1)
    return place.clamp(anchors[0], anchors[-1])


def spread(mass: Float[Tensor, "B N"], anchors: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
    """The variance of the mass, each anchor's mass spread evenly over its cell."""
    mean = mass @ anchors
    between = (mass * (anchors - mean[:, None]) ** 2).sum(1)
    cell = anchors[1] - anchors[0]
    return between + cell**2 / 12  # the variance inside a cell, which also keeps the sum positive
