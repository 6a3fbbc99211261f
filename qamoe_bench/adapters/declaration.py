"""What a model's own file says about how it is built and called: an optional `ADAPTER`, in the class or the module.

    ADAPTER = {
        "arguments": ("text", "audio_with_lengths", "vision_with_lengths"),  # of the forward pass, in order
        "prediction": "M",                                                   # where it returns the prediction
        "constructor": {"text_in": "text_width", "layers": 2},               # arguments of the constructor
    }

Every key is optional; what is not declared is detected. An argument holds the features of a modality (B, T, D), its
`<modality>_lengths` (B,), its `<modality>_mask` (B, T), True at valid frames, a tuple of features and lengths
(`<modality>_with_lengths`), or the whole `batch`. The prediction is at a key of a dictionary, a position in a tuple or
an attribute. An argument of the constructor is `<modality>_width`, `<modality>_length` (the longest number of frames),
`widths` or `lengths` (tuples in the order text, audio, vision), the whole `spec`, or a number.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qamoe_bench.adapters.names import ARGUMENTS, FACTS
from qamoe_bench.errors import BenchError, unknown_name

NAME = "ADAPTER"
KEYS = ("arguments", "prediction", "constructor")


@dataclass(frozen=True)
class Declaration:
    """The content of an `ADAPTER`; see the module docstring.

    Attributes:
        arguments: What each argument of the forward pass holds, in order; empty if they are to be detected.
        prediction: Key, position or attribute of the prediction; None if it is to be detected.
        constructor: What arguments of the constructor hold, by name.
    """

    arguments: tuple[str, ...] = ()
    prediction: str | int | None = None
    constructor: Mapping[str, object] = field(default_factory=dict)


def declaration_of(kind: object, modules: Iterable[str]) -> Declaration:
    """The declaration of a class or function, or else of one of the modules; empty if there is none.

    Args:
        kind: The class of a model, or the function that builds it.
        modules: Names of imported modules, the first of which with a declaration counts.

    Raises:
        BenchError: If the declaration is malformed.
    """
    places = [(getattr(kind, "__name__", ""), kind), *((name, sys.modules.get(name)) for name in modules)]
    for where, place in places:
        declared = getattr(place, NAME, None)
        if declared is not None:
            return _checked(f"{NAME} in {where}", declared)
    return Declaration()


def _checked(where: str, declared: Any) -> Declaration:
    if not isinstance(declared, Mapping):
        raise BenchError(f"{where}: expected a dictionary, got {declared!r}; see qamoe_bench.adapters.declaration")
    for key in declared:
        if key not in KEYS:
            raise unknown_name(f"key of {where}", str(key), KEYS)
    arguments = declared.get("arguments", ())
    if not isinstance(arguments, tuple | list):
        raise BenchError(f"{where}: expected a tuple in 'arguments', got {arguments!r}; write ('text', 'audio', …)")
    for argument in arguments:
        if argument not in ARGUMENTS:
            raise unknown_name(f"argument in {where}", str(argument), ARGUMENTS)
    prediction = declared.get("prediction")
    if not isinstance(prediction, str | int | None) or isinstance(prediction, bool):
        raise BenchError(f"{where}: expected a key or a position in 'prediction', got {prediction!r}; correct it")
    return Declaration(tuple(arguments), prediction, _constructor(where, declared.get("constructor", {})))


def _constructor(where: str, arguments: Any) -> dict[str, object]:
    if not isinstance(arguments, Mapping):
        raise BenchError(f"{where}: expected a dictionary in 'constructor', got {arguments!r}; write {{'name': value}}")
    for value in arguments.values():
        # A word that is no fact is more often a misspelt one than a value; texts can be given as settings.
        if isinstance(value, str) and value not in FACTS:
            raise unknown_name(f"value in 'constructor' of {where}", value, FACTS)
    return {str(name): value for name, value in arguments.items()}
