"""Stored cells as analyses need them: sections, their levels, and one row per model.

Dimension legend: S seeds, V draws, C conditions, L levels, K levels and, last, the mean over all conditions, N samples.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule, Clusters
from qamoe_bench.metrics.dialects import judged_columns
from qamoe_bench.registry import models_with_roles
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.resampling import Resampling, resampling
from qamoe_bench.store.cell import IMPORTED, ORACLE
from qamoe_bench.store.store import StoredCell
from qamoe_bench.store.verification import PREDICTED
from qamoe_bench.vocabulary import MODALITIES, Task, axis_symbol

EVENTS = ("missing_", "noise_", "scatter_", "length_", "energy_")
"""Prefixes of the columns that describe the samples and their corruption instead of a model's output."""
SHARED = frozenset({"id", "draw", "condition", "target"})
"""Columns that are the same for all cells of a section."""
# Together, because every installed model is asked for its role.
_ROLES = models_with_roles("control", "floor")
CONTROL = _ROLES[0]
"""The model that all others are compared with; empty if no installed model has this role."""
MEAN = _ROLES[1]
"""The model that ignores its inputs; empty if no installed model has this role."""
_Identity = tuple[str, str, str]  # model, regime, recipe


@dataclass(frozen=True)
class Row:
    """The stored predictions of one model, for every seed.

    Attributes:
        name: Its name in tables: the shortest that is unique in the section.
        cells: One per seed, by rising seed.
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
        """The training regime; empty for the oracle."""
        return self.cells[0].cell.regime

    @property
    def is_oracle(self) -> bool:
        """Whether this is the oracle, which is told the corruption: an upper bound."""
        return self.model == ORACLE

    @property
    def is_limit(self) -> bool:
        """Whether it knows the law of the data, as the oracle does, so that it is no contestant."""
        return self.is_oracle or self.model in LIMITS

    @property
    def is_imported(self) -> bool:
        """Whether another program made the predictions, so that cost and training are unknown."""
        return self.regime == IMPORTED

    @property
    def is_trained(self) -> bool:
        """Whether it has parameters, so that its predictions depend on the seed of the training."""
        return self.cells[0].facts.parameters > 0

    @property
    def microseconds_per_sample(self) -> float:
        """Median over the seeds of the time of a forward pass; 0 if it was not measured."""
        # 0 where no forward pass was timed, as for the oracle.
        times = [c.facts.seconds_per_sample for c in self.cells if c.facts.seconds_per_sample]
        return 1e6 * float(np.median(times)) if times else 0.0

    @property
    def seeds(self) -> tuple[int, ...]:
        """Its seeds, rising."""
        return tuple(c.cell.seed for c in self.cells)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of the data."""
        return tuple(m for m in MODALITIES if self.has(f"missing_{m}"))

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.cells[0].names

    def column(self, name: str) -> NDArray[Any]:
        """A column of all seeds, (S, V, C, N).

        Cached. All columns of its kind (events or outputs of the model) are read together, which decodes a file once.
        """
        if name not in self._columns:
            is_event = name.startswith(EVENTS)
            unshared = [n for n in self.cells[0].names if n not in SHARED]
            self._read([n for n in unshared if n.startswith(EVENTS) == is_event])
        return self._columns[name]

    def read_predictions(self) -> None:
        """Read the predictions alone, where nothing else is used: the other outputs are several times as many."""
        self._read([n for n in self.cells[0].names if n.startswith(PREDICTED)])

    def _read(self, names: Sequence[str]) -> None:
        """Read those of these columns that are not cached."""
        wanted = [n for n in names if n not in self._columns]
        by_cell = [cell.columns(wanted) for cell in self.cells]
        for n in wanted:
            self._columns[n] = np.stack([columns[n] for columns in by_cell])

    def clear_cache(self) -> None:
        """Release cached columns."""
        self._columns.clear()

    @property
    def task(self) -> Task:
        """What the labels say."""
        return self.cells[0].task

    def predictions_for(self, metric: str, intervention: str = "") -> NDArray[Any]:
        """The predictions that a metric judges, see `qamoe_bench.metrics.dialects.judged_columns`.

        (S, V, C, N), or log-probabilities (S, V, C, N, K) of K classes or labels.

        Args:
            metric: Name of the metric.
            intervention: Name of an intervention on quality scores under which they were made; empty for none.
        """
        # With other quality scores there are no answers for single metrics.
        prefix = f"{intervention}_" if intervention else ""
        names = judged_columns(self.cells[0].names, "" if intervention else metric)
        columns = [self.column(f"{prefix}{name}") for name in names]
        return columns[0] if self.task.is_regression else np.stack(columns, axis=-1)

    def has_intervention(self, intervention: str) -> bool:
        """Whether predictions with other quality scores are recorded, see `qamoe_bench.evaluation.interventions`."""
        return self.has(f"{intervention}_{judged_columns(self.cells[0].names, '')[0]}")


@dataclass(frozen=True)
class Levels:
    """The levels of a protocol's (first) axis, or its points by name.

    Attributes:
        labels: The column heading of each level.
        members: Indices of the conditions of each level.
        axis: Name of the axis; empty for named points.
        numbers: The levels; empty for named points.
        others: Further axes, over which each level averages.
    """

    labels: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    axis: str
    numbers: tuple[float, ...]
    others: tuple[str, ...]

    def means(self, values: Float[Values, "*more C"]) -> Float[Values, "*more L"]:
        """The mean of each level, from values by condition."""
        if self.members == tuple((i,) for i in range(values.shape[-1])):
            return values
        return self._with_columns(values, len(self.members))

    def with_mean(self, values: Float[Values, "*more C"]) -> Float[Values, "*more K"]:
        """The mean of each level and, last, the mean over all conditions."""
        table = self._with_columns(values, len(self.members) + 1)
        table[..., -1] = values.mean(-1)
        return table

    def _with_columns(self, values: Float[Values, "*more C"], columns: int) -> Values:
        """The mean of each level in the first of so many columns; further ones are not initialised."""
        # In the memory order of the values, and summed in place: resamples of many rows are large.
        table = np.empty_like(values, shape=(*values.shape[:-1], columns))
        for level, indices in enumerate(self.members):
            table[..., level] = values[..., indices[0]]
            for i in indices[1:]:
                table[..., level] += values[..., i]
            table[..., level] /= len(indices)
        return table

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for a table by level."""
        if not self.others:
            return ()
        return (f"each column is the mean over all levels of {', '.join(self.others)}",)


@dataclass(frozen=True)
class Section:
    """All finished cells of one protocol on one data set, whose numbers are comparable.

    Attributes:
        cells: The cells.
        cluster_rule: How the test samples are assigned to clusters.
    """

    cells: tuple[StoredCell, ...]
    cluster_rule: ClusterRule = BY_IDS

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.cells[0].cell.dataset

    @property
    def train_size(self) -> Mapping[str, Any]:
        """Another number of training samples than the data set's own, see `CellFacts`; empty for its own."""
        return self.cells[0].facts.train_size

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
        """The number of test samples, N."""
        return len(self.cells[0].samples)

    @cached_property
    def clusters(self) -> Clusters | None:
        """The clusters of the test samples; None if they are independent."""
        return self.cluster_rule.clusters(self.cells[0].samples)

    @cached_property
    def resampling(self) -> Resampling:
        """The resamples of the test samples, by whole clusters where there are any."""
        return resampling(self.samples, self.clusters.codes if self.clusters else None)

    @property
    def task(self) -> Task:
        """What the labels say."""
        return self.cells[0].task

    @cached_property
    def label(self) -> Float[Values, " N"]:
        """The label of each sample."""
        return np.asarray(self.cells[0].column("target")[0, 0], np.float64)

    @cached_property
    def levels(self) -> Levels:
        """The levels of the first axis; for protocols without axes, one named point per condition."""
        conditions = self.cells[0].facts.conditions
        axes = list(conditions[0]["levels"])
        if not axes:
            return Levels(self.conditions, tuple((i,) for i in range(len(conditions))), "", (), ())
        axis, *others = axes
        members: dict[float, list[int]] = {}
        for i, condition in enumerate(conditions):
            members.setdefault(float(condition["levels"][axis]), []).append(i)
        first, *further = members
        labels = [f"{axis_symbol(axis)}={first:g}", *(f"{level:g}" for level in further)]
        return Levels(tuple(labels), tuple(map(tuple, members.values())), axis, tuple(members), tuple(others))

    @cached_property
    def clean(self) -> int | None:
        """Index of the first condition at which every level is 0; None if there is none."""
        for i, condition in enumerate(self.cells[0].facts.conditions):
            levels = condition["levels"].values()
            if levels and not any(levels):
                return i
        return None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One per (model, regime, recipe); limits after all models, the oracle last."""
        names = self._names()
        order = {identity: place for place, identity in enumerate(names)}
        ordered = sorted(self.cells, key=lambda c: (_tier(c.cell.model), order[_identity(c)], c.cell.seed))
        return tuple(Row(names[identity], tuple(cells)) for identity, cells in groupby(ordered, _identity))

    def clear_cache(self) -> None:
        """Release cached columns, because those of many sections exceed memory."""
        for row in (*self.rows, *self.realised_by_seed):
            row.clear_cache()

    def find(self, model: str, regime: str | None = None) -> int | None:
        """Index of the first row of a model, trained in a regime if one is given."""
        matches = (i for i, row in enumerate(self.rows) if row.model == model and regime in (None, row.regime))
        return next(matches, None)

    def control_of(self, index: int) -> int | None:
        """Index of the control of a row: the one of the same regime, or the first where the regime is unknown."""
        row = self.rows[index]
        control = self.find(CONTROL, None if row.is_limit or row.is_imported else row.regime)
        return None if control == index else control

    @cached_property
    def realised_by_seed(self) -> tuple[Row, ...]:
        """One row per seed, of any model: the corruption of the samples, which is the same for all models."""
        cells = {cell.cell.seed: cell for cell in reversed(self.cells)}  # the first cell of each seed
        return tuple(Row("", (cells[seed],)) for seed in self.seeds)

    def seed_indices(self, row: Row) -> list[int]:
        """Positions of a row's seeds among those of all rows."""
        return [self.seeds.index(seed) for seed in row.seeds]

    def _names(self) -> dict[_Identity, str]:
        """Unique names; the regime is appended where there are several, a part of the recipe where it differs.

        Imported rows are always marked as such.
        """
        identities = sorted({_identity(c) for c in self.cells}, key=_sort_key)
        # Imported rows are no reason to name the one regime of all others.
        regimes = {regime for _, regime, _ in identities if regime} - {IMPORTED}
        recipes = Counter((model, regime) for model, regime, _ in identities)
        names = {}
        for model, regime, recipe in identities:
            is_marked = regime == IMPORTED or (regime and len(regimes) > 1)
            name = f"{model} ({regime})" if is_marked else model
            if recipes[model, regime] > 1:
                name = f"{name} #{recipe[:4]}"
            names[model, regime, recipe] = name
        return names


def _tier(model: str) -> int:
    """The order of models, limits and the oracle."""
    return 2 if model == ORACLE else int(model in LIMITS)


def _sort_key(identity: _Identity) -> tuple[str, ...]:
    """Variants of a model follow it, before any model whose name only begins with the same letters."""
    model, *rest = identity
    return (*model.partition(":"), *rest)


def _identity(cell: StoredCell) -> _Identity:
    return cell.cell.model, cell.cell.regime, cell.cell.recipe


def sections(cells: Iterable[StoredCell], cluster_rule: ClusterRule = BY_IDS) -> list[Section]:
    """Cells grouped by data set and protocol, and by their digests: changed data or protocols are other sections.

    Data with other numbers of training samples follow the data set, by rising number.
    """
    groups: dict[tuple[str | int, ...], list[StoredCell]] = {}
    for cell in cells:
        c = cell.cell
        size = cell.facts.train_size
        place = (size.get("base", c.dataset), size.get("samples", 0))
        groups.setdefault((*place, c.dataset, c.protocol, c.data_digest, c.protocol_digest), []).append(cell)
    return [Section(tuple(groups[key]), cluster_rule) for key in sorted(groups)]
