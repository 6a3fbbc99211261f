"""What charts have in common: named data, colours and markers of rows, axes and tooltips, as Altair has them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt

from qamoe_bench.figures.palette import Style
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import unit_of
from qamoe_bench.vocabulary import axis_label

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
ROWS = "rows"
HEIGHT = 280
ROW_STEP, GAP = 9, 14


def rows() -> alt.NamedData:
    """The rows that the page puts in."""
    return alt.NamedData(ROWS)


class Look:
    """Scales for the rows of the page."""

    def __init__(self, styles: dict[str, Style]) -> None:
        self._styles = styles

    def colour(self, names: tuple[str, ...]) -> alt.Color:
        """A row's colour; the key is beside the charts, once for all of them."""
        return alt.Color("row:N", legend=None, scale=self._scale(names, [self._styles[n].colour for n in names]))

    def marker(self, names: tuple[str, ...]) -> alt.Shape:
        """A row's marker."""
        return alt.Shape("row:N", legend=None, scale=self._scale(names, [self._styles[n].marker for n in names]))

    def dash(self, names: tuple[str, ...]) -> alt.StrokeDash:
        """A row's line."""
        dashes = [list(self._styles[n].dash) or [1, 0] for n in names]
        return alt.StrokeDash("row:N", legend=None, scale=self._scale(names, dashes))

    @staticmethod
    def _scale(names: tuple[str, ...], found: Sequence[Any]) -> alt.Scale:
        return alt.Scale(domain=list(names), range=list(found))


def number_format(metric: Metric) -> str:
    """Digits of a metric, as tables print it; values in charts are scaled already."""
    return ".1f" if metric.unit == "%" else ".3f"


def tips(*fields: tuple[str, str, str]) -> list[alt.Tooltip]:
    """A tooltip of (field, title, format); words have no format."""
    return [alt.Tooltip(name, title=title, format=how or alt.Undefined) for name, title, how in fields]


def axis_title(axis: str) -> str:
    """The axis of a protocol in words."""
    return axis_label(axis) if axis else "condition"


def specification(chart: Chart, height: int = HEIGHT) -> dict[str, Any]:
    """Vega-Lite that fills its place, without what is the same for all charts of a page."""
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict(validate=False)
    for key in ("config", "$schema"):
        spec.pop(key, None)
    return spec


@lru_cache(maxsize=256)
def dots(metric: Metric, look: Look, names: tuple[str, ...], things: int, what: str, title: str = "") -> dict[str, Any]:
    """A point with its interval for each row and each of some things by name, which stand one below the other.

    The rows have `x`, the name of the thing, and `value`, `low` and `high`.
    """
    how = number_format(metric)
    title = title or unit_of(metric)
    tip = tips(
        ("row:N", "model", ""), ("x:N", what, ""), ("value:Q", title, how), ("low:Q", "95 % from", how),
        ("high:Q", "to", how),
    )  # fmt: skip
    base = alt.Chart(rows()).encode(
        y=alt.Y("x:N", title=what, sort=None, axis=alt.Axis(grid=True, tickBand="extent", labelLimit=140)),
        yOffset=alt.YOffset("row:N", sort=list(names), scale=alt.Scale(paddingOuter=0.8)),
        color=look.colour(names),
    )
    rule = base.mark_rule(strokeWidth=1.6).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8)), x2="high:Q"
    )
    point = base.mark_point(filled=True, opacity=1, size=42).encode(x="value:Q", shape=look.marker(names))
    target = base.mark_point(size=200, opacity=0, filled=True).encode(x="value:Q", tooltip=tip)
    return specification(alt.layer(rule, point, target), things * (GAP + ROW_STEP * len(names)))
