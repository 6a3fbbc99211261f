"""The plane of two corruptions: a metric of each row, and each row's difference from the control, as heat maps."""

from collections.abc import Iterator

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import CONTROL
from qamoe_bench.figures.curves import seeds
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import difference_label, metric_label, metric_name
from qamoe_bench.figures.plane import Panel, Plane, draw_panels, plane_of
from qamoe_bench.statistics.intervals import differences, mean_of_defined

SEQUENTIAL, DIVERGING = "viridis", "PuOr"  # colour maps that colour-blind readers can follow


def landscapes(found: Analysis, width: float) -> Iterator[Drawing]:
    """Per metric a figure with a panel for each row, and one of the differences from the control where it is a row."""
    plane = plane_of(found.section)
    if plane is None:
        return
    where = f"protocol {found.section.protocol} on {found.section.dataset}, means over {seeds(found)}"
    for scores in found.scores:
        metric, panels = scores.metric, value_panels(found, scores, plane)
        if panels:
            figure = draw_panels(panels, plane, metric_label(metric), SEQUENTIAL, width)
            yield Drawing(metric.name, figure, f"{metric_name(metric)} over the plane of both corruptions, {where}.")
        if panels := difference_panels(found, scores, plane, CONTROL):
            label = difference_label(metric, CONTROL)
            figure = draw_panels(panels, plane, label, DIVERGING, width, signed=True)
            yield Drawing(f"{metric.name}-difference", figure, difference_caption(scores, CONTROL, where))


def value_panels(found: Analysis, scores: Scores, plane: Plane) -> list[Panel]:
    """A panel of each row that has values."""
    means = mean_of_defined(scores.values, 1)  # (M, C)
    return [
        Panel(row.name, plane.grid(scores.metric.scale * means[i]))
        for i, row in enumerate(found.section.rows)
        if np.isfinite(means[i]).any()
    ]


def difference_panels(found: Analysis, scores: Scores, plane: Plane, other: str) -> list[Panel]:
    """Every trained row minus the first one of a model, sure cells marked; none where that is no row."""
    section = found.section
    control = section.find(other)
    if control is None:
        return []
    pairs = [(i, control) for i, row in enumerate(section.rows) if i != control and row.is_trained]
    if not pairs:
        return []
    trained = np.array([row.is_trained for row in section.rows])
    gaps = differences(scores.values, scores.resampled, pairs, trained)
    sure = gaps.two_sided() < 0.05
    return [
        Panel(
            f"{section.rows[i].name} − {section.rows[control].name}",
            plane.grid(scores.metric.scale * gaps.value[k]),
            sure[k][plane.places],
        )
        for k, (i, _) in enumerate(pairs)
    ]


def difference_caption(scores: Scores, other: str, where: str) -> str:
    """What colours and dots mean."""
    better = "positive" if scores.metric.better == "higher" else "negative"
    return (
        f"Difference in {metric_name(scores.metric)} from {other} on the same corrupted samples, {where}; {better} is "
        "better than it. A dot marks a difference whose own 95 % interval excludes zero, not corrected for the number "
        "of cells."
    )
