"""How a forward pass is called, and its detection: by the names of its arguments, and by trying a few samples.

Dimension legend: B samples, T frames, D feature width.
"""

import inspect
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from qamoe_bench.adapters.declaration import Declaration
from qamoe_bench.adapters.names import LENGTH_WORDS, argument_of
from qamoe_bench.adapters.probabilities import are_probabilities
from qamoe_bench.adapters.returned import Place, described, may_be_prediction, places_of_prediction, value_at
from qamoe_bench.contract import Batch, Output
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import global_randomness_restored, seeded
from qamoe_bench.vocabulary import MODALITIES, REGRESSION, Task

WITH_LENGTHS = "_with_lengths"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Argument:
    """An argument of a forward pass.

    Attributes:
        holds: What it holds, one of `qamoe_bench.adapters.names.ARGUMENTS`.
        name: Its name; empty if it is passed by position.
    """

    holds: str
    name: str = ""

    @property
    def modality(self) -> str:
        """The modality that it belongs to; empty for the whole batch."""
        return next((m for m in MODALITIES if self.holds.startswith(m)), "")

    def value(self, batch: Batch) -> object:
        """What it holds of a batch: features (B, T, D), lengths (B,), a mask (B, T), features with lengths, or all."""
        m = self.modality
        if not m:
            return batch
        # Packing refuses sequences without frames; a modality that a sample lacks is one frame of zeros.
        lengths = batch.lengths[m].clamp(min=1)
        values = {m: batch.features[m], f"{m}_lengths": lengths, f"{m}{WITH_LENGTHS}": (batch.features[m], lengths)}
        return values[self.holds] if self.holds in values else batch.mask(m)

    @property
    def words(self) -> str:
        """The argument as it is written in a call."""
        m = self.modality
        holds = f"({m}, {m}_lengths)" if self.holds.endswith(WITH_LENGTHS) else self.holds
        return holds if self.name in ("", holds) else f"{self.name}={holds}"


@dataclass(frozen=True)
class Call:
    """How a forward pass is called, and where its prediction is.

    Attributes:
        arguments: The arguments, in order.
        place: Where the prediction is in what it returns.
        shape: What it returned for the samples that were tried, in words.
        task: What it predicts.
        are_probabilities: Whether values of classes or labels are probabilities already, and not scores.
    """

    arguments: tuple[Argument, ...]
    place: Place = None
    shape: str = ""
    task: Task = REGRESSION
    are_probabilities: bool = False

    def __call__(self, model: nn.Module, batch: Batch) -> Any:
        """What the forward pass returns for a batch."""
        by_position = [a.value(batch) for a in self.arguments if not a.name]
        by_name = {a.name: a.value(batch) for a in self.arguments if a.name}
        return model(*by_position, **by_name)

    @property
    def sentence(self) -> str:
        """The call in words, such as `is called as forward(text, audio, vision) and returns dict['M'] of shape (B, 1)`.

        B is the number of samples.
        """
        arguments = ", ".join(argument.words for argument in self.arguments)
        values = "" if self.task.is_regression else ", probabilities" if self.are_probabilities else ", scores"
        return f"is called as forward({arguments}) and returns {self.shape}{values}"


def takes_batch(model: nn.Module) -> bool:
    """Whether the forward pass takes one argument that is no modality by its name, as that of the contract does."""
    required = [p for p in _parameters(model) if p.default is p.empty and p.kind not in VARIABLE]
    return len(required) == 1 and not argument_of(required[0].name)


def detect_call(model: nn.Module, samples: Batch, declared: Declaration, name: str, task: Task = REGRESSION) -> Call:
    """How a forward pass is called, tried on a few samples without gradients; all random states are restored.

    Args:
        model: The model.
        samples: Uncorrupted samples, at least two.
        declared: What the model's file says about it.
        name: The model's name, for error messages.
        task: What it shall predict.

    Raises:
        BenchError: If no call works, or several do, or the prediction is not clear; the message says what to declare.
    """
    candidates = [tuple(map(Argument, declared.arguments))] if declared.arguments else _candidates(model, samples, name)
    for arguments in candidates:
        _check_modalities(arguments, samples, name)
    results: list[tuple[Call, Any]] = []
    failures: list[Exception] = []
    for call in map(Call, candidates):
        try:
            with undisturbed(model):
                results.append((call, call(model, samples)))
        except Exception as error:
            # A wrong candidate raises whatever the model's code makes of it.
            failures.append(error)
    if not results:
        raise _nothing_works(Call(candidates[0]), failures[0], name)
    call, returned = results[0]
    if len(results) > 1 and _is_guess(call):
        raise BenchError(
            f"model {name!r}: expected names of arguments that say their modality, got {_signature(model)}, which "
            f"accepts {len(results)} orders of the modalities; declare ADAPTER = {{'arguments': ('text', …)}} in its "
            "file, in the right order"
        )
    placed = _with_prediction(replace(call, task=task), returned, samples.size, declared, name)
    values = value_at(returned, placed.place)
    # Scores of classes or labels are hardly ever all in [0, 1] with a sum of 1.
    is_probable = not task.is_regression and isinstance(values, Tensor) and bool(are_probabilities(values, task).all())
    return replace(placed, are_probabilities=is_probable)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every mode and random state is as before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), global_randomness_restored(), seeded("detect call"):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _parameters(model: nn.Module) -> list[inspect.Parameter]:
    return list(inspect.signature(model.forward).parameters.values())


def _signature(model: nn.Module) -> str:
    return f"forward({', '.join(str(parameter) for parameter in _parameters(model))})"


def _candidates(model: nn.Module, samples: Batch, name: str) -> list[tuple[Argument, ...]]:
    """The calls to try, the likeliest first."""
    parameters = _parameters(model)
    required = [p for p in parameters if p.default is p.empty and p.kind is not inspect.Parameter.VAR_KEYWORD]
    known = [p for p in parameters if argument_of(p.name) and p.kind not in VARIABLE]
    unknown = [p for p in required if not argument_of(p.name) or p.kind in VARIABLE]
    if unknown:
        return _orders(model, unknown, [p for p in known if p in required], samples, name)
    # An optional modality that the data lack is left out.
    used = [p for p in known if p in required or _argument(p).modality in samples.modalities]
    named = tuple(map(_argument, used))
    bare = tuple(argument for argument, p in zip(named, used, strict=True) if p in required)
    candidates = [named, bare] if bare else [named]
    for paired in (("audio", "vision"), MODALITIES):  # MMSA passes tuples of features and lengths
        candidates.append(tuple(_paired(argument, paired) for argument in named))
    return list(dict.fromkeys(candidates))


def _argument(parameter: inspect.Parameter) -> Argument:
    holds = argument_of(parameter.name)
    # Where lengths belong to no modality by name, they are those of the text, which the others are aligned to.
    holds = "text_lengths" if holds == "lengths" else holds
    return Argument(holds, "" if parameter.kind in POSITIONAL else parameter.name)


def _paired(argument: Argument, modalities: Sequence[str]) -> Argument:
    return replace(argument, holds=argument.holds + WITH_LENGTHS) if argument.holds in modalities else argument


def _orders(
    model: nn.Module,
    unknown: Sequence[inspect.Parameter],
    known: Sequence[inspect.Parameter],
    samples: Batch,
    name: str,
) -> list[tuple[Argument, ...]]:
    """Every order of the modalities that no argument names, for the arguments whose names say nothing."""
    named = {_argument(p).modality: p for p in known}
    others = [m for m in samples.modalities if m not in named]
    is_variable = [p.kind for p in unknown] == [inspect.Parameter.VAR_POSITIONAL]
    if not others or (len(unknown) != len(others) and not is_variable) or (is_variable and known):
        raise BenchError(
            f"model {name!r}: expected arguments that say what they hold, such as forward(text, audio, vision), got "
            f"{_signature(model)}; declare ADAPTER = {{'arguments': ('text', …)}} in its file, in order, or rename them"
        )
    names = [""] * len(others) if is_variable else [p.name for p in unknown]
    fixed = tuple(map(_argument, known))
    return [
        (*fixed, *itertools.starmap(Argument, zip(order, names, strict=True)))
        for order in itertools.permutations(others)
    ]


def _is_guess(call: Call) -> bool:
    """Whether the name of an argument does not say what it holds, so that another order could be meant."""
    return any(argument.name and not argument_of(argument.name) for argument in call.arguments) or all(
        not argument.name for argument in call.arguments
    )


def _check_modalities(arguments: Sequence[Argument], samples: Batch, name: str) -> None:
    if not arguments:
        raise BenchError(
            f"model {name!r}: expected a forward pass with arguments, such as forward(text, audio, vision), got none; "
            "add them"
        )
    for argument in arguments:
        if argument.modality and argument.modality not in samples.modalities:
            raise BenchError(
                f"model {name!r}: expected data with {argument.modality}, which its forward pass takes, got "
                f"{', '.join(samples.modalities)}; choose other data, or leave the model out"
            )


def _nothing_works(call: Call, error: Exception, name: str) -> BenchError:
    message = str(error).strip().partition("\n")[0]
    arguments = ", ".join(argument.words for argument in call.arguments)
    return BenchError(
        f"model {name!r}: expected forward({arguments}) to accept a batch, got {type(error).__name__}: {message}; "
        "correct it, or declare what its arguments are, ADAPTER = {'arguments': ('text', 'audio_with_lengths', …)}, in "
        "its file"
    )


def _with_prediction(call: Call, returned: object, size: int, declared: Declaration, name: str) -> Call:
    """The call with the place of the prediction in what it returned for some samples."""
    outputs = call.task.outputs
    numbers = "one number" if call.task.is_regression else f"{outputs} scores"
    if declared.prediction is not None:
        if not may_be_prediction(value_at(returned, declared.prediction), size, outputs):
            raise BenchError(
                f"model {name!r}: expected {numbers} per sample at {declared.prediction!r}, which ADAPTER declares, "
                f"got {described(returned)}; correct 'prediction'"
            )
        return replace(call, place=declared.prediction, shape=_shape(returned, declared.prediction))
    places = places_of_prediction(returned, size, outputs)
    if not places:
        shapes = f"({size},) or ({size}, 1)" if call.task.is_regression else f"({size}, {outputs})"
        raise BenchError(
            f"model {name!r}: expected a prediction with {numbers} for each of {size} samples, got "
            f"{described(returned)}; return it as a tensor of shape {shapes}, or in a dictionary with the key 'M', "
            "'logits' or 'pred'"
        )
    if len(places) > 1:
        raise BenchError(
            f"model {name!r}: expected one prediction, got {described(returned)}, where {_listed(places)} have "
            f"{numbers} per sample; declare ADAPTER = {{'prediction': {places[0]!r}}}, or the other one, in its file"
        )
    return replace(call, place=places[0], shape=_shape(returned, places[0]))


def _listed(places: Sequence[Place]) -> str:
    return " and ".join(repr(place) for place in places)


def _shape(returned: object, place: Place) -> str:
    if isinstance(returned, Output):
        return "an Output"
    value = value_at(returned, place)
    assert isinstance(value, Tensor)
    shape = ", ".join(["B", *map(str, value.shape[1:])])
    shape = f"(B, {shape[3:]})" if value.ndim > 1 else "(B,)"
    if place is None:
        return f"a tensor of shape {shape}"
    return f"{type(returned).__name__}[{place!r}] of shape {shape}"


__all__ = ["LENGTH_WORDS", "Argument", "Call", "detect_call", "takes_batch", "undisturbed"]
