"""A figure of the page as a value: a Vega-Lite specification, its rows, and what it shows in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.report.table import Table

Columns = Mapping[str, Sequence[Any]]
"""Rows of a chart, column by column; a column `row` names a row of the report, so that it can be left out."""
DIGITS = 4
"""Significant digits of numbers in charts; tables have their own."""


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        kind: What family it is of.
        title: What it shows, as a heading.
        sentence: What is to be seen in these data.
        about: How it is drawn: what stands along the axes and how to read it.
        spec: Vega-Lite, with the rows as named data `rows`.
        columns: The rows.
        dialect: The dialect that it belongs to; empty where it is the same in all.
        metric: The metric, where there is a figure for each and one is shown at a time.
        table: The same as a table.
        note: What else to know.
        is_wide: Whether it needs the width of the page.
        extra: What the page's code needs beside the rows.
    """

    kind: str
    title: str
    sentence: str
    about: str
    spec: Mapping[str, Any]
    columns: Columns
    dialect: str = ""
    metric: str = ""
    table: Table | None = None
    note: str = ""
    is_wide: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """What it stands together with."""
        return {"difference": "verdict", "significance": "verdict", "cost": "verdict"}.get(self.kind, self.kind)


def plain(values: Any, scale: float = 1.0) -> list[float | None]:
    """Numbers for JSON: few digits, and null where there is none."""
    flat = np.asarray(values, np.float64).ravel() * scale
    return [float(f"{x:.{DIGITS}g}") if np.isfinite(x) else None for x in flat]


def encoded(columns: Columns) -> dict[str, Any]:
    """Columns for JSON: words, which repeat, once each with their places."""
    return {name: _column(list(values)) for name, values in columns.items()}


def _column(values: list[Any]) -> Any:
    if not values or not all(isinstance(v, str) for v in values):
        return values
    words = list(dict.fromkeys(values))
    places = {word: i for i, word in enumerate(words)}
    return {"words": words, "at": [places[v] for v in values]}


def unit_of(metric: Metric) -> str:
    """What stands behind a metric's name on an axis."""
    return f"{metric.name}, {metric.unit}" if metric.unit else metric.name


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))
