"""A metric under conditions that have names and no order, such as subsets of modalities: dots with intervals."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.figures.curves import cover, seeds
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_label, metric_name
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import BROAD, blank, legend, legend_height, line

ROW = 0.065  # inches of height that a row takes under each condition


def points(found: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per metric, of a protocol of named conditions."""
    levels = found.section.levels
    if levels.axis or len(levels.labels) < 2:
        return
    names = [row.name for row in found.section.rows]
    height = 0.6 + len(levels.labels) * max(0.3, ROW * (len(names) + 2))
    for scores in found.scores:
        figure = blank(width, height + legend_height(names, width) if width < BROAD else height)
        axes = figure.add_subplot()
        draw_points(axes, found, scores)
        legend(figure, *axes.get_legend_handles_labels())
        yield Drawing(scores.metric.name, figure, caption(found, scores))


def draw_points(axes: Axes, found: Analysis, scores: Scores) -> None:
    """Conditions from top to bottom, and the rows of each one below the other."""
    section, metric = found.section, scores.metric
    numbers = scores.estimate(section.levels.means)  # (M, L)
    low, high = (np.clip(end, *metric.range) for end in numbers.interval())
    looks = styles(row.name for row in section.rows)
    shown = [i for i in range(len(section.rows)) if np.isfinite(numbers.value[i]).any()]
    offsets = np.linspace(-0.38, 0.38, len(shown)) if len(shown) > 1 else np.zeros(1)
    places = np.arange(len(section.levels.labels))
    for i, offset in zip(shown, offsets, strict=True):
        value, reach = numbers.value[i], np.stack([numbers.value[i] - low[i], high[i] - numbers.value[i]])
        look = {**line(looks[section.rows[i].name]), "linestyle": "none", "elinewidth": 0.7}
        axes.errorbar(
            metric.scale * value, places + offset, xerr=metric.scale * reach, label=section.rows[i].name, **look
        )
    for place in places[1:]:
        axes.axhline(place - 0.5, color="0.8", linewidth=0.5)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(places, section.levels.labels)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=metric_label(metric), ylabel="condition", ylim=(len(places) - 0.5, -0.5))


def caption(found: Analysis, scores: Scores) -> str:
    """What dots and bars are."""
    return (
        f"{metric_name(scores.metric)} under each condition of {found.section.protocol} on {found.section.dataset}. "
        f"Dots are means over {seeds(found)}; bars are 95 % intervals for {cover(found)}. Rows meet the same corrupted "
        "samples, so differences between them are surer than the bars suggest."
    )
