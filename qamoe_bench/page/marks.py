"""Elements that charts share: named data, colours and markers of rows, axes and tooltips, as Altair objects.

No specification holds the names of rows, so that charts of other rows share it; the page's script adds them.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import altair as alt

from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import unit_of
from qamoe_bench.vocabulary import axis_label

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
ROWS = "rows"  # name of the data, which the page's script fills in
HEIGHT = 280  # px
ITEM_HEIGHT = 40  # px of one item in `dot_spec`
# Placeholders in specifications that charts of several metrics share
UNIT = "@unit"
DIGITS = "@digits"
TICKS = "@ticks"
# Lanes of an item from top to bottom: the two models that are compared, and in between all others
LANES = ("first", "others", "second")


def row_data() -> alt.NamedData:
    """The data of a chart, which the page's script fills in when it draws the chart."""
    return alt.NamedData(ROWS)


def row_colour() -> alt.Color:
    """The colour of each row. The page's script sets the scale, and there is one legend for all charts."""
    return alt.Color("row:N", legend=None)


def row_marker() -> alt.Shape:
    """The marker of each row, likewise."""
    return alt.Shape("row:N", legend=None)


def row_dash() -> alt.StrokeDash:
    """The dash of each row, likewise."""
    return alt.StrokeDash("row:N", legend=None)


def filled(template: Mapping[str, Any], words: Mapping[str, Any], height: int | None = None) -> dict[str, Any]:
    """A specification from one with placeholders, which takes a hundredth of the time of building it.

    Args:
        template: A specification with placeholders, such as `UNIT`, in its strings.
        words: What stands in place of each; numbers of a list in place of a whole string.
        height: Height of the chart; that of the template if None.
    """
    text = json.dumps(template)
    for placeholder, word in words.items():
        whole = json.dumps(word)[1:-1]  # without quotes or brackets
        text = text.replace(f'"{placeholder}"' if isinstance(word, list) else placeholder, whole)
    spec: dict[str, Any] = json.loads(text)
    return spec if height is None else {**spec, "height": height}


def number_format(metric: Metric) -> str:
    """Format of a metric with the digits that tables print, without sign; values in charts are already scaled."""
    return ".1f" if metric.unit == "%" else ".3f"


def tips(*fields: tuple[str, str, str]) -> list[alt.Tooltip]:
    """A tooltip of (field, title, format); the format of words is empty."""
    return [alt.Tooltip(name, title=title, format=digits or alt.Undefined) for name, title, digits in fields]


def axis_title(axis: str) -> str:
    """The label of a protocol's axis, or `condition` for a protocol of named points."""
    return axis_label(axis) if axis else "condition"


def specification(chart: Chart, height: int = HEIGHT) -> dict[str, Any]:
    """Vega-Lite specification that fills its container."""
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict(validate=False)
    # The page configures all charts in one place; repeating this in each would only add weight.
    for key in ("config", "$schema"):
        spec.pop(key, None)
    return spec


def dot_spec(metric: Metric, items: int, item_title: str, value_title: str = "") -> dict[str, Any]:
    """Specification of a dot plot: for each item, from top to bottom, one point per row.

    The chart reads `x`, the name of the item, `value`, `low` and `high`, and two marks that the page's script sets:
    `band`, for the rows whose interval is drawn, and `lane`, which keeps these apart from the other points.

    Args:
        metric: Determines the format of numbers, and the title of the value axis unless one is given.
        items: Number of items, which determines the height.
        item_title: Title of the axis of items.
        value_title: Title of the value axis.
    """
    words = {UNIT: value_title or unit_of(metric), DIGITS: number_format(metric)}
    return filled(_dot_template(item_title), words, items * ITEM_HEIGHT)


@lru_cache
def _dot_template(item_title: str) -> dict[str, Any]:
    tip = tips(
        ("row:N", "model", ""), ("x:N", item_title, ""), ("value:Q", UNIT, DIGITS), ("low:Q", "95 % from", DIGITS),
        ("high:Q", "to", DIGITS),
    )  # fmt: skip
    # Items keep their order. Most models share one lane, since twelve lanes of each item would fill a screen.
    base = alt.Chart(row_data()).encode(
        y=alt.Y("x:N", title=None, sort=None, axis=alt.Axis(grid=True, tickBand="extent", labelLimit=150)),
        yOffset=alt.YOffset("lane:N", sort=list(LANES), scale=alt.Scale(domain=list(LANES), paddingOuter=0.3)),
        color=row_colour(),
    )
    # Interval, estimate, and an invisible target that is easier to hit with the pointer.
    axis = alt.Axis(tickCount=8)
    rule = base.transform_filter("datum.band").mark_rule(strokeWidth=1.8).encode(
        x=alt.X("low:Q", title=UNIT, scale=alt.Scale(zero=False), axis=axis), x2="high:Q"
    )  # fmt: skip
    size = alt.condition("datum.lead", alt.value(70), alt.value(36))
    point = base.mark_point(filled=True, opacity=0.9).encode(x="value:Q", shape=row_marker(), size=size)
    target = base.mark_point(size=200, opacity=0, filled=True).encode(x="value:Q", tooltip=tip)
    return specification(alt.layer(rule, point, target))
