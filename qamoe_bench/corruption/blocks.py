"""The kind that erases an exact number of frames: one span of them, or as many single frames.

Dimension legend: B samples, T frames.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from qamoe_bench.contract import Reference
from qamoe_bench.corruption.draws import Draws, Purpose
from qamoe_bench.corruption.state import Corrupted, erase_frames, losable_frames, share_of
from qamoe_bench.protocol.spec import Step

PLACE = Purpose("place", "sample")
SHARED_PLACE = Purpose("place", "sample", joint=True)
SINGLE = Purpose("single", "frame")
SHARED_SINGLE = Purpose("single", "frame", joint=True)


def block_missing(state: Corrupted, step: Step, draws: Draws, reference: Reference) -> Corrupted:
    """Erases round(rate·n) of the n frames that may be lost; what is lost is nested as the rate grows."""
    shared = step.options["shared_window"]
    scattered = step.options["place"] == "scattered"
    erased = {}
    for m, level in step.levels.items():
        losable = losable_frames(state, step, m, reference)  # (B, T)
        count = losable.sum(1)  # n, (B,)
        size = share_of(level, count)  # (B,)
        if scattered:
            draw = draws(SHARED_SINGLE if shared else SINGLE, m)  # (B, T)
            erased[m] = _smallest(draw, losable, size)
        else:
            draw = draws(SHARED_PLACE if shared else PLACE, m)  # (B,)
            start = _start(str(step.options["place"]), draw, count - size)
            erased[m] = _window(losable, start, size)
    return erase_frames(state, erased)


def _start(place: str, draw: Tensor, free: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Where a span begins that leaves `free` frames; the same draw gives the same relative position in any length."""
    if place == "start":
        return torch.zeros_like(free)
    if place == "middle":
        return free // 2
    if place == "end":
        return free
    # The product may be rounded up to free + 1.
    return (draw * (free + 1)).floor().long().minimum(free)


def _window(losable: Bool[Tensor, "B T"], start: Int[Tensor, " B"], size: Int[Tensor, " B"]) -> Bool[Tensor, "B T"]:
    """Some successive frames of those that may be lost, the first of which has number 0."""
    number = losable.cumsum(1) - 1  # (B, T)
    return losable & (number >= start[:, None]) & (number < (start + size)[:, None])


def _smallest(draw: Tensor, losable: Bool[Tensor, "B T"], size: Int[Tensor, " B"]) -> Bool[Tensor, "B T"]:
    """The frames with the smallest draws among those that may be lost."""
    # 2 is above every draw. The sort is stable, so that equal draws have one order on every device.
    rank = draw.where(losable, 2.0).argsort(dim=1, stable=True).argsort(dim=1, stable=True)  # (B, T)
    return losable & (rank < size[:, None])
