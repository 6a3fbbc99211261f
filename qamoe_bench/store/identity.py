"""What the metadata of a stored cell must say: an identity that gives its key, and facts of the right types.

Nothing here needs numpy or Arrow, so that a folder is listed without loading them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError
from qamoe_bench.store.cell import SCHEMA, Cell, digest_of, key_in


class Damage(Exception):
    """Why a file is not a cell as a run has written it, in words."""


def check_metadata(path: Path, about: object) -> Mapping[str, Any]:
    """The metadata of the file of a cell, as JSON holds them.

    Raises:
        Damage: If they are those of no cell, or of another than the name of the file says.
        BenchError: If they are of a newer schema.
    """
    if not isinstance(about, dict):
        raise Damage("its metadata describe no cell")
    check_schema(path, about.get("schema"))
    check_identity(about, key_in(path.name))
    check_facts(about["facts"])
    return about


def check_schema(path: Path, schema: object) -> None:
    """Check that this version can read a file of this schema.

    Raises:
        BenchError: If it is newer.
        Damage: If it is no version at all.
    """
    if type(schema) is not int or schema < 1:  # a bool is an int
        raise Damage(f"its schema is {schema!r:.60}, which is no version")
    if schema > SCHEMA:
        raise BenchError(
            f"{path}: expected schema {SCHEMA} or older, got {schema!r:.60}; update qamoe-bench to read it"
        )


def check_identity(about: Mapping[str, Any], file_key: str) -> None:
    """Check that the identity of a cell gives the key that the file has in its name and its metadata.

    Raises:
        Damage: If it does not.
    """
    cell = about.get("cell")
    if not isinstance(cell, dict) or not isinstance(about.get("facts"), dict):
        raise Damage("its metadata describe no cell")
    for name, kind in _TYPES.items():
        if type(cell.get(name)) is not kind:  # not isinstance, because a bool is an int
            raise Damage(f"its {name} is of another type")
    # Of all fields in the file, which may be those of a later version.
    key = digest_of({**cell, "schema": about["schema"]})[: len(file_key)]
    if not key == file_key == about.get("key"):
        raise Damage("its data, protocol, model, regime, recipe or seed were edited: they give another key")


def check_facts(facts: Mapping[str, Any]) -> None:
    """Check the types of what is recorded with a cell.

    Raises:
        Damage: If a fact is missing or of another type.
    """
    for name in ("conditions", "parameters", "config", "training"):
        if name not in facts:
            raise Damage(f"it does not record its {name}")
    for name, is_valid in _VALID_FACTS.items():
        if name in facts and not is_valid(facts[name]):
            raise Damage(f"what it records as {name} is invalid")


# Computed once: a store may hold many thousands of cells.
_TYPES = {field.name: field.type for field in fields(Cell)}


def _is_conditions(value: object) -> bool:
    """Whether these are conditions: distinct names, each with a number for every axis of the first."""
    if not isinstance(value, list | tuple) or not value:
        return False
    for condition in value:
        if not isinstance(condition, dict) or not isinstance(condition.get("name"), str):
            return False
        levels = condition.get("levels")
        if not isinstance(levels, dict) or not all(map(_is_number, levels.values())):
            return False
        if not value[0]["levels"].keys() <= levels.keys():
            return False
    return len({condition["name"] for condition in value}) == len(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_measurement(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_permutations(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(part, list) and len(part) > 0 for part in value.values())


def _is_train_size(value: object) -> bool:
    """Nothing, or the numbers of training samples and the data set that has all of them."""
    if not isinstance(value, dict) or not value:
        return value == {}
    sizes = [value.get("samples"), value.get("base_samples")]
    return all(type(size) is int and size > 0 for size in sizes) and all(
        _is_text(value.get(key)) for key in ("base", "base_digest")
    )


def _is_task(value: object) -> bool:
    """Whether this is empty, or names the classes or labels of a kind of task."""
    if not isinstance(value, Mapping):
        return False
    names = value.get("names")
    is_named = isinstance(names, list | tuple) and len(names) > 1 and all(map(_is_text, names))
    return not value or (is_named and value.get("kind") in ("classes", "multi-label"))


_VALID_FACTS: Mapping[str, Callable[[object], bool]] = {
    "conditions": _is_conditions,
    "parameters": _is_measurement,
    "config": _is_mapping,
    "training": _is_mapping,
    "experts": _is_mapping,
    "seconds_per_sample": _is_measurement,
    "encodings_asked": _is_measurement,
    "encodings_computed": _is_measurement,
    "permutations": _is_permutations,
    "device": _is_text,
    "seconds_per_condition": _is_measurement,
    "peak_memory_mib": _is_measurement,
    "finished": _is_text,
    "trained_on": _is_mapping,
    "task": _is_task,
    "train_size": _is_train_size,
}
