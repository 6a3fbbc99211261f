"""What a forward pass returns: where the prediction is in it, and how to describe it in an error message.

Dimension legend: B samples.
"""

from collections.abc import Hashable, Mapping
from typing import Any

from torch import Tensor

from qamoe_bench.contract import Output

Place = str | int | None
"""Key of a dictionary, position in a tuple or name of an attribute; None for a tensor that is the prediction itself."""

SHOWN_PARTS = 3
"""Entries of a mapping or sequence that a message describes."""
PREDICTION_KEYS = ("M", "logits")
PREDICTION_PREFIX = "pred"


def described(value: object) -> str:
    """A value in a few words: shapes of tensors, and the first parts of mappings and sequences."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None"
    name = type(value).__name__
    if isinstance(value, Mapping):
        parts = [f"{key!r}: {described(part)}" for key, part in list(value.items())[:SHOWN_PARTS]]
    elif isinstance(value, list | tuple):
        parts = [described(part) for part in value[:SHOWN_PARTS]]
    else:
        return f"an object of type {name}"
    return f"a {name} of {len(value)} ({', '.join(parts)})"


def parts_of(returned: object) -> Mapping[Any, object]:
    """The values in what was returned, by key, position or attribute."""
    if isinstance(returned, Tensor):
        return {None: returned}
    if isinstance(returned, Mapping):
        return returned
    if isinstance(returned, list | tuple):
        return dict(enumerate(returned))
    return dict(getattr(returned, "__dict__", {}))


def may_be_prediction(value: object, size: int, outputs: int) -> bool:
    """Whether a value is a tensor (B,) or (B, 1, …), or for classes and labels (B, outputs).

    Of a single sample it may lack the first dimension, which squeeze() drops.
    """
    if not isinstance(value, Tensor) or value.numel() != size * outputs or not value.is_floating_point():
        return False
    if outputs > 1 and value.shape[-1:] != (outputs,):
        return False
    return value.shape[:1] == (size,) or size == 1


def places_of_prediction(returned: object, size: int, outputs: int) -> list[Place]:
    """Where the prediction may be, the likeliest place first; empty if nothing has its shape.

    A key that models use for their prediction decides: `M`, then `logits`, then one that starts with `pred`. Without
    such a key every value of that shape counts.

    Args:
        returned: What a forward pass returned.
        size: Number of samples, B.
        outputs: Values per sample: 1, or one for each class or label.
    """
    if isinstance(returned, Output):
        return [None]
    parts = parts_of(returned)
    for key in (*PREDICTION_KEYS, *(key for key in parts if str(key).lower().startswith(PREDICTION_PREFIX))):
        if key in parts:
            return [key] if may_be_prediction(parts[key], size, outputs) else []
    return [key for key, value in parts.items() if _is_place(key) and may_be_prediction(value, size, outputs)]


def _is_place(key: Hashable) -> bool:
    return key is None or isinstance(key, str | int)


def value_at(returned: object, place: Place) -> object:
    """The value at a place; None if there is nothing."""
    return parts_of(returned).get(place)
