"""Cost against quality, with the front of rows that nothing beats in both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.pareto import pareto_front
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import MEAN
from qamoe_bench.figures.curves import cover, seeds
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_label, metric_name
from qamoe_bench.figures.palette import Style, styles
from qamoe_bench.figures.style import BROAD, QUIET, blank, dashes, legend, legend_height, line
from qamoe_bench.metrics.catalogue import Metric

PANEL = 2.2  # inches of height
PARAMETERS = "trainable parameters (number, log scale)"
MULTIPLY_ADDS = "multiply-adds of a sample (10⁹, log scale)"


@dataclass(frozen=True)
class Deal:
    """What a row costs and what it gives: the metric with its interval, as it is printed; no cost is 0."""

    cost: float
    value: float
    low: float
    high: float


def paretos(found: Analysis, width: float, multiply_adds: Mapping[str, float] | None = None) -> Iterator[Drawing]:
    """One figure per metric; cost is parameters, or multiply-adds where they are given by model, in G per sample."""
    rows = found.section.rows
    costs: dict[str, float] = {row.name: row.cells[0].facts.parameters for row in rows}
    if multiply_adds is not None:
        costs = {row.name: multiply_adds[row.model] for row in rows if row.model in multiply_adds}
        costs |= {row.name: 0.0 for row in rows if row.is_oracle}
    what = PARAMETERS if multiply_adds is None else MULTIPLY_ADDS
    for scores in found.scores:
        deals = deals_of(found, scores, costs)
        if sum(d.cost > 0 for d in deals.values()) < 2:
            continue
        figure = blank(width, PANEL + 0.3 + legend_height(list(deals), width) if width < BROAD else 1.3 * PANEL)
        axes = figure.add_subplot()
        draw_pareto(axes, deals, scores.metric, styles(row.name for row in rows), what)
        axes.set_ylabel(metric_label(scores.metric))
        legend(figure, *axes.get_legend_handles_labels())
        yield Drawing(scores.metric.name, figure, _caption(found, scores, what))


def deals_of(found: Analysis, scores: Scores, costs: Mapping[str, float]) -> dict[str, Deal]:
    """The mean over all conditions of every row that has one, against its cost."""
    numbers, scale = found.summaries[scores.metric.name]["mean"].estimate(), scores.metric.scale
    low, high = numbers.interval()
    return {
        row.name: Deal(costs[row.name], *(float(scale * x[i]) for x in (numbers.value, low, high)))
        for i, row in enumerate(found.section.rows)
        if np.isfinite(numbers.value[i]) and row.name in costs and row.model != MEAN
    }


def draw_pareto(axes: Axes, deals: Mapping[str, Deal], metric: Metric, looks: Mapping[str, Style], cost: str) -> None:
    """Dots with intervals, the front as steps; what costs nothing is a line across."""
    for name, d in sorted(deals.items(), key=lambda item: item[1].cost == 0):
        look = line(looks[name])
        if d.cost > 0:
            reach = [[d.value - d.low], [d.high - d.value]]
            axes.errorbar(d.cost, d.value, yerr=reach, label=name, **{**look, "linestyle": "none", "elinewidth": 0.8})
        else:
            style = dashes(looks[name])
            axes.axhline(d.value, color=look["color"], linestyle=style, linewidth=0.9, label=f"{name} (no cost)")
    steps = [deals[name] for name in front(deals, metric)]
    costs = [d.cost for d in deals.values() if d.cost > 0]
    end = max(costs) * (max(costs) / min(costs)) ** 0.08  # a little further: what costs more is held against it too
    axes.step(
        [*(d.cost for d in steps), end], [*(d.value for d in steps), steps[-1].value], where="post", color=QUIET,
        linewidth=0.8, zorder=1, linestyle=(0, (4, 2)), label="Pareto front",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.1)
    axes.set_xlabel(cost)


def front(deals: Mapping[str, Deal], metric: Metric) -> list[str]:
    """Rows that no row with at most their cost is as good as, by rising cost; what costs nothing is not held to it."""
    paid = {name: deal for name, deal in deals.items() if deal.cost > 0}
    return pareto_front({n: d.cost for n, d in paid.items()}, {n: metric.sign * d.value for n, d in paid.items()})


def short(value: float) -> str:
    """A cost of whatever size in few characters."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _caption(found: Analysis, scores: Scores, what: str) -> str:
    return (
        f"{metric_name(scores.metric)}, mean over all levels of {found.section.protocol} on {found.section.dataset}, "
        f"against {what.partition(' (')[0]}. Means over {seeds(found)}; bars are 95 % intervals for {cover(found)}. "
        "The front joins rows that no cheaper row equals; it takes means as they are, whether or not they differ for "
        f"certain. {MEAN}, far worse, is left out."
    )
