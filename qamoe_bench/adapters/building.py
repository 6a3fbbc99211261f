"""From a class or a function to a model of the contract, whatever its constructor and forward pass look like."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from qamoe_bench.adapters.calling import detect_call, takes_batch
from qamoe_bench.adapters.declaration import Declaration, declaration_of
from qamoe_bench.adapters.module import AdaptedModule, AdaptedWithLoss
from qamoe_bench.adapters.names import SPEC, fact_of
from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.errors import BenchError


def construct(
    builder: Callable[..., Any], settings: Mapping[str, Any], spec: DataSpec, name: str, module: str = ""
) -> object:
    """Call a builder with what its arguments ask for.

    A function `build(spec, **settings)` and a class with one required argument get the specification. Of others,
    arguments such as `text_dim` or `audio_len` are filled from the data, see `qamoe_bench.adapters.names`; all others
    need a default, a setting, or a declaration.

    Args:
        builder: The class or function.
        settings: Values of some of its arguments.
        spec: Specification of the data.
        name: The model's name, for error messages.
        module: Module that may hold the declaration.

    Raises:
        BenchError: If an argument cannot be filled, or the constructor of a class raises an exception.
    """
    if isinstance(builder, nn.Module):
        raise BenchError(
            f"model {name!r}: expected a class or a function that builds it, got a module that exists already; name "
            f"its class {type(builder).__name__}, so that every seed starts from weights of its own"
        )
    declared = declaration_of(builder, [module])
    if declared.constructor:
        values = {argument: _fact(value, spec, name) for argument, value in declared.constructor.items()}
        return _called(builder, (), {**values, **settings}, name)
    required, known = _arguments(builder, settings)
    is_class = inspect.isclass(builder)
    # One required argument that names nothing else is the specification, as in the contract.
    if (len(required) == 1 and fact_of(required[0]) in ("", SPEC)) or (not is_class and not (required or known)):
        return _called(builder, (spec,), settings, name)
    unknown = [argument for argument in required if argument not in known]
    if unknown:
        raise BenchError(
            f"model {name!r}: expected arguments of {_name(builder)} that the data say, such as text_dim, or that have "
            f"a default, got {unknown[0]!r}; give it as a setting after the name, as in :{unknown[0]}=VALUE, or in "
            "ADAPTER = {'constructor': {…}} in its file"
        )
    values = {argument: _fact(fact, spec, name) for argument, fact in known.items()}
    return _called(builder, (), {**values, **settings}, name)


def _arguments(builder: Callable[..., Any], settings: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Arguments without default that no setting gives, and what the arguments with known names hold."""
    try:
        parameters = inspect.signature(builder).parameters.values()
    except ValueError:  # of a builder in C, which says nothing about its arguments
        return [SPEC], {}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    open_ones = [p for p in parameters if p.kind not in variable and p.name not in settings]
    required = [p.name for p in open_ones if p.default is p.empty]
    return required, {p.name: fact_of(p.name) for p in open_ones if fact_of(p.name)}


def _fact(fact: object, spec: DataSpec, name: str) -> object:
    """The value of a fact of `qamoe_bench.adapters.names.FACTS`; anything else is a value itself."""
    if fact == SPEC:
        return spec
    if fact in ("widths", "lengths"):
        values = spec.widths if fact == "widths" else spec.lengths
        return tuple(values[m] for m in spec.modalities)
    if not isinstance(fact, str):
        return fact
    modality, _, part = fact.partition("_")
    if modality not in spec.modalities:
        raise BenchError(
            f"model {name!r}: expected data with {modality}, which its constructor takes, got "
            f"{', '.join(spec.modalities)}; choose other data, or leave the model out"
        )
    return (spec.widths if part == "width" else spec.lengths)[modality]


def _called(builder: Callable[..., Any], arguments: tuple[object, ...], values: Mapping[str, Any], name: str) -> object:
    """What the builder returns. An exception of a class names it; a function is code of the user for this suite."""
    if not inspect.isclass(builder):
        return builder(*arguments, **values)
    try:
        return builder(*arguments, **values)
    except BenchError:
        raise
    except Exception as error:
        if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
            raise  # a setting that it does not have, which the caller reports
        given = ", ".join([*("spec" for _ in arguments), *(f"{key}={value!r}" for key, value in values.items())])
        message = str(error).strip().partition("\n")[0]
        raise BenchError(
            f"model {name!r}: expected {_name(builder)}({given}) to build it, got {type(error).__name__}: {message}; "
            "write a function build(spec) that returns the model, and name that one"
        ) from error


def _name(builder: Callable[..., Any]) -> str:
    return getattr(builder, "__name__", type(builder).__name__)


def adapt(model: nn.Module, samples: Batch, spec: DataSpec, name: str, module: str = "") -> nn.Module:
    """The model itself if its forward pass takes a `Batch`, otherwise an `AdaptedModule` around it.

    Args:
        model: A module.
        samples: Some uncorrupted samples on the device of the model, to try its forward pass on.
        spec: Specification of the data.
        name: The model's name, for error messages.
        module: Module that may hold its declaration, before the one of its class.

    Raises:
        BenchError: If it cannot be seen how the forward pass is called; the message says what to declare.
    """
    declared = declaration_of(type(model), [module, type(model).__module__])
    if declared == Declaration(constructor=declared.constructor) and takes_batch(model):
        return model
    if spec.token_ids:
        raise BenchError(
            f"model {name!r}: expected features, since its forward pass takes no Batch, got token ids of "
            f"{min(spec.token_ids)}; leave --fine-tune out, or write a forward pass that takes a Batch"
        )
    call = detect_call(model, samples, declared, name, spec.task)
    return (AdaptedWithLoss if callable(getattr(model, "loss", None)) else AdaptedModule)(model, call)
