"""Robustness curves: a metric over the levels of a sweep, with bands of 95 % intervals."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_label, metric_name
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import BROAD, blank, legend, legend_height, line
from qamoe_bench.vocabulary import axis_label

PANEL = 2.1  # inches of height
BANDS = 0.6  # how opaque all bands are together; each at most a quarter of that


def curves(found: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per metric, of a protocol with numbers for levels."""
    if len(found.section.levels.numbers) < 2:
        return
    names = [row.name for row in found.section.rows]
    for scores in found.scores:
        figure = blank(width, PANEL + 0.3 + legend_height(names, width) if width < BROAD else 1.3 * PANEL)
        axes = figure.add_subplot()
        draw_curves(axes, found, scores)
        legend(figure, *axes.get_legend_handles_labels())
        yield Drawing(scores.metric.name, figure, caption(found, scores))


def draw_curves(axes: Axes, found: Analysis, scores: Scores) -> None:
    """Every row's curve with its band; rows without a value are left out."""
    levels, metric = found.section.levels, scores.metric
    numbers = scores.estimate(levels.means)  # (M, L)
    low, high = (np.clip(end, *metric.range) for end in numbers.interval())
    looks = styles(row.name for row in found.section.rows)
    opacity = min(BANDS / 4, BANDS / len(looks))
    for i, row in enumerate(found.section.rows):
        if not np.isfinite(numbers.value[i]).any():
            continue
        look = line(looks[row.name])
        ends = metric.scale * low[i], metric.scale * high[i]
        axes.fill_between(levels.numbers, *ends, color=look["color"], alpha=opacity, linewidth=0)
        axes.plot(levels.numbers, metric.scale * numbers.value[i], label=row.name, **look)
    axes.set(xlabel=axis_label(levels.axis), ylabel=metric_label(metric), xticks=levels.numbers)
    axes.margins(x=0.02)


def caption(found: Analysis, scores: Scores) -> str:
    """What the curves and bands are."""
    return " ".join(
        (
            f"{metric_name(scores.metric)} by level, protocol {found.section.protocol} on {found.section.dataset}.",
            f"Lines are means over {seeds(found)}; bands are 95 % intervals for {cover(found)}.",
            "Rows meet the same corrupted samples, so differences between them are surer than the bands suggest.",
            *(f"{note[0].upper()}{note[1:]}." for note in found.section.levels.notes),
        )
    )


def seeds(found: Analysis) -> str:
    """How many seeds, in words."""
    count = len(found.section.seeds)
    return f"{count} seed{'s' * (count > 1)}"


def cover(found: Analysis) -> str:
    """What intervals are for."""
    return "other seeds and other test samples" if len(found.section.seeds) > 1 else "other test samples only"
