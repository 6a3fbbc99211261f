"""From a model's reference to a fresh model, the same for the same seed."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn

from qamoe_bench.adapters.building import adapt, construct
from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import seeded


@runtime_checkable  # the test run checks annotations
class Buildable(Protocol):
    """What building needs of a model's reference, so that code which only lists models changes no training."""

    @property
    def name(self) -> str:
        """The name as the user gave it."""

    @property
    def module(self) -> str:
        """The module that holds the builder."""

    def builder(self) -> Callable[..., Any]:
        """The function that makes the model."""


def build_model(ref: Buildable, settings: Mapping[str, Any], spec: DataSpec, samples: Batch, seed: int) -> nn.Module:
    """A model for data of a specification, with fields of its configuration set.

    Args:
        ref: The model; what its builder returns is adapted if its forward pass takes no `Batch`.
        settings: Fields of its configuration.
        spec: Specification of the data.
        samples: Some uncorrupted samples, see `Dataset.examples`; only models that have to be adapted see them.
        seed: Of its initial weights.

    Raises:
        BenchError: for a setting that the model does not have, or a builder that returns something else than a module.
    """
    builder = ref.builder()
    with seeded("build", seed):
        try:
            # A copy, because a parameter may be made of its tensors, which corruptions use as well.
            model = construct(builder, settings, copy.deepcopy(spec), ref.name, ref.module)
        except TypeError as error:
            # Python's message is the only sign that the builder does not know a setting; other errors are bugs of it.
            if settings and "unexpected keyword argument" in str(error):
                raise BenchError(f"model {ref.name!r}: {_called(builder)} takes no such setting ({error})") from error
            raise
    if not isinstance(model, nn.Module):
        raise BenchError(
            f"model {ref.name!r}: expected {_called(builder)} to return a torch.nn.Module, got {type(model).__name__}"
        )
    return adapt(model, samples, spec, ref.name, ref.module)


def _called(builder: Callable[..., Any]) -> str:
    return f"{builder.__module__}:{builder.__qualname__}"
