"""A figure of the page as a value: its Vega-Lite specification, its rows and its description in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import metric_label

# Rows of a chart, stored by column. The column `row` names a row of the report, so that the page can filter by it. What
# is no list is for the page's script, such as packed numbers.
ChartColumns = Mapping[str, Any]
# Of numbers in charts; tables format their own
SIGNIFICANT_DIGITS = 4
# Sections of the page that show kinds of another name
GROUPS: Mapping[str, str] = {"difference": "landscape", "calibration": "quality", "significance": "pairs"}


@dataclass(frozen=True)
class Figure:
    """A chart with its texts.

    Attributes:
        kind: The family of figures that it belongs to, such as `curve`.
        title: Heading.
        sentences: The main finding in these data by training regime, the one that is shown first in front.
        about: What is drawn, along which axes, and how to read it.
        spec: Vega-Lite specification, which reads the named data `rows`.
        columns: Those rows.
        metric: Metric, if there is one figure for each metric and the page shows one at a time; otherwise empty.
        table: The same numbers as a table; without it, the page builds one from the rows.
        note: Caveats, printed after `about`.
        part: What distinguishes it from other figures of this kind and metric, such as a modality; may be empty.
        is_wide: Whether it takes the full width of the page.
        extra: Additional data for the scripts of the page.
    """

    kind: str
    title: str
    sentences: Mapping[str, str]
    about: str
    spec: Mapping[str, Any]
    columns: ChartColumns
    metric: str = ""
    table: Table | None = None
    note: str = ""
    part: str = ""
    is_wide: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The finding that is shown first."""
        return next(iter(self.sentences.values()), "")

    @property
    def group(self) -> str:
        """The section of the page that shows it."""
        return GROUPS.get(self.kind, self.kind)

    @property
    def key(self) -> str:
        """Its name in links, unique within a protocol and a dialect: `curve-mae`, `quality-text`."""
        return "-".join(filter(None, (self.kind, self.metric, self.part)))


def interval_columns(
    names: Sequence[str], positions: Sequence[Any], value: Any, low: Any, high: Any, scale: float
) -> ChartColumns:
    """Columns of a chart of values with intervals.

    Args:
        names: M names of rows.
        positions: L positions on the axis, the same for every row.
        value: Values, (M, L).
        low: Lower ends of the intervals, (M, L).
        high: Upper ends, (M, L).
        scale: Factor to the unit that the chart shows.
    """
    return {
        "row": [name for name in names for _ in positions],
        "x": list(positions) * len(names),
        "value": json_numbers(value, scale),
        "low": json_numbers(low, scale),
        "high": json_numbers(high, scale),
    }


def json_numbers(values: Any, scale: float = 1.0) -> list[float | None]:
    """Numbers for JSON, flattened and rounded; null where a value is not finite."""
    flat = np.asarray(values, np.float64).ravel() * scale
    return [float(f"{x:.{SIGNIFICANT_DIGITS}g}") if np.isfinite(x) else None for x in flat]


def encoded(columns: ChartColumns) -> dict[str, Any]:
    """Columns for JSON, with repeated words dictionary-encoded."""
    return {name: _encoded_column(values) if isinstance(values, list) else values for name, values in columns.items()}


def _encoded_column(values: list[Any]) -> Any:
    # Only columns of words are encoded: numbers rarely repeat.
    if not values or not all(isinstance(v, str) for v in values):
        return values
    words = list(dict.fromkeys(values))
    # Each word once, and its index for each row.
    codes = {word: i for i, word in enumerate(words)}
    return {"words": words, "at": [codes[v] for v in values]}


def unit_of(metric: Metric) -> str:
    """A metric as readers call it, with its unit and direction, for the title of an axis."""
    better = f"{metric.better} is better"
    return (
        f"{metric_label(metric.name)} ({metric.unit}, {better})"
        if metric.unit
        else f"{metric_label(metric.name)} ({better})"
    )


def difference_unit(metric: Metric, prefix: str) -> str:
    """The same for a difference of two values; a difference of percentages is in points."""
    unit = "points" if metric.unit == "%" else metric.unit
    name = f"{prefix} {metric_label(metric.name)}"
    return f"{name}, {unit}" if unit else name


def comma_list(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
