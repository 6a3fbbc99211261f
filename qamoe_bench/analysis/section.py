"""From stored cells to what tables are about: sections, their levels, and one row per model.

Dimension legend: S seeds, V draws, C conditions, L levels, N samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from qamoe_bench.registry import model_with_role
from qamoe_bench.store.cell import ORACLE
from qamoe_bench.store.store import StoredCell
from qamoe_bench.vocabulary import MODALITIES, axis_symbol

EVENTS = ("missing_", "noise_", "scatter_")
"""What the names of columns begin with that say what happened to the samples, and not what a model answered."""
SHARED = frozenset({"id", "draw", "condition", "target"})
"""Columns that are the same for all cells of a section."""
CONTROL = model_with_role("control")
"""The model that others are compared with; empty if no installed model has this role."""
MEAN = model_with_role("floor")
"""The model that ignores its inputs; empty if no installed model has this role."""


@dataclass(frozen=True)
class Row:
    """What one model said, for every seed that it was run with.

    Attributes:
        name: What tables call it: as short as it can be without mixing two up.
        cells: One per seed, seeds rising.
    """

    name: str
    cells: tuple[StoredCell, ...]
    _columns: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.cells[0].cell.model

    @property
    def regime(self) -> str:
        """How it was trained; empty for the oracle."""
        return self.cells[0].cell.regime

    @property
    def is_oracle(self) -> bool:
        """Whether this is no contestant but the limit."""
        return self.model == ORACLE

    @property
    def is_trained(self) -> bool:
        """Whether training with another seed could have made it another model."""
        return self.cells[0].facts.parameters > 0

    @property
    def seeds(self) -> tuple[int, ...]:
        """Its seeds."""
        return tuple(c.cell.seed for c in self.cells)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of the data."""
        return tuple(m for m in MODALITIES if self.has(f"missing_{m}"))

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.cells[0].names

    def column(self, name: str) -> NDArray[Any]:
        """A column of all seeds, (S, V, C, N); read once, together with what is asked for with it."""
        if name not in self._columns:
            kin = [
                n for n in self.cells[0].names if n.startswith(EVENTS) == name.startswith(EVENTS) and n not in SHARED
            ]
            parts = [c.columns(kin) for c in self.cells]
            self._columns.update({n: np.stack([part[n] for part in parts]) for n in kin})
        return self._columns[name]

    def clear_cache(self) -> None:
        """Let go of what was read."""
        self._columns.clear()

    def predictions_for(self, metric: str) -> NDArray[Any]:
        """The predictions that a metric judges, see `qamoe_bench.metrics.dialects.predictions_for`."""
        own = f"prediction_{metric}"
        return self.column(own if self.has(own) else "prediction")


@dataclass(frozen=True)
class Levels:
    """The levels of a protocol's (first) axis, or its points by name.

    Attributes:
        labels: A column head per level.
        members: Indices of the conditions of each level.
        axis: Name of the axis; empty where points have names.
        numbers: The levels; empty where points have names.
        others: Further axes, which each level averages over.
    """

    labels: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    axis: str
    numbers: tuple[float, ...]
    others: tuple[str, ...]

    def means(self, values: Float[NDArray[np.float64], "*more C"]) -> Float[NDArray[np.float64], "*more L"]:
        """From conditions to levels."""
        if self.members == tuple((i,) for i in range(values.shape[-1])):
            return values
        return self._filled(values, len(self.members))

    def with_mean(self, values: Float[NDArray[np.float64], "*more C"]) -> Float[NDArray[np.float64], "*more K"]:
        """From conditions to levels and, last, the mean over all conditions."""
        found = self._filled(values, len(self.members) + 1)
        found[..., -1] = values.mean(-1)
        return found

    def _filled(self, values: Float[NDArray[np.float64], "*more C"], columns: int) -> NDArray[np.float64]:
        """The levels, then room; in memory as the values are, for these can be many."""
        found = np.empty_like(values, shape=(*values.shape[:-1], columns))
        for level, indices in enumerate(self.members):
            found[..., level] = values[..., indices[0]]
            for i in indices[1:]:
                found[..., level] += values[..., i]
            found[..., level] /= len(indices)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say below a table by level."""
        return (f"each column is the mean over all levels of {', '.join(self.others)}",) if self.others else ()


@dataclass(frozen=True)
class Section:
    """All finished cells of one protocol on one data set: the unit in which numbers may be compared."""

    cells: tuple[StoredCell, ...]

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.cells[0].cell.dataset

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return self.cells[0].cell.protocol

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, in order."""
        return tuple(c["name"] for c in self.cells[0].facts.conditions)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all rows together."""
        return tuple(sorted({c.cell.seed for c in self.cells}))

    @property
    def samples(self) -> int:
        """N."""
        return len(self.cells[0].samples)

    @cached_property
    def label(self) -> Float[NDArray[np.float64], " N"]:
        """The label of each sample."""
        return np.asarray(self.cells[0].column("target")[0, 0], np.float64)

    @cached_property
    def levels(self) -> Levels:
        """The columns of its tables."""
        conditions = self.cells[0].facts.conditions
        axes = list(conditions[0]["levels"])
        if not axes:
            return Levels(self.conditions, tuple((i,) for i in range(len(conditions))), "", (), ())
        axis, *others = axes
        numbers = tuple(dict.fromkeys(float(c["levels"][axis]) for c in conditions))
        labels = [f"{axis_symbol(axis)}={x:g}" if i == 0 else f"{x:g}" for i, x in enumerate(numbers)]
        members = [tuple(i for i, c in enumerate(conditions) if c["levels"][axis] == x) for x in numbers]
        return Levels(tuple(labels), tuple(members), axis, numbers, tuple(others))

    @cached_property
    def clean(self) -> int | None:
        """Index of the condition at which every level is 0, where there is one."""
        conditions = self.cells[0].facts.conditions
        found = [i for i, c in enumerate(conditions) if c["levels"] and not any(c["levels"].values())]
        return found[0] if found else None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One per (model, regime, recipe); the oracle last."""
        names = self._names()
        order = list(names)
        ordered = sorted(self.cells, key=lambda c: (c.cell.model == ORACLE, order.index(_identity(c)), c.cell.seed))
        return tuple(Row(names[identity], tuple(cells)) for identity, cells in groupby(ordered, _identity))

    def clear_cache(self) -> None:
        """Let go of what was read: many sections are more than memory holds."""
        for row in (*self.rows, *self.realised_by_seed):
            row.clear_cache()

    def find(self, model: str, regime: str | None = None) -> int | None:
        """Index of the first row of a model, trained in a regime if one is given."""
        found = (i for i, r in enumerate(self.rows) if r.model == model and regime in (None, r.regime))
        return next(found, None)

    def control_of(self, index: int) -> int | None:
        """Index of the control that a row is compared with: of its own regime; for the oracle, which has none, any."""
        row = self.rows[index]
        control = self.find(CONTROL, None if row.is_oracle else row.regime)
        return None if control == index else control

    @cached_property
    def realised_by_seed(self) -> tuple[Row, ...]:
        """A row per seed, of any model: what happened to the samples, which is the same for all."""
        return tuple(Row("", (next(c for c in self.cells if c.cell.seed == seed),)) for seed in self.seeds)

    def seed_indices(self, row: Row) -> list[int]:
        """Where the row's seeds stand among those of all rows."""
        return [self.seeds.index(seed) for seed in row.seeds]

    def _names(self) -> dict[tuple[str, str, str], str]:
        identities = sorted({_identity(c) for c in self.cells}, key=_by_model)
        regimes = {regime for _, regime, _ in identities if regime}
        names = {}
        for model, regime, recipe in identities:
            name = f"{model} ({regime})" if regime and len(regimes) > 1 else model
            twins = [i for i in identities if i[:2] == (model, regime)]
            names[model, regime, recipe] = f"{name} #{recipe[:4]}" if len(twins) > 1 else name
        return names


def _by_model(identity: tuple[str, str, str]) -> tuple[str, ...]:
    """Variants stand behind the model that they are of."""
    model, *rest = identity
    return (*model.partition(":"), *rest)


def _identity(cell: StoredCell) -> tuple[str, str, str]:
    return cell.cell.model, cell.cell.regime, cell.cell.recipe


def sections(cells: Iterable[StoredCell]) -> list[Section]:
    """Cells by data set and protocol; a changed file or definition makes another section."""
    found: dict[tuple[str, ...], list[StoredCell]] = {}
    for cell in cells:
        c = cell.cell
        found.setdefault((c.dataset, c.protocol, c.data_digest, c.protocol_digest), []).append(cell)
    return [Section(tuple(found[key])) for key in sorted(found)]
