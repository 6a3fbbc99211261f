"""A metric under conditions without an order, such as subsets of modalities, as dots with intervals.

Dimension legend: M rows, L conditions (named levels).
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.figures.captions import interval_scope, place, seed_count
from qamoe_bench.figures.curves import rows_with_interval
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_axis_label, metric_name
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import BROAD, blank, legend, legend_height, line

DOT_SPACING = 0.065  # inches of height for each lane under each condition
MOST_LANES = 4
"""Of more rows only three have a lane with an interval each; the dots of all others share one."""


def point_figures(analysis: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per metric, if the conditions of the protocol are named."""
    levels = analysis.section.levels
    if levels.axis or len(levels.labels) < 2:
        return
    names = [row.name for row in analysis.section.rows]
    lanes = min(len(names), MOST_LANES)
    height = 0.6 + len(levels.labels) * max(0.3, DOT_SPACING * (lanes + 2))
    if width < BROAD:
        height += legend_height(names, width)
    for scores in analysis.scores:
        figure = blank(width, height)
        axes = figure.add_subplot()
        draw_points(axes, analysis, scores)
        legend(figure, *axes.get_legend_handles_labels())
        yield Drawing(scores.metric.name, figure, _caption(analysis, scores))


def draw_points(axes: Axes, analysis: Analysis, scores: Scores) -> None:
    """Draw the conditions from top to bottom, and within each the rows from top to bottom."""
    section = analysis.section
    metric = scores.metric
    estimate = scores.estimate(section.levels.means)  # (M, L)
    low, high = (np.clip(end, *metric.range) for end in estimate.interval())
    looks = styles(row.name for row in section.rows)
    shown = [i for i in range(len(section.rows)) if np.isfinite(estimate.value[i]).any()]
    with_interval = rows_with_interval(analysis, scores, shown)
    centres = np.arange(len(section.levels.labels))
    for i, offset in _offsets(shown, with_interval).items():
        value = estimate.value[i]
        errors = np.stack([value - low[i], high[i] - value])  # (2, L)
        name = section.rows[i].name
        look = {**line(looks[name]), "linestyle": "none", "elinewidth": 0.7}
        bars = metric.scale * errors if i in with_interval else None
        axes.errorbar(metric.scale * value, centres + offset, xerr=bars, label=name, **look)
    for centre in centres[1:]:
        axes.axhline(centre - 0.5, color="0.8", linewidth=0.5)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(centres, section.levels.labels)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=metric_axis_label(metric), ylabel="condition", ylim=(len(centres) - 0.5, -0.5))


def _offsets(shown: list[int], with_interval: set[int]) -> dict[int, float]:
    """The distance of each row from the centre of its condition; conditions are 1 apart."""
    own = [i for i in shown if i in with_interval]
    others = [i for i in shown if i not in with_interval]
    lanes = [[i] for i in own]
    if others:
        lanes.insert(len(lanes) // 2, others)
    # The rest of the distance separates the conditions.
    offsets = np.linspace(-0.38, 0.38, len(lanes)) if len(lanes) > 1 else np.zeros(1)
    by_row: dict[int, float] = {}
    for lane, offset in zip(lanes, offsets, strict=True):
        by_row |= dict.fromkeys(lane, float(offset))
    return {i: by_row[i] for i in shown}  # the order of the legend


def _caption(analysis: Analysis, scores: Scores) -> str:
    rows = analysis.section.rows
    shown = [i for i in range(len(rows)) if np.isfinite(scores.values[i]).any()]
    chosen = [rows[i].name for i in sorted(rows_with_interval(analysis, scores, shown))]
    bars = "bars" if len(chosen) == len(shown) else f"bars, of {', '.join(chosen)} only,"
    return (
        f"{metric_name(scores.metric)} under each condition of {place(analysis)}. Dots are means over "
        f"{seed_count(analysis)}; {bars} are 95 % intervals over {interval_scope(analysis)}. All rows are evaluated on "
        "the same corrupted samples, so differences between rows are known more precisely than the bars suggest."
    )
