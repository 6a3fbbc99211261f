"""A table of strings and a chapter of tables: what every format renders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from qamoe_bench.metrics import Metric
from qamoe_bench.report.scores import Section

WIDEST = 80  # columns of a terminal
SYMBOLS = {"eta": "η", "lambda": "λ"}


@dataclass(frozen=True)
class Table:
    """A table of strings.

    Attributes:
        title: What it shows.
        header: Column heads; the first column names the rows.
        rows: As many strings as the header has.
        notes: Sentences to print below.
        reference: Names of rows that are limits or controls rather than contestants.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A protocol on a data set: heading, what it means, and its tables."""

    heading: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]


def axis_of(section: Section) -> tuple[list[str], list[list[str]], tuple[str, ...]]:
    """Column heads, the conditions below each, and a note: levels of the (first) axis, averaged over any other."""
    conditions = section.conditions
    if not len(conditions.columns):  # points by name
        return list(conditions.index), [[name] for name in conditions.index], ()
    axis, *others = conditions.columns
    levels = list(dict.fromkeys(conditions[axis]))
    heads = [f"{SYMBOLS.get(axis, axis)}={level:g}" if i == 0 else f"{level:g}" for i, level in enumerate(levels)]
    note = (f"each column is the mean over all levels of {', '.join(others)}",) if others else ()
    return heads, [list(conditions.index[conditions[axis] == level]) for level in levels], note


def level_cells(
    by_seed: pd.DataFrame, members: Sequence[Sequence[str]], metric: Metric, show: Callable[[float], str]
) -> tuple[str, ...]:
    """A cell per level, and one for the mean over levels, ± its standard deviation over seeds.

    Args:
        by_seed: Values of the metric, or differences of it; a line per seed, a column per condition.
        members: The conditions of each level.
        metric: How the deviation is shown.
        show: How the others are shown.
    """
    levels = (show(_mean(by_seed[list(names)].to_numpy())) for names in members)
    means = by_seed.mean(axis=1)
    mean = show(float(means.mean()))
    if len(means) > 1 and mean != "–":
        mean += f"±{metric.show(float(means.std())).removeprefix('0')}"
    return (*levels, mean)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def fitted(table: Table) -> Table:
    """The table, turned where only so it fits: where few rows have columns whose names are long."""
    turned = replace(table, header=("", *(row[0] for row in table.rows)), rows=_turned(table), reference=())
    return turned if _width(table) > WIDEST >= _width(turned) else table


def _turned(table: Table) -> tuple[tuple[str, ...], ...]:
    return tuple(zip(table.header, *table.rows, strict=True))[1:]


def _width(table: Table) -> int:
    columns = zip(table.header, *table.rows, strict=True)
    return sum(max(map(len, column)) + 1 for column in columns)
