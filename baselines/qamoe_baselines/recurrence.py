"""States of a recurrent network in every precision.

Dimension legend: B samples, T frames, D feature width, W width of the states.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def recurrent_states(network: nn.Module, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T W"]:
    """The states of the last layer, computed in float32: CPUs have no bfloat16 kernel for some sizes."""
    with torch.autocast(x.device.type, enabled=False):
        states: Tensor = network(x.float())[0]
    return states
