"""Cost against quality, with the Pareto front of the rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.pareto import pareto_front
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import MEAN
from qamoe_bench.figures.captions import interval_scope, place, seed_count
from qamoe_bench.figures.direct_labels import FONT_SIZE, LONGEST
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_axis_label, metric_name
from qamoe_bench.figures.palette import Style, styles
from qamoe_bench.figures.style import BROAD, QUIET, blank, dashes, legend, legend_height, line
from qamoe_bench.metrics.catalogue import Metric

PARETO_PANEL_HEIGHT = 2.2  # inches
PARAMETERS = "trainable parameters (number, log scale)"
MULTIPLY_ADDS = "multiply-adds of a sample (10⁹, log scale)"


@dataclass(frozen=True)
class CostQuality:
    """The cost of a row (0: none), and its metric with the interval, in the unit in which it is printed."""

    cost: float
    value: float
    low: float
    high: float


def pareto_figures(
    analysis: Analysis, width: float, multiply_adds: Mapping[str, float] | None = None
) -> Iterator[Drawing]:
    """One figure per metric; cost is parameters, or multiply-adds if they are given by model, in G per sample."""
    rows = analysis.section.rows
    costs: dict[str, float] = {row.name: row.cells[0].facts.parameters for row in rows}
    cost_label = PARAMETERS
    if multiply_adds is not None:
        costs = {row.name: multiply_adds[row.model] for row in rows if row.model in multiply_adds}
        costs |= {row.name: 0.0 for row in rows if row.is_limit}
        cost_label = MULTIPLY_ADDS
    for scores in analysis.scores:
        points = cost_quality(analysis, scores, costs)
        if sum(point.cost > 0 for point in points.values()) < 2:
            continue  # no trade-off to show
        height = 1.3 * PARETO_PANEL_HEIGHT
        if width < BROAD:  # the legend is below
            height = PARETO_PANEL_HEIGHT + 0.3 + legend_height(list(points), width)
        figure = blank(width, height)
        axes = figure.add_subplot()
        draw_pareto(axes, points, scores.metric, styles(row.name for row in rows), cost_label)
        axes.set_ylabel(metric_axis_label(scores.metric))
        legend(figure, *axes.get_legend_handles_labels())
        yield Drawing(scores.metric.name, figure, _caption(analysis, scores, cost_label))


def cost_quality(analysis: Analysis, scores: Scores, costs: Mapping[str, float]) -> dict[str, CostQuality]:
    """Cost and mean over all conditions of every row that has both; without `mean`, which is far worse."""
    estimate = analysis.summaries[scores.metric.name]["mean"].estimate()  # (M,)
    low, high = estimate.interval()
    scale = scores.metric.scale
    points = {}
    for i, row in enumerate(analysis.section.rows):
        if np.isfinite(estimate.value[i]) and row.name in costs and row.model != MEAN:
            value, lower, upper = (float(scale * x[i]) for x in (estimate.value, low, high))
            points[row.name] = CostQuality(costs[row.name], value, lower, upper)
    return points


def draw_pareto(
    axes: Axes, points: Mapping[str, CostQuality], metric: Metric, looks: Mapping[str, Style], cost_label: str
) -> None:
    """Draw dots with intervals and the front as steps; a row without cost is a horizontal line."""
    # Rows without cost come last in the legend.
    for name, point in sorted(points.items(), key=lambda item: item[1].cost == 0):
        look = line(looks[name])
        if point.cost > 0:
            errors = [[point.value - point.low], [point.high - point.value]]
            look |= {"linestyle": "none", "elinewidth": 0.8}
            axes.errorbar(point.cost, point.value, yerr=errors, label=name, **look)
        else:
            label = f"{name} (no cost)"
            axes.axhline(point.value, color=look["color"], linestyle=dashes(looks[name]), linewidth=0.9, label=label)
    _draw_front(axes, points, metric)
    _name_front(axes, points, metric, looks)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))  # 1, 3, 10, 30, …
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _cost_tick(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.1)
    axes.set_xlabel(cost_label)


def _draw_front(axes: Axes, points: Mapping[str, CostQuality], metric: Metric) -> None:
    steps = [points[name] for name in front(points, metric)]
    costs = [point.cost for point in points.values() if point.cost > 0]
    # The front continues a little beyond the most expensive row, which it may dominate.
    end = max(costs) * (max(costs) / min(costs)) ** 0.08
    xs = [*(point.cost for point in steps), end]
    ys = [*(point.value for point in steps), steps[-1].value]
    axes.step(
        xs, ys, where="post", color=QUIET, linewidth=0.8, zorder=1, linestyle=(0, (4, 2)), label="Pareto front"
    )  # fmt: skip


def _name_front(
    axes: Axes, points: Mapping[str, CostQuality], metric: Metric, looks: Mapping[str, Style]
) -> None:  # fmt: skip
    """Write the names of the rows on the front next to their dots; long names are in the legend only."""
    named = [name for name in front(points, metric) if len(name) <= LONGEST]
    for index, name in enumerate(named):
        point = points[name]
        axes.annotate(
            name, (point.cost, point.value), xytext=(4, 4 if index % 2 == 0 else -4), textcoords="offset points",
            va="bottom" if index % 2 == 0 else "top", fontsize=FONT_SIZE, color=looks[name].colour,
        )  # fmt: skip


def front(points: Mapping[str, CostQuality], metric: Metric) -> list[str]:
    """Rows that are better than every row of at most their cost, by rising cost; rows without cost do not take part."""
    costs = {name: point.cost for name, point in points.items() if point.cost > 0}
    quality = {name: metric.sign * points[name].value for name in costs}  # higher is better
    return pareto_front(costs, quality)


def _cost_tick(value: float) -> str:
    """A cost in few characters, such as `30k`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _caption(analysis: Analysis, scores: Scores, cost_label: str) -> str:
    cost, _, _ = cost_label.partition(" (")
    return (
        f"{metric_name(scores.metric)}, mean over all levels of {place(analysis)}, against {cost}. Means over "
        f"{seed_count(analysis)}; bars are 95 % intervals over {interval_scope(analysis)}. The front joins the rows "
        "that are better than every cheaper row; it compares means, whether or not they differ significantly. "
        f"{MEAN} is left out because it is far worse."
    )
