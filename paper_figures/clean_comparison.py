"""The clean comparison, without corruption: our rows on the embedded data above published ones on CMU-MOSI."""

import numpy as np
from exhibit import (
    PAGE_WIDTH,
    Evidence,
    Exhibit,
    gap,
    main,
    mark,
    marked_value,
    mean_over,
    published_lines,
    scores_of,
    signed,
    value_with_half_width,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from published_marks import draw_published, method_with_mark

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.figures.labels import unit_label
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import MARKER_CODES, QUIET, blank
from qamoe_bench.report.published import PUBLISHED_METRICS, Published
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import METRIC_LABELS

PUBLISHED_METHODS = (
    "TFN", "LMF", "MulT", "MISA", "MMIM", "EMOE", "MMA", "C-MIB", "MM-Boosting", "SAM-LML", "QA-MoE",
)  # fmt: skip
"""The methods of the paper's clean table that have known numbers."""
PANEL_METRICS = {"acc2": "acc2_non0", "acc7": "acc7", "mae": "mae", "corr": "corr"}
"""Columns of published numbers and metrics of the panels."""


def make(evidence: Evidence) -> Exhibit:
    """Make the exhibit."""
    analysis = evidence.analysis("random-missing")
    lines = []
    for name in PUBLISHED_METHODS:
        lines += [p for p in published_lines("mosi", "clean") if p.method == name]
    others = [p for p in lines if p.method != "QA-MoE" and "acc7" in p.values]
    best_other = max(others, key=lambda p: p.values["acc7"])  # the strongest competitor in print
    qa_moe = next(p for p in lines if p.method == "QA-MoE")
    lead = signed("acc7", gap(analysis, "acc7", "qa-moe", "late-fusion", [_clean(analysis)]))
    return Exhibit(
        "clean_comparison",
        "Clean comparison",
        "Accuracy and error without corruption. Above the line: rows of this suite on the embedded data, means over "
        f"{len(analysis.section.seeds)} seeds with 95 % intervals over seeds and test samples. Below it: published "
        "numbers for CMU-MOSI, hollow, with the mark of how each number is known.",
        (_measured_table(analysis), _published_table(lines)),
        (
            "The published models were trained on clean data [secondary], ours on the whole spectrum of corruption.",
            f"The published ACC7 of QA-MoE, {marked_value(qa_moe, 'acc7')}, is above that of every other method of its "
            f"list, at most {marked_value(best_other, 'acc7')} ({best_other.method}). Here `qa-moe` minus late fusion "
            f"with the same encoders is {lead} points.",
        ),
        _figure(analysis, lines),
    )


def _clean(analysis: Analysis) -> int:
    assert analysis.section.clean is not None  # random-missing begins at η = 0
    return analysis.section.clean


def _figure(analysis: Analysis, lines: list[Published]) -> Figure:
    names = [row.name for row in analysis.section.rows]
    count = len(names) + len(lines)
    figure = blank(PAGE_WIDTH, 0.7 + 0.15 * count)  # inches: .15 per row
    panels = figure.subplots(1, len(PANEL_METRICS), sharey=True)
    for axes, (column, metric_name) in zip(panels, PANEL_METRICS.items(), strict=True):
        scores = scores_of(analysis, metric_name)
        _draw_measured(axes, analysis, scores)
        available = [k for k, p in enumerate(lines) if column in p.values]  # not every method has every metric
        draw_published(axes, [lines[k].values[column] for k in available], [len(names) + k for k in available])
        axes.axhline(len(names) - 0.5, color=QUIET, linewidth=0.8)  # measured above, published below
        unit = unit_label(scores.metric) or "no unit"
        axes.set_xlabel(f"{METRIC_LABELS[metric_name]}\n({unit}; {scores.metric.better} is better)")
        axes.grid(visible=True, axis="y")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(np.arange(count), [*names, *map(method_with_mark, lines)])
    panels[0].set_ylim(count - 0.5, -0.5)  # the first row on top
    panels[0].set_ylabel("published, CMU-MOSI            ours, synthetic")
    return figure


def _draw_measured(axes: Axes, analysis: Analysis, scores: Scores) -> None:
    estimate = mean_over(scores, [_clean(analysis)])  # (M,)
    low, high = estimate.interval()
    scale = scores.metric.scale
    looks = styles(row.name for row in analysis.section.rows)
    for i, row in enumerate(analysis.section.rows):
        look = looks[row.name]
        axes.plot([scale * low[i], scale * high[i]], [i, i], color=look.colour, linewidth=1)
        axes.plot(scale * estimate.value[i], i, MARKER_CODES[look.marker], color=look.colour, markersize=4)


def _measured_table(analysis: Analysis) -> Table:
    clean = _clean(analysis)
    estimates = {metric: mean_over(scores_of(analysis, metric), [clean]) for metric in PANEL_METRICS.values()}
    rows = []
    for i, row in enumerate(analysis.section.rows):
        cells = [value_with_half_width(estimate, i, metric) for metric, estimate in estimates.items()]
        rows.append((row.name, *cells))
    return Table("Ours, synthetic data, measured", ("model", "ACC2 %", "ACC7 %", "MAE", "Corr"), tuple(rows))


def _published_table(lines: list[Published]) -> Table:
    rows = []
    for line in lines:
        cells = [marked_value(line, column) for column in PUBLISHED_METRICS]
        rows.append((line.method, *cells, line.backbone or "not stated"))
    marked_sources = dict.fromkeys(f"{mark(line)} {line.source}" for line in lines)  # each once, in order
    head = ("method", "ACC2 %", "F1 %", "ACC7 %", "MAE", "Corr", "backbone")
    return Table("Published, CMU-MOSI", head, tuple(rows), ("sources: " + "; ".join(marked_sources),))


if __name__ == "__main__":
    main(make, __doc__)
