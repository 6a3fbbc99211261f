"""From a model's reference to a fresh model, the same for the same seed."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from qamoe_bench.contract import DataSpec
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import ModelRef
from qamoe_bench.seeding import seeded


def build_model(ref: ModelRef, settings: Mapping[str, Any], spec: DataSpec, seed: int) -> nn.Module:
    """A model for data of a specification, with fields of its configuration set.

    Raises:
        BenchError: for a setting that the model does not have, or a builder that gives something else than a module.
    """
    builder = ref.builder()
    with seeded("build", seed):
        try:
            model = builder(spec, **settings)
        except TypeError as error:
            if settings and "unexpected keyword argument" in str(error):
                raise BenchError(f"model {ref.name!r}: {ref.target} takes no such setting ({error})") from error
            raise
    if not isinstance(model, nn.Module):
        raise BenchError(
            f"model {ref.name!r}: expected {ref.target} to return a torch.nn.Module, got {type(model).__name__}"
        )
    return model
