"""What a search may change about a model: a few dimensions, the same for all models as far as they have them.

Every model is searched over the learning rate, weight decay and batch size of the training loop. Where its
configuration has a `width`, that is halved or doubled; where it has fields of dropout, all of them are multiplied by
one factor. Further dimensions are declared in a file beside the model's module, `my_model.search.toml` for
`my_model.py`, with a table for each field of its configuration, or `"train.epochs"` for one of the training loop:

[k]
values = [1, 2, 3, 4]       any of these
[beta]
low = 1e-4                  or any number between two ends;
high = 1e-2
log = true                  optional: uniform in the logarithm

The file is part of no digest: a change of a search space retrains nothing. Chosen numbers have two significant digits,
so that they can be read in the name of a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from qamoe_bench.documents import read_toml
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.registry.settings import TRAINING as PREFIX

LARGEST_DROPOUT = 0.9
KEYS = ("values", "low", "high", "log")
ENDING = ".search.toml"


@dataclass(frozen=True)
class Dimension:
    """One quantity that is searched: some values, or all numbers between two ends.

    Attributes:
        name: Its name; that of a setting, unless it is a factor.
        values: The values; empty for numbers between two ends.
        low: Lower end.
        high: Upper end.
        log: Whether numbers are uniform in their logarithm.
        multiplies: Fields of the configuration with their defaults, if this is a factor of them.
        default: The model's own value; None if it is not a number.
    """

    name: str
    values: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    multiplies: Mapping[str, float] = field(default_factory=dict)
    default: float | None = None

    def settings(self, choice: float) -> dict[str, float]:
        """Settings of a model's name for a choice; none for the default."""
        if choice == self.default:
            return {}
        if not self.multiplies:
            return {self.name: choice}
        return {name: _multiplied(value, choice) for name, value in self.multiplies.items()}

    def contains(self, choice: float | None) -> bool:
        """Whether a number can be chosen."""
        if choice is None:
            return False
        return choice in self.values if self.values else self.low <= choice <= self.high

    @property
    def phrase(self) -> str:
        """The dimension in words, for people."""
        of = f" of {', '.join(self.multiplies)}" if self.multiplies else ""
        if self.values:
            return f"{self.name}{of}: {', '.join(f'{value:g}' for value in self.values)}"
        return f"{self.name}{of}: {self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


TRAINING = (
    Dimension("train.learning_rate", low=1e-4, high=1e-2, log=True),
    Dimension("train.weight_decay", low=1e-4, high=1e-1, log=True),
    Dimension("train.batch_size", values=(16, 32, 64, 128)),
)
"""Dimensions of every model; the defaults of all presets lie in them."""


def model_dimensions(config: object) -> list[Dimension]:
    """The dimensions that the fields of a model's configuration give.

    Args:
        config: The configuration of a built model, a dataclass; of anything else there are none.
    """
    if not is_dataclass(config):
        return []
    values: dict[str, Any] = {f.name: getattr(config, f.name) for f in fields(config)}
    dimensions = []
    if type(values.get("width")) is int:
        dimensions.append(Dimension("width factor", (0.5, 1, 2), multiplies={"width": values["width"]}, default=1))
    dropout = {n: v for n, v in values.items() if n.endswith("dropout") and type(v) is float and v > 0}
    if dropout:
        dimensions.append(Dimension("dropout factor", low=0.0, high=2.0, multiplies=dropout, default=1))
    return dimensions


def declared_dimensions(source: Path) -> list[Dimension]:
    """The dimensions that the file beside a model's module declares; none without such a file.

    Args:
        source: The file of the module.

    Raises:
        BenchError: If the file is not as the module docstring of this module describes it.
    """
    path = source.with_name(source.stem + ENDING)
    if not path.exists():
        return []
    where = f"search space {path.name}"
    return [_declared(where, name, table) for name, table in read_toml(path, where).items()]


def joined_dimensions(*groups: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """All dimensions, of which a later one replaces an earlier one of the same name."""
    by_name = {dimension.name: dimension for group in groups for dimension in group}
    return tuple(by_name.values())


def with_default(dimension: Dimension, config: object, training: object) -> Dimension:
    """The dimension with the model's own value, from its configuration or that of the training loop.

    Args:
        dimension: A dimension.
        config: The configuration of the built model.
        training: The configuration of the training loop.
    """
    if dimension.multiplies:
        return dimension
    owner = training if dimension.name.startswith(PREFIX) else config
    value = getattr(owner, dimension.name.removeprefix(PREFIX), None)
    return replace(dimension, default=value) if _is_number(value) else dimension


def defaults_in(space: Sequence[Dimension]) -> dict[str, float]:
    """The model's own values as choices, without those that are outside of their dimension."""
    return {d.name: d.default for d in space if d.default is not None and d.contains(d.default)}


def name_with_choices(name: str, has_settings: bool, space: Sequence[Dimension], choices: Mapping[str, float]) -> str:
    """A model's name with the settings of a trial appended.

    Args:
        name: The name before tuning.
        has_settings: Whether it ends with settings already.
        space: The dimensions.
        choices: The choice in each dimension; none for the defaults.
    """
    settings: dict[str, float] = {}
    for dimension in space:
        if dimension.name in choices:
            settings |= dimension.settings(choices[dimension.name])
    if not settings:
        return name
    text = ",".join(f"{key}={value:g}" for key, value in settings.items())
    return f"{name}{',' if has_settings else ':'}{text}"


def two_digits(value: float) -> float:
    """A number with two significant digits."""
    return float(f"{value:.2g}")


def _multiplied(value: float, factor: float) -> float:
    # A width is a whole number, a dropout a share.
    if type(value) is int:
        return max(1, round(value * factor))
    return min(LARGEST_DROPOUT, two_digits(value * factor))


def _declared(where: str, name: str, table: object) -> Dimension:
    if not isinstance(table, dict):
        raise BenchError(f"{where}: expected a table [{name}], got {table!r:.60}; write its keys below [{name}]")
    for key in table:
        if key not in KEYS:
            raise BenchError(f"{where}, [{name}]: {unknown_name('key', key, KEYS)}")
    values = table.get("values")
    if values is not None:
        if not isinstance(values, list) or len(values) < 2 or not all(map(_is_number, values)) or len(table) > 1:
            raise BenchError(f"{where}, [{name}]: expected two or more numbers in 'values' alone, got {table!r:.80}")
        return Dimension(name, tuple(values))
    log = table.get("log", False)
    ends = [float(table[key]) for key in ("low", "high") if _is_number(table.get(key))]
    if len(ends) < 2 or not ends[0] < ends[1] or not isinstance(log, bool) or (log and ends[0] <= 0):
        raise BenchError(
            f"{where}, [{name}]: expected 'values', or numbers 'low' < 'high' (above 0 with log = true), got "
            f"{table!r:.80}; correct it"
        )
    return Dimension(name, low=ends[0], high=ends[1], log=log)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
