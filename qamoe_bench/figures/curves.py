"""Robustness curves: a metric over the levels of a sweep, with 95 % intervals as bands.

Dimension legend: M rows, L levels.
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores, over_conditions
from qamoe_bench.analysis.section import CONTROL, MEAN
from qamoe_bench.figures.captions import interval_scope, place, seed_count
from qamoe_bench.figures.direct_labels import fit_beside, label_ends
from qamoe_bench.figures.drawing import Drawing
from qamoe_bench.figures.labels import metric_axis_label, metric_name
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import BROAD, blank, legend, legend_height, line
from qamoe_bench.vocabulary import axis_label

CURVE_PANEL_HEIGHT = 2.1  # inches
BAND_OPACITY = 0.15
MOST_BANDS = 4
"""Of more rows only three have a band, because overlapping bands hide each other."""


def curve_figures(analysis: Analysis, width: float) -> Iterator[Drawing]:
    """One figure per metric, if the levels of the protocol are numbers."""
    if len(analysis.section.levels.numbers) < 2:
        return
    names = [row.name for row in analysis.section.rows]
    # Panels are taller where no legend is below them: it is to the right, or curves are named at their ends.
    is_direct = fit_beside(names)
    height = 1.3 * CURVE_PANEL_HEIGHT
    if width < BROAD and not is_direct:
        height = CURVE_PANEL_HEIGHT + 0.3 + legend_height(names, width)
    for scores in analysis.scores:
        figure = blank(width, height)
        axes = figure.add_subplot()
        draw_curves(axes, analysis, scores)
        if is_direct:
            label_ends(axes, _ends(axes), styles(names), height - 0.5)  # .5 inches for the horizontal axis
        else:
            legend(figure, *axes.get_legend_handles_labels())
        yield Drawing(scores.metric.name, figure, _caption(analysis, scores))


def draw_curves(axes: Axes, analysis: Analysis, scores: Scores) -> None:
    """Draw the curve of every row with its band; rows without a value are left out."""
    rows = analysis.section.rows
    levels = analysis.section.levels
    metric = scores.metric
    estimate = scores.estimate(levels.means)  # (M, L)
    # Intervals are symmetric; beyond the range of the metric they would mislead.
    low, high = (np.clip(end, *metric.range) for end in estimate.interval())
    looks = styles(row.name for row in rows)
    bands = _rows_with_band(analysis, scores)
    for i in _drawn_rows(analysis, scores):
        row = rows[i]
        look = line(looks[row.name])
        if i in bands:
            ends = (metric.scale * low[i], metric.scale * high[i])
            axes.fill_between(levels.numbers, *ends, color=look["color"], alpha=BAND_OPACITY, linewidth=0)
        axes.plot(levels.numbers, metric.scale * estimate.value[i], label=row.name, **look)
    axes.set(xlabel=axis_label(levels.axis), ylabel=metric_axis_label(metric), xticks=levels.numbers)
    axes.margins(x=0.02)


def _ends(axes: Axes) -> dict[str, tuple[float, float]]:
    """The last point of each curve."""
    ends = {}
    for curve in axes.get_lines():
        x = np.asarray(curve.get_xdata(), np.float64)
        y = np.asarray(curve.get_ydata(), np.float64)
        known = y[np.isfinite(y)]  # a level may have no value
        if len(known):
            ends[str(curve.get_label())] = (float(x[-1]), float(known[-1]))
    return ends


def _drawn_rows(analysis: Analysis, scores: Scores) -> list[int]:
    """Indices of the rows with a value, without `mean` if there are others, because it would compress them."""
    rows = analysis.section.rows
    with_value = [i for i in range(len(rows)) if np.isfinite(scores.values[i]).any()]
    others = [i for i in with_value if rows[i].model != MEAN]
    return others if len(others) > 1 else with_value


def _rows_with_band(analysis: Analysis, scores: Scores) -> set[int]:
    return rows_with_interval(analysis, scores, _drawn_rows(analysis, scores))


def rows_with_interval(analysis: Analysis, scores: Scores, drawn: list[int]) -> set[int]:
    """Indices of all drawn rows if they are few or limits alone, else of the best model, the control and the oracle."""
    rows = analysis.section.rows
    models = [i for i in drawn if not rows[i].is_limit]
    if len(drawn) <= MOST_BANDS or not models:
        return set(drawn)
    mean = scores.metric.sign * scores.means(over_conditions)  # (M,)
    best = max(models, key=lambda i: mean[i] if np.isfinite(mean[i]) else -np.inf)
    return {best} | {i for i in drawn if rows[i].is_oracle or rows[i].model == CONTROL}


def _caption(analysis: Analysis, scores: Scores) -> str:
    drawn = _drawn_rows(analysis, scores)
    has_all_bands = len(_rows_with_band(analysis, scores)) == len(drawn)
    bands = "bands" if has_all_bands else f"the bands of the best model, {CONTROL} and the oracle"
    sentences = [
        f"{metric_name(scores.metric)} by level, protocol {place(analysis)}.",
        f"Lines are means over {seed_count(analysis)}; {bands} are 95 % intervals over {interval_scope(analysis)}.",
        "All rows are evaluated on the same corrupted samples, so differences between rows are known more precisely "
        "than the bands suggest.",
    ]
    if any(row.model == MEAN and i not in drawn for i, row in enumerate(analysis.section.rows)):
        sentences.append(f"{MEAN} is left out because it is far worse.")
    for note in analysis.section.levels.notes:
        sentences.append(f"{note[0].upper()}{note[1:]}.")
    return " ".join(sentences)
