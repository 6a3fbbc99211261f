"""Protocol I, random missing modalities: ACC7 by missing rate, measured and published."""

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
    scores_of,
    sources,
    value_with_half_width,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from published_marks import PUBLISHED_LOOK

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.figures.curves import draw_curves
from qamoe_bench.figures.style import QUIET, blank
from qamoe_bench.report.published import Published
from qamoe_bench.report.table import Table

RERUN_DASHES = {
    "MMIN": "-",
    "GCNet": (0, (5, 1.5)),
    "IMDer": (0, (3, 1.5)),
    "LNLN": (0, (1, 1)),
    "CyIN": (0, (5, 1, 1, 1)),
}
"""Methods that the authors of CyIN re-ran with one model for all rates, the closest known curves, and line styles."""


def make(evidence: Evidence) -> Exhibit:
    """Make the exhibit."""
    analysis = evidence.analysis("random-missing", metrics=("acc7", "mae"))
    lines = list(published_lines("mosi", "random-missing"))
    missing = 100 * float(analysis.realised["modalities"][-1])  # at the last level, η = 0.7
    return Exhibit(
        "random_missing",
        "Protocol I: random missing modalities",
        "ACC7 by missing rate. Left: rows of this suite on the embedded data, means over "
        f"{len(analysis.section.seeds)} seeds, with 95 % intervals as bands. Right: published for CMU-MOSI; hollow "
        "diamonds are the known numbers of the QA-MoE paper, lines are re-runs in the CyIN paper under its own "
        "protocol.",
        (_measured_table(analysis), _published_table(lines), _rerun_table()),
        (
            f"Another rate: because one modality is always kept, {missing:.1f} % of the modalities are missing here at "
            "the nominal rate 0.7. It is not stated whether QA-MoE keeps one; in CyIN, 0.7 means two of three.",
            "The printed 42.0 % is worded as an improvement; that it is the average ACC7 is [inferred]. Rates between "
            "0 and 0.7 are not known for QA-MoE, so there is no published curve to compare with ours.",
        ),
        _figure(analysis, lines),
    )


def _figure(analysis: Analysis, lines: list[Published]) -> Figure:
    figure = blank(PAGE_WIDTH, 3.6)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_curves(left, analysis, scores_of(analysis, "acc7"))
    left.set_title("ours, synthetic", loc="left")
    _draw_reruns(right)
    for line in lines:
        _draw_published_line(right, line)
    right.set(title="", xlabel=left.get_xlabel(), xticks=analysis.section.levels.numbers)  # the same axis as ours
    right.set_title("published, CMU-MOSI", loc="left")
    handles, names = left.get_legend_handles_labels()
    more_handles, more_names = right.get_legend_handles_labels()
    figure.legend([*handles, *more_handles], [*names, *more_names], loc="outside lower center", ncols=4)  # one for both
    return figure


def _draw_reruns(axes: Axes) -> None:
    for method, dashes in RERUN_DASHES.items():
        lines = [p for p in published_lines("mosi", "gcnet-missing") if p.method == method]
        curve = [p for p in lines if p.condition.startswith("eta=")]  # without the average
        rates = [_rate(p) for p in curve]
        label = f"{method} {mark(curve[0])}"
        axes.plot(rates, [p.values["acc7"] for p in curve], color=QUIET, linestyle=dashes, label=label)


def _draw_published_line(axes: Axes, line: Published) -> None:
    value = line.values["acc7"]
    if line.condition == "average":
        label = f"{line.method}, average {mark(line)}, our reading [inferred]"
        axes.axhline(value, color="black", linewidth=0.7, linestyle=(0, (8, 3)), label=label)
    else:
        # Only QA-MoE has the diamond that the caption explains.
        look = PUBLISHED_LOOK if line.method == "QA-MoE" else {**PUBLISHED_LOOK, "marker": "s"}
        axes.plot(_rate(line), value, **look, label=f"{line.method} {mark(line)}")


def _rate(line: Published) -> float:
    """The missing rate of a condition such as `eta=0.7`."""
    return float(line.condition.partition("=")[2])


def _measured_table(analysis: Analysis) -> Table:
    scores = scores_of(analysis, "acc7")
    names = list(analysis.section.conditions)
    columns = {
        names[0]: mean_over(scores, [0]),  # clean
        names[-1]: mean_over(scores, [len(names) - 1]),
        "mean over η > 0": mean_over(scores, corrupted(analysis)),
    }
    rows = []
    for i, row in enumerate(analysis.section.rows):
        rows.append((row.name, *(value_with_half_width(estimate, i, "acc7") for estimate in columns.values())))
    return Table("Ours, synthetic data, measured: ACC7 %", ("model", *columns), tuple(rows))


def _published_table(lines: list[Published]) -> Table:
    rows = tuple((p.method, p.condition, marked_value(p, "acc7"), p.note or "–") for p in lines)
    return Table("Published, CMU-MOSI: ACC7 %", ("method", "at", "ACC7 %", "note"), rows, sources(lines))


def _rerun_table() -> Table:
    conditions = ("eta=0.1", "eta=0.7", "average")
    lines = list(published_lines("mosi", "gcnet-missing", *conditions))
    rows = []
    for method in RERUN_DASHES:
        by_condition = {p.condition: p for p in lines if p.method == method}
        rows.append((method, *(marked_value(by_condition[c], "acc7") for c in conditions)))
    note = "re-run in the CyIN paper (NeurIPS 2025) under gcnet-missing, where 0.7 means two of three modalities"
    return Table("Published, CMU-MOSI, another protocol: ACC7 %", ("method", *conditions), tuple(rows), (note,))


if __name__ == "__main__":
    main(make, __doc__)
