"""Model configurations: dataclasses whose unknown fields are the user's mistake."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from qamoe_bench.errors import unknown_name

C = TypeVar("C")


def configure(config: type[C], overrides: Mapping[str, Any]) -> C:
    """A configuration with some fields set; an unknown field is a `BenchError` that names the nearest."""
    known = {f.name for f in fields(config)}  # type: ignore[arg-type]  # every configuration is a dataclass
    for name in overrides:
        if name not in known:
            raise unknown_name(f"field of {config.__name__}", name, known)
    return config(**overrides)
