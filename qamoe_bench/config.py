"""Configurations as dataclasses: unknown fields and values of a wrong type are reported as mistakes of the user."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from qamoe_bench.errors import BenchError, unknown_name

C = TypeVar("C")


def configure(config: type[C], overrides: Mapping[str, Any]) -> C:
    """A configuration with some fields set.

    Args:
        config: Class of the configuration, a dataclass. Settings that users write with a prefix, such as `train.`, have
            it as a class variable `prefix`.
        overrides: Values by name of the field; the other fields keep their defaults.

    Raises:
        BenchError: for an unknown field, with the most similar known one, or a value of the wrong type.
    """
    prefix: str = getattr(config, "prefix", "")
    known = [f.name for f in fields(config)]  # type: ignore[arg-type]  # every configuration is a dataclass
    hints = get_type_hints(config)  # resolves annotations that are strings
    # Python itself would accept any type, and reports an unknown field in terms of `__init__`.
    for name, value in overrides.items():
        if name not in known:
            raise unknown_name("setting", prefix + name, [prefix + field for field in known])
        if not _fits(value, hints[name]):
            raise BenchError(f"setting {prefix}{name}: expected {_words(hints[name])}, got {value!r}")
    return config(**overrides)


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in (int, float):  # bool is a subclass of int, but `layers=True` is a mistake
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return {int: "a whole number", float: "a number", bool: "True or False", str: "text"}.get(hint, str(hint))
