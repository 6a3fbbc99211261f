"""Learning curves: a metric, and the share of the way to the oracle, by the number of training samples.

Dimension legend: K rows, Z sizes.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from qamoe_bench.analysis.learning import Curves, LearningCurve
from qamoe_bench.analysis.section import MEAN
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_axis_label, metric_name
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import BROAD, blank, legend, legend_height, line
from qamoe_bench.report.learning_table import counted_seeds

LEARNING_PANEL_HEIGHT = 2.1  # inches
LEAST_DISTANCE = 0.14  # between labels of sizes, as a share of the axis


def learning_figures(curve: LearningCurve, width: float) -> Iterator[Drawing]:
    """The metric and, where there is an oracle, the share of the way from the floor to it."""
    metric = curve.metric
    figure = _figure(curve, curve.mean, metric.scale, metric_axis_label(metric), width)
    if figure is not None:
        yield Drawing(metric.name, figure, _caption(curve, metric_name(metric)))
    if curve.reached is not None:
        figure = _figure(curve, curve.reached, 100, "way to the oracle (%, higher is better)", width)
        if figure is not None:
            what = f"Share of the way from {MEAN} to oracle in {metric_name(metric)}"
            yield Drawing("reached", figure, _caption(curve, what))


def _figure(curve: LearningCurve, curves: Curves, scale: float, label: str, width: float) -> Figure | None:
    """The curves of all rows with their intervals; None if none has a value."""
    names = _drawn(curve, curves)
    if not names:
        return None
    height = 1.3 * LEARNING_PANEL_HEIGHT
    if width < BROAD:
        height = LEARNING_PANEL_HEIGHT + 0.3 + legend_height(names, width)
    figure = blank(width, height)
    axes = figure.add_subplot()
    looks = styles(names)
    for k, name in enumerate(curve.names):
        if name not in names:
            continue
        value = scale * curves.value[k]  # (Z,)
        ends = np.stack([curves.value[k] - curves.low[k], curves.high[k] - curves.value[k]])  # (2, Z)
        axes.errorbar(curve.sizes, value, yerr=scale * ends, label=name, elinewidth=0.8, **line(looks[name]))
    axes.set(xscale="log", xlabel="training samples (logarithmic)", ylabel=label)
    axes.set_xticks(curve.sizes, _tick_labels(curve.sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    legend(figure, *axes.get_legend_handles_labels())
    return figure


def _tick_labels(sizes: Sequence[int]) -> list[str]:
    """The sizes, without those that are too close to a larger one on the axis."""
    positions = np.log(sizes)
    labels = [""] * len(sizes)
    limit = np.inf  # where the next label to the right begins
    for z in reversed(range(len(sizes))):
        if positions[z] <= limit:
            labels[z] = f"{sizes[z]:,}"
            limit = positions[z] - LEAST_DISTANCE * (positions[-1] - positions[0])
    return labels


def _drawn(curve: LearningCurve, curves: Curves) -> list[str]:
    """Names of the rows with a value; without `mean` if there are others, because it would compress them."""
    with_value = [name for k, name in enumerate(curve.names) if np.isfinite(curves.value[k]).any()]
    others = [name for name in with_value if name != MEAN]
    return others or with_value


def _caption(curve: LearningCurve, what: str) -> str:
    scope = "test samples only" if curve.seeds == (1,) else "seeds and test samples"
    return (
        f"{what} by number of training samples, mean over all levels of {curve.protocol} on {curve.dataset}. Larger "
        "sets contain the smaller ones, and the corrupted test samples are the same for all. Points are means over "
        f"{counted_seeds(curve)}; bars are 95 % intervals over {scope}."
    )
