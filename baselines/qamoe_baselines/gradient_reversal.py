"""Gradient reversal (Ganin, Lempitsky 2015): the identity, whose gradient is multiplied by −α."""

from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function


class _Reversal(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.alpha * gradients[0], None


def reverse_gradient(x: Float[Tensor, "*B"], alpha: float = 1.0) -> Float[Tensor, "*B"]:
    """X itself; a loss of the result is maximised with respect to the parameters before it."""
    reversed_: Tensor = _Reversal.apply(x, alpha)  # type: ignore[no-untyped-call]
    return reversed_
