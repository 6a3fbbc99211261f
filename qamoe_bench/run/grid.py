"""Grids: the options of `qamoe-bench run` and the tables of study files as one type, which expands into requests."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from qamoe_bench.data.options import ReadingOptions, check_train_sizes
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import DEFAULT_GROUP, expand_groups, find_model, is_group
from qamoe_bench.run.limits import is_limit
from qamoe_bench.run.request import MAX_CELLS, LocatedRequest, Request, error_location, too_many_cells


@dataclass(frozen=True)
class Grid:
    """Options that describe runs, each given or left to its default.

    A field that is `None` or an empty tuple is not given. An empty string is given: it clears the value that the grid
    is laid over.

    Attributes:
        protocols: Names, or paths of TOML files.
        models: Names or groups, with or without settings; by default those of `DEFAULT_GROUP`.
        configs: Settings that are appended to the name of each model, `""` for none; models and configs multiply.
        data: Names or paths; one request is made for each.
        seeds: See `Request`, as for all fields below.
        regimes: Training regimes; not with a checkpoint, whose model is not trained.
        preset: By default `fine-tune` with a language model in `fine_tune`, else `quick`.
        device: `auto`, `cpu` or `cuda`.
        checkpoint: Path of the weights of the only model.
        fine_tune: Name or path of a language model.
        label_range: See `ReadingOptions`, as for the fields below; empty for the scales that files usually have.
        drop_bad_labels: Whether samples with bad labels are left out.
        accept_unknown_tokens: Whether a language model may read tokens that it may not know.
        task: What the labels say; empty for what the file leaves no doubt of.
        classes: Names of the classes or labels; empty for those of the file.
        train_sizes: Numbers of training samples; one request is made for each, and each is a data set of its own.
    """

    protocols: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    regimes: tuple[str, ...] = ()
    preset: str | None = None
    device: str | None = None
    checkpoint: str | None = None
    fine_tune: str | None = None
    label_range: tuple[float, ...] = ()
    drop_bad_labels: bool | None = None
    accept_unknown_tokens: bool | None = None
    task: str | None = None
    classes: tuple[str, ...] = ()
    train_sizes: tuple[int, ...] = ()

    def overlaid_with(self, other: "Grid") -> "Grid":
        """This grid with each field that `other` gives replaced by the one of `other`."""
        values = {field.name: getattr(other, field.name) for field in fields(other)}
        given = {name: value for name, value in values.items() if value is not None and value != ()}
        return replace(self, **given)

    @property
    def cells(self) -> int:
        """Number of cells without the oracle's, counted without making them; duplicates count."""
        names = expand_groups(self.models or (DEFAULT_GROUP,))
        # What is not given has a default, so each factor is at least 1.
        factors = (self.protocols, names, self.configs, self.data, self.train_sizes)
        seeds_and_regimes = len(self.seeds or Request.seeds) * len(self.regimes or Request.regimes)
        return math.prod(max(1, len(factor)) for factor in factors) * seeds_and_regimes

    def expand(self, location: str = "") -> list[LocatedRequest]:
        """One request for each data set and number of training samples.

        Args:
            location: Place of the grid in a study file, for error messages; empty for the command line.

        Raises:
            BenchError: without a protocol, for a checkpoint with regimes or sizes, for sizes that no training can use,
                for an unknown model or setting, or for more cells than can be planned.
        """
        with error_location(location):
            self._check()
        with error_location(location, "train_sizes"):
            check_train_sizes(self.train_sizes)
        with error_location(location, "models"):
            names = expand_groups(self.models or (DEFAULT_GROUP,))
        check_cells([self], location)
        models = self._configured(names, location)
        named = self._configured([name for name in self.models if not is_group(name)], location)
        from_groups = tuple(name for name in models if name not in named)
        sources = self.data or (Request.data,)
        requests = []
        for data in sources:
            for size in self.train_sizes or (None,):
                with error_location(location):  # options of reading that contradict each other
                    request = self._request(models, from_groups, data, size)
                requests.append(LocatedRequest(location, request))
        return requests

    def _request(
        self, models: tuple[str, ...], from_groups: tuple[str, ...], data: str, train_size: int | None
    ) -> Request:
        # The defaults are those of `Request`, whose class attributes hold them.
        return Request(
            protocols=self.protocols,
            models=models,
            data=data,
            seeds=self.seeds or Request.seeds,
            regimes=self.regimes or Request.regimes,
            preset=self._preset(),
            device=Request.device if self.device is None else self.device,
            checkpoint=self.checkpoint or Request.checkpoint,
            fine_tune=self.fine_tune or Request.fine_tune,
            reading=self._reading(train_size),
            from_groups=from_groups,
        )

    def _reading(self, train_size: int | None) -> ReadingOptions:
        low_and_high = (self.label_range[0], self.label_range[1]) if self.label_range else None
        return ReadingOptions(
            low_and_high,
            bool(self.drop_bad_labels),
            bool(self.accept_unknown_tokens),
            self.task or "",
            self.classes,
            train_size,
        )

    def _check(self) -> None:
        # A study file may give these in its grids, so they can only be checked once all tables are overlaid.
        if not self.protocols:
            raise BenchError("expected a protocol, got none; 'qamoe-bench ls protocols' lists them")
        if self.checkpoint and self.regimes:
            # `Request` has default regimes, so an explicit one would be silently ignored.
            raise BenchError("weights that you bring are not trained here: a checkpoint with regimes; leave one out")
        if self.checkpoint and self.train_sizes:
            raise BenchError("weights that you bring are not trained here: a checkpoint with sizes; leave one out")

    def _preset(self) -> str:
        if self.preset is not None:
            return self.preset
        return "fine-tune" if self.fine_tune else Request.preset

    def _configured(self, names: Sequence[str], location: str) -> tuple[str, ...]:
        """Names of models, each with every config."""
        if not self.configs:
            return tuple(names)
        with error_location(location, "configs"):
            # Model by model, the order of rows in tables.
            return tuple(_with_config(name, config) for name in names for config in self.configs)


def check_cells(grids: Iterable[Grid], location: str) -> None:
    """Refuse more cells than can be planned, before anything is made for each of them.

    Args:
        grids: All grids of a command.
        location: See `LocatedRequest`.

    Raises:
        BenchError: If they are more than `MAX_CELLS`.
    """
    cells = sum(grid.cells for grid in grids)
    if cells > MAX_CELLS:
        with error_location(location):
            raise too_many_cells(cells)


def _with_config(name: str, config: str) -> str:
    """A model's name with further settings appended; the name itself for an empty config."""
    if is_limit(name):  # these have no settings
        return name
    ref = find_model(name)  # raises for an unknown model
    if not config:
        return name
    # `name:setting,setting`: a colon before the first setting, commas before the others.
    has_settings = bool(ref.settings or ref.training or ref.evaluation)
    separator = "," if has_settings else ":"
    configured = f"{name}{separator}{config}"
    find_model(configured)  # raises for an unknown variant
    return configured
