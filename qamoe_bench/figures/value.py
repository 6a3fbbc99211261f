"""What knowing quality is worth, by level: the value of being told the corruption, and that of being aware of it.

Dimension legend: L levels.
"""

from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_value import QualityValue, quality_value
from qamoe_bench.figures.captions import interval_scope, place, seed_count
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import change_unit, metric_name
from qamoe_bench.figures.style import QUIET, blank, legend, legend_height
from qamoe_bench.registry.limits import ASSUMING_CLEAN, BLIND, INFERRING
from qamoe_bench.vocabulary import axis_label

VALUE_STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    INFERRING: ("of being told the corruption", {"color": "#0072b2", "marker": "o", "linestyle": "-"}),
    BLIND: ("of being aware of quality", {"color": "#d55e00", "marker": "s", "linestyle": "-"}),
    ASSUMING_CLEAN: ("of not taking all for clean", {"color": "#8c7a00", "marker": "^", "linestyle": (0, (4, 2))}),
}
"""By predictor whose loss against the oracle it is, what a curve shows and its look."""
HEIGHT = 2.2  # inches, without the legend


def value_figures(analysis: Analysis, width: float) -> Iterator[Drawing]:
    """One figure in the first metric, if its predictors have rows and the levels of the protocol are numbers."""
    value = quality_value(analysis.section, analysis.headline)
    if value is None or len(analysis.section.levels.numbers) < 2:
        return
    names = [VALUE_STYLES[predictor][0] for predictor in value.losses]
    figure = blank(width, HEIGHT + legend_height(names, width))
    axes = figure.add_subplot()
    draw_values(axes, analysis, value)
    legend(figure, *axes.get_legend_handles_labels())
    yield Drawing(value.metric.name, figure, _caption(analysis, value))


def draw_values(axes: Axes, analysis: Analysis, value: QualityValue) -> None:
    """Draw the loss of each predictor against the oracle by level, with its 95 % interval as a band."""
    levels = analysis.section.levels
    scale = value.metric.scale
    axes.axhline(0, color=QUIET, linewidth=0.6)
    for predictor, loss in value.losses.items():
        name, look = VALUE_STYLES[predictor]
        low, high = (scale * end[:-1] for end in loss.interval())  # (L), without the mean over levels
        axes.fill_between(levels.numbers, low, high, color=look["color"], alpha=0.15, linewidth=0)
        axes.plot(levels.numbers, scale * loss.value[:-1], label=name, markeredgewidth=0, **look)
    unit = change_unit(value.metric)
    axes.set(
        xlabel=axis_label(levels.axis),
        ylabel=f"value in {metric_name(value.metric)}{f' ({unit})' if unit else ''}",
        xticks=levels.numbers,
    )
    axes.margins(x=0.02)


def _caption(analysis: Analysis, value: QualityValue) -> str:
    return (
        f"What knowing the quality of a sample is worth in {metric_name(value.metric)}, protocol {place(analysis)}: "
        "how much worse predictors are that know the law of the data and less about the sample than the oracle, which "
        "is told the corruption. Told: against one that infers the corruption from the frames; aware: against one "
        "without any sign of quality; clean: against one that takes all frames for uncorrupted. Bands are 95 % "
        f"intervals of the paired differences over {interval_scope(analysis)} ({seed_count(analysis)})."
    )
