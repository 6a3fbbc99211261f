"""From a builder to a fresh model, the same for the same seed."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from qamoe_bench.contract import DataSpec
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import seeded


def build_model(
    builder: Callable[..., Any], settings: Mapping[str, Any], spec: DataSpec, seed: int, name: str
) -> nn.Module:
    """A model for data of a specification, with fields of its configuration set.

    Args:
        builder: The function that makes it, `builder(spec, **settings)`.
        settings: Fields of its configuration.
        spec: Specification of the data.
        seed: Of its initial weights.
        name: Its name in error messages.

    Raises:
        BenchError: for a setting that the model does not have, or a builder that returns something else than a module.
    """
    with seeded("build", seed):
        try:
            model = builder(spec, **settings)
        except TypeError as error:
            # Python's message is the only sign that the builder does not know a setting; other errors are bugs of it.
            if settings and "unexpected keyword argument" in str(error):
                raise BenchError(f"model {name!r}: {_called(builder)} takes no such setting ({error})") from error
            raise
    if not isinstance(model, nn.Module):
        raise BenchError(
            f"model {name!r}: expected {_called(builder)} to return a torch.nn.Module, got {type(model).__name__}"
        )
    return model


def _called(builder: Callable[..., Any]) -> str:
    return f"{builder.__module__}:{builder.__qualname__}"
