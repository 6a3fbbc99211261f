"""Precision of a model's arithmetic: float32, or bfloat16, which some processors compute faster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from qamoe_bench.errors import unknown_name

Precision = Literal["float32", "bfloat16"]


@contextmanager
def at(precision: Precision, device: torch.device) -> Iterator[None]:
    """A context without gradients, with autocast where the precision is not float32, that of the weights."""
    # Autocast caches converted weights only outside inference mode.
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def find_precision(name: str) -> Precision:
    """A precision by name."""
    if name not in get_args(Precision):
        raise unknown_name("precision", name, get_args(Precision))
    return "bfloat16" if name == "bfloat16" else "float32"
