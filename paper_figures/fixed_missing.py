"""Protocol I, fixed missing modalities: the same subset for all samples."""

from dataclasses import replace

import numpy as np
from beside import (
    BROAD,
    Evidence,
    Exhibit,
    corrupted,
    lines,
    main,
    mark,
    over,
    printed,
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

MARKERS = {"MMIN": "o", "GCNet": "s", "IMDer": "^", "LNLN": "v", "CyIN": "D"}
"""Methods that the authors of CyIN re-ran on every subset, one model for all."""


def make(evidence: Evidence) -> Exhibit:
    """The exhibit."""
    found = evidence.analysis("fixed-missing", metrics=("acc7", "mae"))
    return Exhibit(
        "fixed_missing",
        "Protocol I: fixed missing modalities",
        "ACC7 where every sample has the same modalities, those named on the left. Left: rows of this suite on the "
        f"embedded data, means over {len(found.section.seeds)} seeds with 95 % intervals. Right: published re-runs on "
        "CMU-MOSI, hollow; CyIN's row of audio and vision is lost in the copy that we have and [inferred] from its "
        "average.",
        (*(_ours(found, metric) for metric in ("acc7", "mae")), *(_theirs(column) for column in ("acc7", "mae"))),
        (
            "The sources that we have give no number of QA-MoE for fixed subsets; re-runs of the CyIN paper (NeurIPS "
            "2025) stand in its place.",
            f"On CMU-MOSI text alone does nearly what all modalities do together: CyIN {_pair(_printed('CyIN'))}. On "
            f"the embedded data audio has more to add: c-mib {_pair(_measured(found, 'c-mib'))}.",
            "The published average is over the six proper subsets, as the last column of our tables.",
        ),
        _figure(found),
    )


def _pair(values: tuple[str, str]) -> str:
    return f"{values[0]} of {values[1]} % ACC7"


def _printed(method: str) -> tuple[str, str]:
    """ACC7 with text alone and with everything, in print."""
    known = {p.condition: p for p in _lines() if p.method == method}
    return printed(known["text"], "acc7"), printed(known["all"], "acc7")


def _measured(found: Analysis, model: str) -> tuple[str, str]:
    """The same of one of ours."""
    heads, scores, row = found.section.levels.labels, scores_of(found, "acc7"), row_of(found, model)
    text, whole = (float(over(found, scores, [heads.index(name)]).value[row]) for name in ("text", "all"))
    return f"{100 * text:.1f}", f"{100 * whole:.1f}"


def _figure(found: Analysis) -> Figure:
    figure = blank(BROAD, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_points(left, found, scores_of(found, "acc7"))
    left.set_title("ours, synthetic", loc="left")
    left.set_ylabel("modalities that are there")
    _draw_published(right, found.section.levels.labels)
    right.set_title("published, CMU-MOSI", loc="left")
    right.set_xlabel(left.get_xlabel())
    handles, names = left.get_legend_handles_labels()
    more, others = right.get_legend_handles_labels()
    figure.legend([*handles, *more], [*names, *others], loc="outside lower center", ncols=5)
    return figure


def _draw_published(axes: Axes, conditions: tuple[str, ...]) -> None:
    offsets = np.linspace(-0.3, 0.3, len(MARKERS))
    for (method, marker), offset in zip(MARKERS.items(), offsets, strict=True):
        known = [p for p in _lines() if p.method == method and p.condition in conditions and "acc7" in p.values]
        places = [conditions.index(p.condition) + offset for p in known]
        axes.plot(
            [p.values["acc7"] for p in known], places, marker, color="0.25", markerfacecolor="white", markersize=3.8,
            markeredgewidth=0.8, label=f"{method} {mark(known[0])}",
        )  # fmt: skip
    for place in range(1, len(conditions)):
        axes.axhline(place - 0.5, color="0.8", linewidth=0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _lines() -> list[Published]:
    """Published lines of subsets; the clean ones are those of all modalities."""
    whole = [replace(p, condition="all") for p in lines("mosi", "clean") if p.source.startswith("CyIN")]
    return [*whole, *lines("mosi", "fixed-missing")]


def _ours(found: Analysis, metric: str) -> Table:
    scores, heads = scores_of(found, metric), found.section.levels.labels
    columns = [over(found, scores, [i]) for i in range(len(heads))] + [over(found, scores, corrupted(found))]
    show = METRICS[metric].show
    rows = tuple((row.name, *(show(float(n.value[i])) for n in columns)) for i, row in enumerate(found.section.rows))
    wide = max(float(np.nanmax(n.interval()[1] - n.interval()[0])) for n in columns) / 2
    note = f"half of the widest 95 % interval: {show(wide)}"
    return Table(f"Ours, synthetic data, measured: {metric}", ("model", *heads, "average"), rows, (note,))


def _theirs(column: str) -> Table:
    conditions = ("all", "text", "audio", "vision", "text+audio", "text+vision", "audio+vision", "average")
    rows = []
    for method in MARKERS:
        known = {p.condition: p for p in _lines() if p.method == method}
        rows.append((method, *(printed(known[c], column) if c in known else "–" for c in conditions)))
    notes = ["source: CyIN (NeurIPS 2025), re-runs with BERT and ImageBind features; not QA-MoE's"]
    notes += [f"{p.method}, {p.condition}: {p.note}" for p in _lines() if p.note and p.condition in conditions]
    return Table(f"Published, CMU-MOSI: {column}", ("method", *conditions), tuple(rows), tuple(notes))


if __name__ == "__main__":
    main(make, __doc__)
