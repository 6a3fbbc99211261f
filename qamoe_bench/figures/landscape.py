"""Heat maps over the plane of two corruptions: a metric of each row, and each row's difference from the control.

Dimension legend: M rows, S seeds, C conditions, P pairs.
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import CONTROL
from qamoe_bench.figures.captions import place, seed_count
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import difference_label, metric_axis_label, metric_name
from qamoe_bench.figures.plane import Panel, Plane, draw_panels, plane_of
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.statistics.intervals import differences

# Both colour maps are readable with colour-vision deficiencies, and those of the page: lighter is better, and blue is.
SEQUENTIAL = "cividis"
DIVERGING = LinearSegmentedColormap.from_list("better", ["#d55e00", "#e6e6e6", "#0072b2"])


def sequential(metric: Metric) -> str:
    """The colour map of a metric's values, whose light end is the better one."""
    return SEQUENTIAL if metric.better == "higher" else f"{SEQUENTIAL}_r"


def diverging(metric: Metric) -> Colormap:
    """The colour map of a metric's differences, whose blue end is the better one."""
    return DIVERGING if metric.better == "higher" else DIVERGING.reversed()


def landscape_figures(analysis: Analysis, width: float) -> Iterator[Drawing]:
    """Per metric a figure with a panel for each row, and one of the differences from the control if it is a row."""
    plane = plane_of(analysis.section)
    if plane is None:
        return
    where = f"protocol {place(analysis)}, means over {seed_count(analysis)}"
    for scores in analysis.scores:
        metric = scores.metric
        panels = value_panels(analysis, scores, plane)
        if panels:
            figure = draw_panels(panels, plane, metric_axis_label(metric), sequential(metric), width)
            caption = f"{metric_name(metric)} over the plane of both corruptions, {where}; lighter is better."
            yield Drawing(metric.name, figure, caption)
        panels = difference_panels(analysis, scores, plane, CONTROL)
        if panels:
            label = difference_label(metric, CONTROL)
            figure = draw_panels(panels, plane, label, diverging(metric), width, signed=True)
            yield Drawing(f"{metric.name}-difference", figure, _difference_caption(scores, CONTROL, where))


def value_panels(analysis: Analysis, scores: Scores, plane: Plane) -> list[Panel]:
    """A panel for each row that has values."""
    means = scores.means()  # (M, C)
    panels = []
    for i, row in enumerate(analysis.section.rows):
        if np.isfinite(means[i]).any():
            panels.append(Panel(row.name, plane.grid(scores.metric.scale * means[i])))
    return panels


def difference_panels(analysis: Analysis, scores: Scores, plane: Plane, other: str) -> list[Panel]:
    """Every trained or imported row minus the first of model `other`, significant cells marked; empty without it."""
    section = analysis.section
    control = section.find(other)
    if control is None:
        return []
    models = [i for i, row in enumerate(section.rows) if row.is_trained or row.is_imported]
    pairs = [(i, control) for i in models if i != control]
    if not pairs:
        return []
    trained = np.array([row.is_trained for row in section.rows])
    gaps = differences(*scores.reduced(), pairs, trained, scores.sample_freedom)  # (P, C)
    is_significant = gaps.two_sided() < 0.05  # per cell, without a correction
    panels = []
    for k, (i, _) in enumerate(pairs):
        title = f"{section.rows[i].name} − {section.rows[control].name}"
        panels.append(Panel(title, plane.grid(scores.metric.scale * gaps.value[k]), is_significant[k][plane.places]))
    return panels


def _difference_caption(scores: Scores, other: str, where: str) -> str:
    better = "positive (blue)" if scores.metric.better == "higher" else "negative (blue)"
    return (
        f"Difference in {metric_name(scores.metric)} from {other} on the same corrupted samples, {where}; {better} "
        f"values are better than {other}. A dot marks a difference whose own 95 % interval excludes 0, not corrected "
        "for the number of cells."
    )
