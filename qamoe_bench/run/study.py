"""Study files: many runs in one TOML file, read into requests.

schema = 1
data = ["synthetic", "mosi.pkl"]        shared by all grids, named like the options of `qamoe-bench run`; all optional:
protocols = ["random-missing"]          names or paths of TOML files
models = ["late-fusion", "qa-moe"]      default: the group @paper
configs = ["", "train.epochs=20"]       settings appended to the name of each model; "" adds none
seeds = [1111, 1112, 1113]
regimes = ["clean", "spectrum"]
preset = "quick"
device = "cpu"
checkpoint = "weights.safetensors"
fine_tune = "all-MiniLM-L6-v2"          a language model that is trained with the rest
label_range = [1, 7]                    lowest and highest value of the labels' scale
drop_bad_labels = true                  leave out samples whose label is missing or outside of the scale or classes
task = "classes"                        what the labels say: regression, classes or multi-label
classes = ["happy", "sad"]              names of the classes in the order of their index
train_sizes = [300, 600]                numbers of training samples, each a data set of its own
accept_unknown_tokens = true            let a language model read tokens that it may not know

[[grid]]                                any number, each the product of its lists; a key here replaces the
models = ["qa-moe"]                     shared one
configs = ["k=1", "k=2", "-quality-gate"]

Without a grid, the shared keys form the only one. Relative paths start from the working directory, as on the command
line. Cells that several grids request are computed once.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from qamoe_bench.documents import read_toml
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import expand_groups, find_model
from qamoe_bench.run.grid import Grid, check_cells
from qamoe_bench.run.limits import is_limit
from qamoe_bench.run.planner import find_device
from qamoe_bench.run.presets import find_preset
from qamoe_bench.run.request import LocatedRequest, error_location
from qamoe_bench.training.exposure import REGIMES
from qamoe_bench.vocabulary import TASK_KINDS

SCHEMA = 1
MAX_GRIDS = 1000
"""Most grids of a study, each of which builds its models once."""


def load_study(path: Path, changes: Grid) -> list[LocatedRequest]:
    """The requests of a study file: one for each grid and data set.

    Args:
        path: The file.
        changes: Options that replace the keys of the file, in every grid.

    Raises:
        BenchError: for an unreadable file, or a key or value that is unknown or of the wrong type.
    """
    shared_table = _load_table(path)
    grid_tables = shared_table.pop("grid", [{}])  # without any, one grid that adds nothing to the shared keys
    if not isinstance(grid_tables, list) or not grid_tables or not all(isinstance(t, dict) for t in grid_tables):
        raise BenchError(f"study {path}, 'grid': expected tables that begin with [[grid]], got {grid_tables!r}")
    if len(grid_tables) > MAX_GRIDS:
        raise BenchError(
            f"study {path}, 'grid': expected at most {MAX_GRIDS} grids, got {len(grid_tables)}; name several values in "
            "the lists of one grid, or divide them among several studies"
        )
    # The shared keys are checked even if every grid replaces them.
    shared = _read_grid(f"study {path}", shared_table)
    grids = {}
    for number, table in enumerate(grid_tables, 1):
        location = f"study {path}, grid {number}" if len(grid_tables) > 1 else f"study {path}"
        # Later tables take precedence: shared keys, then those of the grid, then the command line.
        grids[location] = shared.overlaid_with(_read_grid(location, table)).overlaid_with(changes)
    check_cells(grids.values(), f"study {path}")
    requests = []
    for location, grid in grids.items():
        requests += grid.expand(location)
    return requests


def _load_table(path: Path) -> dict[str, object]:
    """The file as a table, without its `schema`."""
    table: dict[str, object] = read_toml(path, f"study {path}")
    schema = table.pop("schema", None)
    if schema != SCHEMA or type(schema) is not int:  # true and 1.0 equal 1
        raise BenchError(f"study {path}: expected 'schema = {SCHEMA}', got {schema!r:.100}; see docs/studies.md")
    return table


def _read_grid(location: str, table: Mapping[str, object]) -> Grid:
    """A table of a study file as a grid; keys that the table lacks are not given."""
    _check_keys(location, table)
    reader = _TableReader(location, table)
    # Names are checked here, so that an error can name the key; paths, configs and seeds are checked by the planner.
    return Grid(
        protocols=reader.strings("protocols", "a list of names or paths", load_protocol),
        models=reader.strings("models", "a list of names or groups", _check_model),
        configs=reader.strings("configs", 'a list of settings such as "k=2,width=32"'),
        data=tuple(map(_as_path, reader.strings("data", "a list of names or paths"))),
        seeds=reader.integers("seeds", "a list of whole numbers"),
        regimes=reader.strings("regimes", "a list of names", _check_regime),
        fine_tune=reader.string("fine_tune", "a name or path"),
        preset=reader.string("preset", "a name", find_preset),
        device=reader.string("device", "a name", _check_device),
        checkpoint=reader.string("checkpoint", "a path"),
        label_range=reader.label_range("label_range"),
        drop_bad_labels=reader.boolean("drop_bad_labels"),
        accept_unknown_tokens=reader.boolean("accept_unknown_tokens"),
        task=reader.string("task", "a kind of task", _check_task),
        classes=reader.strings("classes", "a list of names"),
        train_sizes=reader.integers("train_sizes", "a list of whole numbers"),
    )


def _check_keys(location: str, table: Mapping[str, object]) -> None:
    known = [field.name for field in fields(Grid)]
    for key in table:
        if key not in known:
            with error_location(location):
                raise unknown_name("key", key, known)


class _TableReader:
    """Reads the values of a table with their types checked; `expected` describes a valid value in error messages."""

    def __init__(self, location: str, table: Mapping[str, object]) -> None:
        self._location = location
        self._table = table

    def string(self, key: str, expected: str, check: Callable[[str], object] | None = None) -> str | None:
        """A string; None where the table lacks the key."""
        value = self._table.get(key)
        if value is None:
            return None
        with error_location(self._location, key):
            if not isinstance(value, str):
                raise _wrong_value(expected, value)
            if check is not None:
                check(value)
        return value

    def strings(self, key: str, expected: str, check: Callable[[str], object] | None = None) -> tuple[str, ...]:
        """A list of strings; empty where the table lacks the key."""
        strings = []
        with error_location(self._location, key):
            for item in self._items(key, expected):
                if not isinstance(item, str):
                    raise _wrong_value(expected, self._table[key])
                strings.append(item)
            if check is not None:
                for item in strings:
                    check(item)
        return tuple(strings)

    def integers(self, key: str, expected: str) -> tuple[int, ...]:
        """A list of whole numbers; empty where the table lacks the key."""
        integers = []
        with error_location(self._location, key):
            for item in self._items(key, expected):
                # TOML's `true` is a bool, which Python counts as an int.
                if not isinstance(item, int) or isinstance(item, bool):
                    raise _wrong_value(expected, self._table[key])
                integers.append(item)
        return tuple(integers)

    def label_range(self, key: str) -> tuple[float, ...]:
        """Two numbers in ascending order; empty where the table lacks the key."""
        expected = "a list of two numbers in ascending order"
        numbers = []
        with error_location(self._location, key):
            for number in self._items(key, expected):
                if type(number) not in (int, float):  # `true` is a bool, which Python counts as an int
                    raise _wrong_value(expected, self._table[key])
                numbers.append(float(str(number)))
            if numbers and (len(numbers) != 2 or not numbers[0] < numbers[1]):
                raise _wrong_value(expected, self._table[key])
        return tuple(numbers)

    def boolean(self, key: str) -> bool | None:
        """`true` or `false`; None where the table lacks the key."""
        value = self._table.get(key)
        with error_location(self._location, key):
            if value is not None and not isinstance(value, bool):
                raise _wrong_value("true or false", value)
        return value

    def _items(self, key: str, expected: str) -> list[object]:
        """The items of a list, which must not be empty; none where the table lacks the key."""
        if key not in self._table:
            return []
        value = self._table[key]
        if not isinstance(value, list) or not value:
            raise _wrong_value(expected, value)
        return value


def _wrong_value(expected: str, value: object) -> BenchError:
    return BenchError(f"expected {expected}, got {value!r}")


def _as_path(text: str) -> str:
    """A path of a study file as this system spells it, which differs where file names are not in UTF-8 (locale C)."""
    return os.fsdecode(text.encode(errors="surrogatepass"))


def _check_model(name: str) -> None:
    for model in expand_groups([name]):
        if not is_limit(model):
            find_model(model)


def _check_regime(name: str) -> None:
    if name not in REGIMES:
        raise unknown_name("regime", name, REGIMES)


def _check_task(name: str) -> None:
    if name not in TASK_KINDS:
        raise unknown_name("task", name, TASK_KINDS)


def _check_device(name: str) -> None:
    find_device(name, remote=True)  # whether this machine has it depends on the executor, which a study does not name
