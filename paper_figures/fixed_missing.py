"""Protocol I, fixed missing modalities: the same subset of modalities for all samples."""

from dataclasses import replace

import numpy as np
from exhibit import (
    PAGE_WIDTH,
    Evidence,
    Exhibit,
    corrupted,
    main,
    mark,
    marked_value,
    mean_over,
    published_lines,
    row_of,
    scores_of,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.figures.points import draw_points
from qamoe_bench.figures.style import blank
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.report.published import Published
from qamoe_bench.report.table import Table

RERUN_MARKERS = {"MMIN": "o", "GCNet": "s", "IMDer": "^", "LNLN": "v", "CyIN": "D"}
"""Methods that the authors of CyIN re-ran on every subset with one model, and their markers."""
SUBSETS = ("all", "text", "audio", "vision", "text+audio", "text+vision", "audio+vision", "average")


def make(evidence: Evidence) -> Exhibit:
    """Make the exhibit."""
    analysis = evidence.analysis("fixed-missing", metrics=("acc7", "mae"))
    measured = (_measured_table(analysis, "acc7"), _measured_table(analysis, "mae"))
    return Exhibit(
        "fixed_missing",
        "Protocol I: fixed missing modalities",
        "ACC7 if every sample has the same modalities, named on the left. Left: rows of this suite on the embedded "
        f"data, means over {len(analysis.section.seeds)} seeds with 95 % intervals. Right: published re-runs on "
        "CMU-MOSI, hollow; CyIN's row of audio and vision is missing in our copy and [inferred] from its average.",
        (*measured, _published_table("acc7"), _published_table("mae")),
        (
            "Our sources contain no number of QA-MoE for fixed subsets; re-runs from the CyIN paper (NeurIPS 2025) are "
            "shown instead.",
            "On CMU-MOSI, text alone is nearly as good as all modalities together: CyIN "
            f"{_text_and_all(*_published_pair('CyIN'))}. On the embedded data, audio contributes more: c-mib "
            f"{_text_and_all(*_measured_pair(analysis, 'c-mib'))}.",
            "The published average is over the six proper subsets, as is the last column of our tables.",
        ),
        _figure(analysis),
    )


def _text_and_all(text: str, all_modalities: str) -> str:
    return f"{text} of {all_modalities} % ACC7"


def _published_pair(method: str) -> tuple[str, str]:
    """Published ACC7 with text alone and with all modalities."""
    by_condition = {p.condition: p for p in _subset_lines() if p.method == method}
    return marked_value(by_condition["text"], "acc7"), marked_value(by_condition["all"], "acc7")


def _measured_pair(analysis: Analysis, model: str) -> tuple[str, str]:
    """Measured ACC7 with text alone and with all modalities."""
    labels = analysis.section.levels.labels
    scores = scores_of(analysis, "acc7")
    row = row_of(analysis, model)
    text = float(mean_over(scores, [labels.index("text")]).value[row])
    everything = float(mean_over(scores, [labels.index("all")]).value[row])  # a share
    return f"{100 * text:.1f}", f"{100 * everything:.1f}"


def _figure(analysis: Analysis) -> Figure:
    figure = blank(PAGE_WIDTH, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_points(left, analysis, scores_of(analysis, "acc7"))
    left.set_title("ours, synthetic", loc="left")
    left.set_ylabel("available modalities")
    _draw_published(right, analysis.section.levels.labels)
    right.set_title("published, CMU-MOSI", loc="left")
    right.set_xlabel(left.get_xlabel())  # both panels show ACC7
    handles, names = left.get_legend_handles_labels()
    more_handles, more_names = right.get_legend_handles_labels()
    figure.legend([*handles, *more_handles], [*names, *more_names], loc="outside lower center", ncols=5)
    return figure


def _draw_published(axes: Axes, conditions: tuple[str, ...]) -> None:
    offsets = np.linspace(-0.3, 0.3, len(RERUN_MARKERS))  # conditions are 1 apart
    for (method, marker), offset in zip(RERUN_MARKERS.items(), offsets, strict=True):
        lines = [p for p in _subset_lines() if p.method == method and p.condition in conditions and "acc7" in p.values]
        heights = [conditions.index(p.condition) + offset for p in lines]
        axes.plot(
            [p.values["acc7"] for p in lines], heights, marker, color="0.25", markerfacecolor="white", markersize=3.8,
            markeredgewidth=0.8, label=f"{method} {mark(lines[0])}",
        )  # fmt: skip
    for border in range(1, len(conditions)):  # between conditions
        axes.axhline(border - 0.5, color="0.8", linewidth=0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _subset_lines() -> list[Published]:
    """Published lines of subsets; clean lines are those of all modalities."""
    clean = [replace(p, condition="all") for p in published_lines("mosi", "clean") if p.source.startswith("CyIN")]
    return [*clean, *published_lines("mosi", "fixed-missing")]


def _measured_table(analysis: Analysis, metric: str) -> Table:
    scores = scores_of(analysis, metric)
    labels = analysis.section.levels.labels
    estimates = [mean_over(scores, [i]) for i in range(len(labels))]  # (M,) each
    estimates.append(mean_over(scores, corrupted(analysis)))  # the average, as published, is without `all`
    show = METRICS[metric].show
    rows = []
    for i, row in enumerate(analysis.section.rows):
        rows.append((row.name, *(show(float(estimate.value[i])) for estimate in estimates)))
    widths = []
    for estimate in estimates:
        low, high = estimate.interval()
        widths.append(float(np.nanmax(high - low)))  # NaN: rows without a value
    note = f"half-width of the widest 95 % interval: {show(max(widths) / 2)}"
    title = f"Ours, synthetic data, measured: {metric}"
    return Table(title, ("model", *labels, "average"), tuple(rows), (note,))


def _published_table(column: str) -> Table:
    rows = []
    for method in RERUN_MARKERS:
        by_condition = {p.condition: p for p in _subset_lines() if p.method == method}
        cells = [marked_value(by_condition[c], column) if c in by_condition else "–" for c in SUBSETS]
        rows.append((method, *cells))
    notes = ["source: CyIN (NeurIPS 2025), re-runs with BERT and ImageBind features; not from QA-MoE"]
    notes += [f"{p.method}, {p.condition}: {p.note}" for p in _subset_lines() if p.note and p.condition in SUBSETS]
    return Table(f"Published, CMU-MOSI: {column}", ("method", *SUBSETS), tuple(rows), tuple(notes))


if __name__ == "__main__":
    main(make, __doc__)
