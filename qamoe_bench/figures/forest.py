"""Forest plots: differences from the control with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.comparisons import Difference
from qamoe_bench.analysis.section import CONTROL, MEAN
from qamoe_bench.figures.captions import place
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import change_unit, metric_name
from qamoe_bench.figures.palette import Style, styles
from qamoe_bench.figures.style import BROAD, MARKER_CODES, QUIET, blank, wrapped
from qamoe_bench.metrics.catalogue import Metric

ROW_HEIGHT = 0.18  # inches, of a line of a row's name
NamedDifferences = Mapping[str, Difference]
"""Differences in one metric by the name of the row."""


def forest_figures(analysis: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per metric at one column of a page; at two, one figure with all metrics side by side."""
    by_metric = {}
    for scores in analysis.scores:
        differences = _named_differences(analysis, scores.metric)
        if differences:
            by_metric[scores.metric] = differences
    if not by_metric:
        return
    groups = (
        [list(by_metric)] if width >= BROAD else [[metric] for metric in by_metric]
    )  # of metrics that share a figure
    for group in groups:
        figure = draw_forest({metric: by_metric[metric] for metric in group}, CONTROL, width)
        names = ", ".join(metric_name(metric) for metric in group)
        yield Drawing(group[0].name if len(group) == 1 else "", figure, _caption(analysis, names))


def draw_forest(by_metric: Mapping[Metric, NamedDifferences], other: str, width: float) -> Figure:
    """A panel per metric; rows from the best to the worst in the first metric."""
    names = _ordered_names(by_metric)
    looks = styles([*names, other])
    labels = [wrapped(name) for name in names]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure = blank(width, 1.1 + ROW_HEIGHT * max(lines, 3))  # 1.1 inches for axis labels and legend
    panels = figure.subplots(1, len(by_metric), sharey=True, squeeze=False)[0]
    for axes, (metric, differences) in zip(panels, by_metric.items(), strict=True):
        draw_differences(axes, differences, names, looks, metric)
    panels[0].set_yticks(range(len(names)), labels)
    panels[0].set_ylim(len(names) - 0.5, -0.5)  # the first row on top
    panels[0].set_title(f"difference from {wrapped(other)}", loc="left", fontsize=7)
    figure.legend(handles=_legend_handles(), loc="outside lower center", ncols=2)
    return figure


def _ordered_names(by_metric: Mapping[Metric, NamedDifferences]) -> list[str]:
    first = next(iter(by_metric))
    names = sorted(by_metric[first], key=lambda name: -first.sign * by_metric[first][name].value)
    # Rows whose value is undefined in the first metric come last.
    for differences in by_metric.values():
        names += [name for name in differences if name not in names]
    return names


def draw_differences(
    axes: Axes, differences: NamedDifferences, names: Sequence[str], looks: Mapping[str, Style], metric: Metric
) -> None:
    """Draw dots with intervals; a dot is hollow if its interval includes 0."""
    axes.axvline(0, color=QUIET, linewidth=0.8)
    for height, name in enumerate(names):
        d = differences.get(name)
        if d is None:
            continue
        colour = looks[name].colour
        low, value, high = (metric.scale * x for x in (d.low, d.value, d.high))
        axes.plot([low, high], [height, height], color=colour, linewidth=1.1, solid_capstyle="butt")
        axes.plot(
            value, height, MARKER_CODES[looks[name].marker], color=colour, markeredgecolor=colour,
            markeredgewidth=0.9, markerfacecolor=colour if d.is_significant else "white", markersize=4,
        )  # fmt: skip
    axes.set_xlabel(f"{metric_name(metric)} ({change_unit(metric) or 'difference'})\n{_directions(metric)}")
    axes.xaxis.set_major_locator(MaxNLocator(4))  # more ticks would touch each other where panels are narrow
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _directions(metric: Metric) -> str:
    return "← worse    better →" if metric.better == "higher" else "← better    worse →"


def _legend_handles() -> list[Line2D]:
    look: dict[str, Any] = {"color": QUIET, "marker": "o", "markersize": 4, "markeredgewidth": 0.9}
    return [
        Line2D([], [], label="interval excludes 0", **look),
        Line2D([], [], label="interval includes 0", markerfacecolor="white", **look),
    ]


def _named_differences(analysis: Analysis, metric: Metric) -> NamedDifferences:
    """Finite differences by row; without `mean`, which is so much worse that it would compress the others."""
    rows = analysis.section.rows
    named = {}
    for i, difference in analysis.differences[metric.name].items():
        if np.isfinite(difference.value) and rows[i].model != MEAN:
            named[rows[i].name] = difference
    return named


def _caption(analysis: Analysis, names: str) -> str:
    return (
        f"Differences from {CONTROL} trained in the same regime, on the same corrupted samples: {names}, means over "
        f"all levels of {place(analysis)}. Intervals are simultaneous 95 % intervals, Holm-corrected over all pairs of "
        f"rows; the interval of the oracle, which does not compete, is not corrected. {MEAN} is left out because it is "
        "far worse."
    )
