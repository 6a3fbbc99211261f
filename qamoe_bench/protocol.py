"""Protocols: named lists of conditions on the reliability spectrum, declared in TOML.

A file says which axes are swept and which corruption steps are applied, in order:

    schema = 1
    title = "..."               one line for tables
    source = "..."              where the definition comes from
    definition = "..."          the sentence that defines it
    [axes]
    eta = [0.0, 0.1, 0.2]       several axes make a grid, in the order given
    [[corruption]]
    kind = "modality-missing"   one of KINDS
    rate = "eta"                a number, an axis, or one of them per modality: {text = "eta", audio = 0.2}
    modalities = ["text"]       optional: all where left out
    keep_one = true             options of the kind

A `Condition` is one point of the sweep with every number filled in. Nothing here needs torch.
"""

import hashlib
import itertools
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.modality import MODALITIES

SCHEMA = 1

Level = float | NDArray[np.float32]
"""A level for all samples, or one per sample (training on the spectrum)."""


@dataclass(frozen=True)
class Kind:
    """A known corruption: what its level is called, what it means, and its options with their defaults."""

    parameter: str
    meaning: str
    highest: float = float("inf")
    options: Mapping[str, bool] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "modality-missing": Kind(
        "rate",
        "the whole modality becomes zero with this probability, independently per sample and modality; "
        "with keep_one a sample that would lose everything keeps one uniformly chosen modality",
        highest=1.0,
        options={"keep_one": True},
    ),
    "frame-missing": Kind("rate", "each valid frame becomes zero with this probability, independently", highest=1.0),
    "gaussian-noise": Kind(
        "level", "adds a fresh Gaussian to every valid frame, with a standard deviation of level × σ_ref per dimension"
    ),
}


@dataclass(frozen=True)
class Step:
    """One corruption with its levels filled in.

    Attributes:
        kind: A name in KINDS.
        levels: Level per modality; a modality that is not named is left alone.
        options: Every option of the kind.
    """

    kind: str
    levels: Mapping[str, Level]
    options: Mapping[str, bool]


@dataclass(frozen=True)
class Condition:
    """One point of a protocol: its name, its place on the axes, and the steps that make it."""

    name: str
    levels: Mapping[str, float]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Protocol:
    """A named sweep. `corruptions` are the tables of the file, checked, with defaults filled in."""

    name: str
    title: str
    source: str
    definition: str
    axes: Mapping[str, tuple[float, ...]]
    corruptions: tuple[Mapping[str, Any], ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that determines the corrupted samples; prose and name do not count."""
        meaning = {"schema": SCHEMA, "axes": dict(self.axes), "corruptions": [dict(c) for c in self.corruptions]}
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Every point of the grid, the first axis slowest."""
        points = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        return tuple(Condition(_point_name(p), p, self.steps(p)) for p in points)

    def steps(self, point: Mapping[str, Level]) -> tuple[Step, ...]:
        """The steps at a point of the axes; a value may be an array with one level per sample."""
        return tuple(
            Step(
                kind=c["kind"],
                levels={m: point[v] if isinstance(v, str) else v for m, v in c["levels"].items()},
                options=c["options"],
            )
            for c in self.corruptions
        )


def _point_name(point: Mapping[str, float]) -> str:
    return ",".join(f"{axis}={value:g}" for axis, value in point.items()) or "clean"


def protocol_names() -> tuple[str, ...]:
    """Names of the protocols that come with the package."""
    return tuple(sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml")))


def load_protocol(name_or_path: str) -> Protocol:
    """A protocol that comes with the package, by name, or a user's own, by the path of its TOML file.

    Raises:
        BenchError: for an unknown name, an unreadable file, or any key that is unknown, missing or contradictory.
    """
    if name_or_path in protocol_names():
        return parse_protocol(name_or_path, (_folder() / f"{name_or_path}.toml").read_text(encoding="utf-8"))
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise unknown_name("protocol", name_or_path, protocol_names())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"protocol file {path}: cannot be read ({error}); give the path of a TOML file") from error
    return parse_protocol(path.stem, text)


def _folder() -> Traversable:
    """The protocol files: inside an installed package, beside it in a source tree."""
    package = files("qamoe_bench")
    installed = package / "protocols"
    return installed if installed.is_dir() else Path(str(package)).parent / "protocols"


def parse_protocol(name: str, text: str) -> Protocol:
    """A protocol from the text of its file; see the module docstring for the format."""
    where = f"protocol {name!r}"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{where}: not valid TOML ({error}); mend that line") from error
    _check_keys(where, table, {"schema", "title", "source", "definition", "axes", "corruption"})
    if table.get("schema") != SCHEMA:
        raise BenchError(f"{where}: expected 'schema = {SCHEMA}', got {table.get('schema')!r}; see protocols/README.md")
    prose = {key: table.get(key) for key in ("title", "source", "definition")}
    for key, value in prose.items():
        if not isinstance(value, str) or not value.strip():
            raise BenchError(f"{where}: expected a sentence in {key!r}, got {value!r}; say it in the file")
    axes = _parse_axes(where, table.get("axes", {}))
    steps = table.get("corruption", [])
    if not isinstance(steps, list):
        raise BenchError(f"{where}: expected [[corruption]] tables, got [corruption]; double the brackets")
    corruptions = tuple(_parse_corruption(f"{where}, corruption {i}", c, axes) for i, c in enumerate(steps, 1))
    _check_repeats(where, corruptions)
    used = {v for c in corruptions for v in c["levels"].values() if isinstance(v, str)}
    if idle := set(axes) - used:
        raise BenchError(f"{where}: axis {min(idle)!r} is used by no corruption; use it as a level or remove it")
    return Protocol(name, **{k: str(v).strip() for k, v in prose.items()}, axes=axes, corruptions=corruptions)


def _check_repeats(where: str, corruptions: tuple[Mapping[str, Any], ...]) -> None:
    """A kind has one draw per modality, so a second step of it would not be independent of the first."""
    pairs = [(c["kind"], m) for c in corruptions for m in c["levels"]]
    if twice := [pair for pair in pairs if pairs.count(pair) > 1]:
        kind, modality = twice[0]
        raise BenchError(f"{where}: two {kind!r} corruptions of {modality!r} would share their draws; make it one")


def _check_keys(where: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise BenchError(f"{where}: {unknown_name('key', key, known)}")


def _is_level(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _parse_axes(where: str, table: object) -> dict[str, tuple[float, ...]]:
    if not isinstance(table, dict):
        raise BenchError(f"{where}: expected a table [axes], got {table!r}; write 'eta = [0.0, 0.1]' below [axes]")
    for axis, values in table.items():
        if not isinstance(values, list) or not values or not all(map(_is_level, values)):
            raise BenchError(f"{where}: expected a list of levels from 0 up in axis {axis!r}, got {values!r}; mend it")
        if sorted(set(values)) != values:
            raise BenchError(f"{where}: expected rising levels in axis {axis!r}, got {values!r}; sort them")
    return {axis: tuple(float(v) for v in values) for axis, values in table.items()}


def _parse_corruption(where: str, table: Mapping[str, Any], axes: Mapping[str, tuple[float, ...]]) -> dict[str, Any]:
    kind = KINDS.get(str(table.get("kind")))
    if kind is None:
        raise BenchError(f"{where}: {unknown_name('kind', str(table.get('kind')), KINDS)}")
    _check_keys(where, table, {"kind", "modalities", kind.parameter, *kind.options})
    levels = _parse_levels(where, kind, table, axes)
    options = {name: table.get(name, default) for name, default in kind.options.items()}
    for name, value in options.items():
        if not isinstance(value, bool):
            raise BenchError(f"{where}: expected true or false in {name!r}, got {value!r}; mend it")
    return {"kind": table["kind"], "levels": levels, "options": options}


def _parse_levels(
    where: str, kind: Kind, table: Mapping[str, Any], axes: Mapping[str, tuple[float, ...]]
) -> dict[str, str | float]:
    if kind.parameter not in table:
        raise BenchError(f"{where}: expected {kind.parameter!r}, got none; give a number or the name of an axis")
    value = table[kind.parameter]
    if isinstance(value, dict):
        if "modalities" in table:
            raise BenchError(f"{where}: {kind.parameter!r} names its modalities already; remove 'modalities'")
        levels = value
    else:
        modalities = table.get("modalities", list(MODALITIES))
        if not isinstance(modalities, list) or not modalities:
            raise BenchError(f"{where}: expected a list of modalities, got {modalities!r}; leave it out for all")
        levels = {str(m): value for m in modalities}
    for modality, level in levels.items():
        if modality not in MODALITIES:
            raise BenchError(f"{where}: {unknown_name('modality', modality, MODALITIES)}")
        _check_level(where, kind, level, axes)
    return {m: v if isinstance(v, str) else float(v) for m, v in levels.items()}


def _check_level(where: str, kind: Kind, level: object, axes: Mapping[str, tuple[float, ...]]) -> None:
    if isinstance(level, str):
        if level not in axes:
            raise BenchError(f"{where}: {unknown_name('axis', level, axes)}")
        values: tuple[Any, ...] = axes[level]
    else:
        values = (level,)
    for value in values:
        if not _is_level(value) or value > kind.highest:
            raise BenchError(f"{where}: expected {kind.parameter!r} from 0 to {kind.highest:g}, got {value!r}; mend it")
