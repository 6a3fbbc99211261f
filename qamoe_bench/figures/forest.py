"""Differences from the control with their intervals, as a forest plot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.comparisons import Difference
from qamoe_bench.analysis.section import CONTROL, MEAN
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import change_unit, metric_name
from qamoe_bench.figures.palette import Style, styles
from qamoe_bench.figures.style import BROAD, MARKERS, QUIET, blank, wrapped
from qamoe_bench.metrics.catalogue import Metric

ROW = 0.18  # inches
Known = Mapping[str, Difference]
"""Differences of one metric by the name of the row."""


def forests(found: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per metric in one column of a page; over two, one of all metrics side by side."""
    known = {s.metric: of for s in found.scores if (of := _known(found, s.metric))}
    metrics = list(known)
    groups = [metrics] if width >= BROAD and metrics else [[m] for m in metrics]
    for group in groups:
        figure = draw_forest({m: known[m] for m in group}, CONTROL, width)
        names = ", ".join(metric_name(m) for m in group)
        yield Drawing("" if len(group) > 1 else group[0].name, figure, _caption(found, names))


def draw_forest(known: Mapping[Metric, Known], other: str, width: float) -> Figure:
    """A panel per metric; rows from the best to the worst in the first one."""
    first = next(iter(known))
    names = sorted(known[first], key=lambda name: -first.sign * known[first][name].value)
    names += [name for of in known.values() for name in of if name not in names]
    names = list(dict.fromkeys(names))
    looks = styles([*names, other])
    shown = [wrapped(name) for name in names]
    lines = sum(name.count("\n") + 1 for name in shown)
    figure = blank(width, 1.1 + ROW * max(lines, 3))
    panels = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    for axes, (metric, of) in zip(panels, known.items(), strict=True):
        draw_differences(axes, {name: of[name] for name in names if name in of}, names, looks, metric)
    panels[0].set_yticks(range(len(names)), shown)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    panels[0].set_ylabel(f"row, minus\n{wrapped(other)}")
    figure.legend(handles=_key(), loc="outside lower center", ncols=2)
    return figure


def draw_differences(axes: Axes, of: Known, names: Sequence[str], looks: Mapping[str, Style], metric: Metric) -> None:
    """Dots with intervals; hollow where the interval holds zero."""
    axes.axvline(0, color=QUIET, linewidth=0.8)
    for name, d in of.items():
        look, place = looks[name], names.index(name)
        low, value, high = (metric.scale * x for x in (d.low, d.value, d.high))
        axes.plot([low, high], [place, place], color=look.colour, linewidth=1.1, solid_capstyle="butt")
        axes.plot(
            value, place, MARKERS[look.marker], color=look.colour, markeredgecolor=look.colour, markeredgewidth=0.9,
            markerfacecolor=look.colour if d.is_significant else "white", markersize=4,
        )  # fmt: skip
    axes.set_xlabel(f"Δ {metric_name(metric)}\n({change_unit(metric)})\n{_directions(metric)}")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _directions(metric: Metric) -> str:
    return "← worse    better →" if metric.better == "higher" else "← better    worse →"


def _key() -> list[Line2D]:
    look: dict[str, Any] = {"color": QUIET, "marker": "o", "markersize": 4, "markeredgewidth": 0.9}
    return [
        Line2D([], [], label="interval excludes 0", **look),
        Line2D([], [], label="interval holds 0", markerfacecolor="white", **look),
    ]


def _known(found: Analysis, metric: Metric) -> Known:
    rows = found.section.rows
    known = {i: d for (name, i), d in found.differences.items() if name == metric.name}
    return {rows[i].name: d for i, d in known.items() if np.isfinite(d.value) and rows[i].model != MEAN}


def _caption(found: Analysis, names: str) -> str:
    return (
        f"Differences from {CONTROL} of the same regime on the same corrupted samples: {names}, means over all levels "
        f"of {found.section.protocol} on {found.section.dataset}. Intervals are Holm-corrected to 95 % over all rows "
        f"and metrics analysed; the oracle, which is no contestant, has its own. {MEAN}, far worse, is left out."
    )
