"""The landscape of a protocol with two axes: a metric over both for each row, and the difference of two rows.

Dimension legend: M rows, S seeds, C conditions.
"""

from functools import lru_cache

import altair as alt
import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.comparisons import differences_by_condition
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import ChartColumns, Figure, difference_unit, json_numbers, unit_of
from qamoe_bench.page.landscape_sentence import Axes, landscape_sentence
from qamoe_bench.page.marks import Chart, axis_title, number_format, row_data, specification, tips
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.shapes import Float
from qamoe_bench.vocabulary import axis_symbol, metric_label

Values = NDArray[np.float64]
# Levels of an axis up to which there is room for the number in each cell
LABELLED_LEVELS = 10
MAP_HEIGHT = 260  # px
DARK_INK = "#111111"
LIGHT_INK = "#ffffff"
BETTER_COLOUR = "#0072b2"
EVEN_COLOUR = "#e6e6e6"
WORSE_COLOUR = "#d55e00"


def two_axes(section: Section) -> Axes | None:
    """The names of the axes if there are exactly two, else None."""
    # All conditions of a protocol have levels on the same axes.
    names = tuple(section.cells[0].facts.conditions[0]["levels"])
    return (names[0], names[1]) if len(names) == 2 else None


def landscape_figure(section: Section, scores: Scores) -> Figure | None:
    """One heat map per row, all on one colour scale; None unless the protocol has two axes."""
    axes = two_axes(section)
    if axes is None:
        return None
    metric = scores.metric
    values = scores.means()  # (M, C)
    return Figure(
        kind="landscape",
        title=f"{metric_label(metric.name)} over {_symbols(axes)}",
        sentences=by_regime(section, lambda rows: landscape_sentence(section, metric, axes, values, rows)),
        about=f"One heat map per model: {metric.title} for each {_symbols(axes)}, all on one colour scale. "
        "Lighter is better.",
        spec=specification(_map(metric, axes, values, len(section.levels.numbers)), MAP_HEIGHT),
        columns=_columns(section, axes, metric, values),
        metric=metric.name,
        is_wide=True,
    )


def difference_figure(section: Section, scores: Scores) -> Figure | None:
    """The difference of two rows, which the reader chooses; cells with a significant difference have a dot.

    None unless the protocol has two axes and there are two rows.
    """
    axes = two_axes(section)
    if axes is None or len(section.rows) < 2:
        return None
    metric = scores.metric
    extra = {
        "significant": _significance_flags(section, scores),
        "sign": metric.sign,
    }
    return Figure(
        kind="difference",
        title=f"{metric_label(metric.name)}: first model minus second",
        sentences={},  # written by the page's script, because it depends on the chosen rows
        about=f"Heat map of the difference in {metric.title}, first minus second, for each {_symbols(axes)}. Blue: "
        "the first is better; dot: significant (paired test, Holm-corrected over the cells).",
        spec=specification(_difference_map(metric, axes), MAP_HEIGHT),
        columns=_columns(section, axes, metric, scores.means()),
        extra=extra,
        metric=metric.name,
    )


def _symbols(axes: Axes) -> str:
    return f"{axis_symbol(axes[0])} and {axis_symbol(axes[1])}"


def _significance_flags(section: Section, scores: Scores) -> dict[str, dict[str, str]]:
    """By the names of both rows of a pair: `1` or `0` for each condition, whether they differ significantly."""
    names = [row.name for row in section.rows]
    flags: dict[str, dict[str, str]] = {}
    for (i, j), (_, is_significant) in differences_by_condition(section, scores).items():
        # A string of bits is smaller in JSON than a list.
        bits = "".join("1" if flag else "0" for flag in is_significant)
        flags.setdefault(names[i], {})[names[j]] = bits
    return flags


def _columns(section: Section, axes: Axes, metric: Metric, values: Float[Values, "M C"]) -> ChartColumns:
    levels = [condition["levels"] for condition in section.cells[0].facts.conditions]
    return {
        "row": [row.name for row in section.rows for _ in levels],
        "x": [level[axes[0]] for level in levels] * len(section.rows),
        "y": [level[axes[1]] for level in levels] * len(section.rows),
        "value": json_numbers(values, metric.scale),  # (M, C), flattened row by row
    }


def _cells(axes: Axes) -> alt.Chart:
    return alt.Chart(row_data()).encode(
        x=alt.X("x:O", title=axis_title(axes[0]), axis=alt.Axis(labelAngle=0, format="~g", labelOverlap=True)),
        y=alt.Y("y:O", title=axis_title(axes[1]), sort="descending", axis=alt.Axis(format="~g", labelOverlap=True)),
    )


def _tip(axes: Axes, title: str, digits: str) -> list[alt.Tooltip]:
    first, second = axes
    return tips(("x:O", axis_symbol(first), "~g"), ("y:O", axis_symbol(second), "~g"), ("value:Q", title, digits))


def _legend(title: str) -> alt.Legend:
    return alt.Legend(
        title=title, orient="bottom", titleLimit=300, gradientLength=160, gradientThickness=10, tickCount=4
    )


def _map(metric: Metric, axes: Axes, values: Float[Values, "M C"], levels: int) -> Chart:
    # All models share the scale, so that their maps can be compared.
    known = values[np.isfinite(values)] * metric.scale
    low = float(known.min()) if known.size else 0.0
    high = float(known.max()) if known.size else 1.0
    scale = alt.Scale(scheme="cividis", domain=[low, high], reverse=metric.better == "lower")
    cells = _cells(axes)
    tip = [alt.Tooltip("row:N", title="model"), *_tip(axes, unit_of(metric), number_format(metric))]
    colour = alt.Color("value:Q", scale=scale, legend=_legend(unit_of(metric)))
    fill = cells.mark_rect().encode(color=colour, tooltip=tip)
    if levels > LABELLED_LEVELS:
        return alt.layer(fill)
    # Cividis is dark for the worse half of the scale: below its middle, or above it for an error.
    dark = f"datum.value {'<' if metric.better == 'higher' else '>'} {(low + high) / 2:.4g}"
    text = cells.mark_text(fontSize=10).encode(
        text=alt.Text("value:Q", format=".0f" if metric.unit == "%" else ".2f"),
        color=alt.condition(dark, alt.value(LIGHT_INK), alt.value(DARK_INK)),
    )
    return alt.layer(fill, text)


@lru_cache(maxsize=256)
def _difference_map(metric: Metric, axes: Axes) -> Chart:
    # Blue is better for accuracies and errors alike.
    ends = (
        [WORSE_COLOUR, EVEN_COLOUR, BETTER_COLOUR]
        if metric.better == "higher"
        else [BETTER_COLOUR, EVEN_COLOUR, WORSE_COLOUR]
    )
    # The page's script sets a domain that is symmetric about 0.
    scale = alt.Scale(range=ends, interpolate="lab")
    title = difference_unit(metric, "difference in")
    cells = _cells(axes)
    tip = [*_tip(axes, title, "+" + number_format(metric)), alt.Tooltip("verdict:N", title="by a paired test")]
    fill = cells.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=_legend(title)), tooltip=tip)
    # The white border keeps the dot visible on dark cells.
    dot = cells.mark_point(filled=True, size=26, color=DARK_INK, opacity=1, stroke=LIGHT_INK, strokeWidth=1)
    return alt.layer(fill, dot.transform_filter("datum.significant == 1"))
