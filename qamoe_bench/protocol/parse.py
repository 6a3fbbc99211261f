"""Protocol files: finding them by name or path, and reading TOML into a `Protocol`.

schema = 1
title = "..."               one line for tables
source = "..."              where the definition comes from
definition = "..."          the sentence that defines it
original = "..."            optional: what the original does at test time and in training
draws = 1                   optional: independent draws per condition

[axes]
eta = [0.0, 0.1, 0.2]       the swept levels; several axes form a grid

[points.name]               or points one by one, each with every variable; neither is a single condition
text = 1.0

[[corruption]]              steps, in order
kind = "modality-missing"   one of qamoe_bench.protocol.kinds.CORRUPTION_KINDS
rate = "eta"                a number, a variable, or one of them per modality: {text = "eta", audio = 0.2}
modalities = ["text"]       optional: all where left out
keep_one = true             options of the kind
                            kind = "files" names data files instead, see `qamoe_bench.protocol.level_files`

[training]                  optional: how the regime `sweep` trains, see `qamoe_bench.protocol.training`
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from qamoe_bench.documents import parse_toml, read_toml
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS, FILES, CorruptionKind, Option, as_toml, kind_named
from qamoe_bench.protocol.level_files import LevelFile, read_level_files
from qamoe_bench.protocol.spec import SCHEMA, Protocol
from qamoe_bench.protocol.training import read_training
from qamoe_bench.vocabulary import MODALITIES

Variables = Mapping[str, Sequence[float]]
"""Every variable of a file with all values that it takes."""


PROSE = ("title", "source", "definition", "original")
"""Keys whose values are text for people; no sample depends on them."""

OPTIONAL_PROSE = ("original",)

MAX_DRAWS = 1000
"""Most draws per condition; those of print are 1 to 100."""
MAX_CONDITIONS = 100_000
"""Most points of the grid of all axes."""


def protocol_names() -> tuple[str, ...]:
    """Names of the protocols that come with the package."""
    return tuple(sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml")))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Load a protocol: a named list of conditions.

    Args:
        name_or_path: A name that `qamoe-bench ls protocols` lists, or the path of a TOML file.

    Returns:
        The protocol; `conditions` lists its conditions in order.

    Raises:
        BenchError: If the name is unknown, the file is unreadable, or a key in it is unknown, missing or
            contradictory.

    Examples:
        >>> protocol = qamoe_bench.load_protocol("random-missing")
        >>> [condition.name for condition in protocol.conditions][:3]
        ['eta=0', 'eta=0.1', 'eta=0.2']
    """
    return _load(str(name_or_path), Path(), is_trained_on=False)


def _load(name: str, folder: Path, *, is_trained_on: bool) -> Protocol:
    """A protocol by name, or by its path from a folder.

    Args:
        name: Name or path.
        folder: Where relative paths start.
        is_trained_on: Whether another protocol names it as the one to train on.
    """
    if name in protocol_names():
        content = parse_toml((_folder() / f"{name}.toml").read_bytes(), _place(name))
        return _as_protocol(name, content, Path(), is_trained_on=is_trained_on)
    path = folder / name
    if path.suffix != ".toml":
        raise unknown_name("protocol", name, protocol_names())
    return _as_protocol(path.stem, read_toml(path, f"protocol file {path}"), path.parent, is_trained_on=is_trained_on)


def _folder() -> Traversable:
    """The folder of the protocol files: inside an installed package, next to it in a source tree."""
    package = files("qamoe_bench")
    installed = package / "protocols"
    return installed if installed.is_dir() else Path(str(package)).parent / "protocols"


def parse_protocol(name: str, content: str | bytes) -> Protocol:
    """A protocol from the content of its file; see the module docstring for the format."""
    table = parse_toml(content.encode() if isinstance(content, str) else content, _place(name))
    return _as_protocol(name, table, Path(), is_trained_on=False)


def _place(name: str) -> str:
    return f"protocol {name!r}"


def _as_protocol(name: str, table: Mapping[str, Any], folder: Path, *, is_trained_on: bool) -> Protocol:
    where = _place(name)
    _check_keys(where, table, {"schema", *PROSE, "draws", "axes", "points", "corruption", "training"})
    schema = table.get("schema")
    if schema != SCHEMA or type(schema) is not int:  # true and 1.0 equal 1
        raise BenchError(f"{where}: expected 'schema = {SCHEMA}', got {schema!r:.100}; see protocols/README.md")
    axes = _axes(where, table.get("axes", {}))
    points = _points(where, table.get("points", {}))
    if axes and points:
        raise BenchError(f"{where}: expected [axes] or [points], got both; remove one")
    variables: Variables = axes or _values_of_points(points)
    highest = {axis: levels[-1] for axis, levels in axes.items()}
    files: dict[str, LevelFile] = {}
    reading = _Reading(variables, folder, files)
    corruptions = _corruptions(where, table.get("corruption", []), reading, points.values() or [highest])
    training = table.get("training", {})
    _check_training(where, training, files)
    return Protocol(
        name=name,
        **_prose(where, table),
        axes=axes,
        points=points,
        corruptions=corruptions,
        draws=_draws(where, table.get("draws", 1)),
        training=read_training(f"{where}, [training]", training, axes, corruptions),
        trains_on=_trained_on(f"{where}, [training]", training, folder, is_trained_on=is_trained_on),
        files=files,
    )


@dataclass(frozen=True)
class _Reading:
    """What the tables of corruptions refer to.

    Attributes:
        variables: The variables of the file.
        folder: The folder that paths are relative to.
        files: Collects the data files of levels, by SHA-256.
    """

    variables: Variables
    folder: Path
    files: dict[str, LevelFile]


def _check_training(where: str, table: object, files: Mapping[str, LevelFile]) -> None:
    """Refuse to say how files are drawn in training."""
    if files and isinstance(table, dict) and table and "protocol" not in table:
        raise BenchError(
            f"{where}, [training]: expected 'protocol', since levels that are files corrupt no training samples, got "
            f"{min(table)!r}; name another protocol to train on, or remove [training]"
        )


def _trained_on(where: str, table: Mapping[str, Any], folder: Path, *, is_trained_on: bool) -> Protocol | None:
    """The protocol that `[training]` names, if it names one."""
    if "protocol" not in table:
        return None
    name = table["protocol"]
    if not isinstance(name, str) or not name:
        raise BenchError(f"{where}: expected the name or path of a protocol in 'protocol', got {name!r}; correct it")
    if is_trained_on:  # one step only: two files that name each other would never end
        raise BenchError(
            f"{where}: expected no 'protocol' in a protocol that another one trains on, got {name!r}; name a protocol "
            "that is trained on itself"
        )
    others = table.keys() - {"protocol"}
    if others:
        raise BenchError(
            f"{where}: expected 'protocol' alone, since the file of {name!r} says how it is drawn, got {min(others)!r} "
            "too; remove one of them"
        )
    try:
        return _load(name, folder, is_trained_on=True)
    except BenchError as error:
        raise BenchError(f"{where}, 'protocol': {error}") from error


def _values_of_points(points: Mapping[str, Mapping[str, float]]) -> dict[str, list[float]]:
    """Every variable of the points with all values that it takes."""
    values: dict[str, list[float]] = {}
    for point in points.values():
        for variable, value in point.items():
            values.setdefault(variable, []).append(value)
    return values


def _check_keys(where: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise BenchError(f"{where}: {unknown_name('key', key, known)}")


def _prose(where: str, table: Mapping[str, Any]) -> dict[str, str]:
    prose = {key: table.get(key) for key in PROSE if key in table or key not in OPTIONAL_PROSE}
    for key, value in prose.items():
        if not isinstance(value, str) or not value.strip():
            raise BenchError(f"{where}: expected a sentence in {key!r}, got {value!r:.100}; write one in the file")
    return {key: str(value).strip() for key, value in prose.items()}


def _draws(where: str, value: object) -> int:
    # TOML has booleans, which are integers in Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_DRAWS:
        raise BenchError(
            f"{where}: expected a whole number from 1 to {MAX_DRAWS} in 'draws', got {value!r:.100}; correct it"
        )
    return value


def _is_level(value: object) -> bool:
    # The comparison with infinity refuses `inf` and `nan`, which TOML allows.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _axes(where: str, table: object) -> dict[str, tuple[float, ...]]:
    if not isinstance(table, dict):
        raise BenchError(f"{where}: expected a table [axes], got {table!r:.100}; write 'eta = [0.0, 0.1]' below [axes]")
    for axis, values in table.items():
        if not isinstance(values, list) or not values or not all(map(_is_level, values)):
            raise BenchError(
                f"{where}: expected a list of levels from 0 up in axis {axis!r}, got {values!r:.100}; correct it"
            )
        if sorted(set(values)) != values:  # equal levels would be two conditions of one name
            raise BenchError(
                f"{where}: expected rising levels in axis {axis!r}, got {values!r:.100}; sort them, each once"
            )
    conditions = math.prod(map(len, table.values()))
    if conditions > MAX_CONDITIONS:
        raise BenchError(f"{where}: expected at most {MAX_CONDITIONS} conditions, got {conditions}; take fewer levels")
    return {axis: tuple(map(float, values)) for axis, values in table.items()}


def _points(where: str, table: object) -> dict[str, dict[str, float]]:
    if not isinstance(table, dict) or not all(isinstance(p, dict) for p in table.values()):
        raise BenchError(f"{where}: expected tables [points.NAME], got {table!r:.100}; give each point its own")
    for name, point in table.items():
        for variable, value in point.items():
            if not _is_level(value):
                raise BenchError(f"{where}: expected a level from 0 up in point {name!r}, got {variable} = {value!r}")
    variables = dict.fromkeys(itertools.chain(*table.values()))  # in the order of the file
    # A variable that a point does not mention is 0 there.
    return {name: _all_variables(point, variables) for name, point in table.items()}


def _all_variables(point: Mapping[str, float], variables: Iterable[str]) -> dict[str, float]:
    return {v: float(point.get(v, 0)) for v in variables}


def _corruptions(
    where: str, tables: object, reading: _Reading, settings: Iterable[Mapping[str, float]]
) -> tuple[dict[str, Any], ...]:
    """The steps; `settings` are the points, or the highest level of every axis."""
    if not isinstance(tables, list):
        raise BenchError(f"{where}: expected [[corruption]] tables, got [corruption]; double the brackets")
    for number, table in enumerate(tables, 1):
        if not isinstance(table, dict):
            raise BenchError(
                f"{where}, corruption {number}: expected a table, got {table!r:.100}; write [[corruption]]"
            )
    steps = tuple(_corruption(f"{where}, corruption {i}", table, reading) for i, table in enumerate(tables, 1))
    if any(step["kind"] == FILES for step in steps[1:]):
        # A file replaces the frames, whatever an earlier step did to them.
        raise BenchError(f"{where}: expected {FILES!r} once and as the first corruption, got it later; move it up")
    _check_repeated(where, steps, settings)
    _check_unused(where, steps, reading.variables)
    return steps


def _check_repeated(where: str, steps: Sequence[Mapping[str, Any]], settings: Iterable[Mapping[str, float]]) -> None:
    # A kind has one draw per modality, so a second step of it would not be independent of the first. Steps that are
    # never above 0 together do not meet.
    for setting in settings:
        pairs = Counter(itertools.chain(*(_active(step, setting) for step in steps)))
        for (kind, modality), count in pairs.items():
            if count > 1:
                raise BenchError(
                    f"{where}: two {kind!r} corruptions of {modality!r} would share their draws; make it one"
                )


def _active(step: Mapping[str, Any], setting: Mapping[str, float]) -> list[tuple[str, str]]:
    """The kind and modality of each level of a step that is above 0 at a setting of the variables."""
    levels = {m: setting[v] if isinstance(v, str) else v for m, v in step["levels"].items()}
    return [(step["kind"], m) for m, level in levels.items() if level > 0]


def _check_unused(where: str, steps: Sequence[Mapping[str, Any]], variables: Variables) -> None:
    unused = set(variables)
    for step in steps:
        # Levels may be numbers, which are in no set of names.
        unused.difference_update(step["levels"].values())
    if unused:
        raise BenchError(f"{where}: {min(unused)!r} is used by no corruption; use it as a level or remove it")


def _corruption(where: str, table: Mapping[str, Any], reading: _Reading) -> dict[str, Any]:
    name = f"{table.get('kind')!s:.100}"
    if name == FILES:
        return _corruption_from_files(where, table, reading)
    if name not in CORRUPTION_KINDS:
        raise BenchError(f"{where}: {unknown_name('kind', name, [*CORRUPTION_KINDS, FILES])}")
    kind = kind_named(name)
    _check_keys(where, table, {"kind", "modalities", kind.parameter, *kind.options})
    # Defaults are written out, so that stating one does not change the digest.
    options = {name: table.get(name, default) for name, default in kind.defaults.items()}
    for option, value in options.items():
        _check_option(where, option, value, kind.options[option])
    return {"kind": name, "levels": _levels(where, kind, table, reading.variables), "options": options}


def _corruption_from_files(where: str, table: Mapping[str, Any], reading: _Reading) -> dict[str, Any]:
    """A corruption whose options are the digests of its files by level, so that these are part of every key."""
    kind = kind_named(FILES)
    _check_keys(where, table, {"kind", "modalities", kind.parameter, "files"})
    levels = _levels(where, kind, table, reading.variables)
    values = set[float]()
    for level in levels.values():
        values.update(reading.variables[level] if isinstance(level, str) else [level])
    by_level = read_level_files(where, table, values, reading.folder)
    reading.files.update({file.sha256: file for file in by_level.values()})
    return {"kind": FILES, "levels": levels, "options": {key: file.sha256 for key, file in by_level.items()}}


def _check_option(where: str, name: str, value: object, choices: Sequence[Option]) -> None:
    # The type counts: 1 == True in Python.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *most, last = (as_toml(choice) for choice in choices)
        raise BenchError(f"{where}: expected {', '.join(most)} or {last} in {name!r}, got {value!r:.100}; correct it")


def _levels(where: str, kind: CorruptionKind, table: Mapping[str, Any], variables: Variables) -> dict[str, str | float]:
    if kind.parameter not in table:
        raise BenchError(f"{where}: expected {kind.parameter!r}, got none; give a number or the name of a variable")
    value = table[kind.parameter]
    if kind.joint and (isinstance(value, dict) or "modalities" in table):
        raise BenchError(f"{where}: this kind decides for all modalities together; give one {kind.parameter!r} for all")
    if isinstance(value, dict) and "modalities" in table:
        raise BenchError(f"{where}: {kind.parameter!r} names its modalities already; remove 'modalities'")
    modalities = table.get("modalities", list(MODALITIES))
    if not isinstance(modalities, list) or not modalities:
        raise BenchError(f"{where}: expected a list of modalities, got {modalities!r:.100}; leave it out for all")
    levels = value if isinstance(value, dict) else {str(m): value for m in modalities}
    for modality, level in levels.items():
        if modality not in MODALITIES:
            raise BenchError(f"{where}: {unknown_name('modality', modality, MODALITIES)}")
        _check_level(where, kind, level, variables)
    return {m: v if isinstance(v, str) else float(v) for m, v in levels.items()}


def _check_level(where: str, kind: CorruptionKind, level: object, variables: Variables) -> None:
    if isinstance(level, str) and level not in variables:
        raise BenchError(f"{where}: {unknown_name('variable', level, variables)}")
    values = variables[level] if isinstance(level, str) else [level]
    for value in values:
        if kind.allowed and value not in kind.allowed:
            raise BenchError(
                f"{where}: expected {kind.parameter!r} to be one of {kind.allowed}, got {value!r:.100}; correct it"
            )
        if not _is_level(value) or value > kind.highest:  # type: ignore[operator]  # a level is a number
            raise BenchError(
                f"{where}: expected {kind.parameter!r} from 0 to {kind.highest:g}, got {value!r:.100}; correct it"
            )
