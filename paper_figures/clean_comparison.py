"""The clean comparison: no corruption in the test samples, ours on the embedded data above CMU-MOSI in print."""

import numpy as np
from beside import (
    BROAD,
    Evidence,
    Exhibit,
    gap,
    lines,
    main,
    mark,
    over,
    printed,
    signed,
    value_with_interval,
)
from matplotlib.figure import Figure
from published_marks import draw_dots, named

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.figures.labels import unit_label
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import MARKER_CODES, QUIET, blank
from qamoe_bench.report.published import PUBLISHED_METRICS, Published
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import METRIC_LABELS

BASELINES = ("TFN", "LMF", "MulT", "MISA", "MMIM", "EMOE", "MMA", "C-MIB", "MM-Boosting", "SAM-LML", "QA-MoE")
"""The methods of the paper's clean table, as far as numbers of theirs are known."""
SHOWN = {"acc2": "acc2_non0", "acc7": "acc7", "mae": "mae", "corr": "corr"}


def make(evidence: Evidence) -> Exhibit:
    """The exhibit."""
    found = evidence.analysis("random-missing")
    known = [p for name in BASELINES for p in lines("mosi", "clean") if p.method == name]
    other = max((p for p in known if p.method != "QA-MoE" and "acc7" in p.values), key=lambda p: p.values["acc7"])
    own = next(p for p in known if p.method == "QA-MoE")
    lead = signed("acc7", gap(found, "acc7", "qa-moe", "late-fusion", [_clean(found)]))
    return Exhibit(
        "clean_comparison",
        "Clean comparison",
        "Accuracy and error without any corruption. Above the line: rows of this suite on the embedded data, means "
        f"over {len(found.section.seeds)} seeds with 95 % intervals for other seeds and other test samples. Below it: "
        "what is published for CMU-MOSI, hollow, with the mark of how well each number is known.",
        (_ours(found), _theirs(known)),
        (
            "The published models were trained on clean data [secondary], ours on the whole spectrum of corruption.",
            f"ACC7 of QA-MoE in print, {printed(own, 'acc7')}, is above that of every other method of its list, at "
            f"most {printed(other, 'acc7')} ({other.method}). Here `qa-moe` minus late fusion with the same encoders "
            f"is {lead} points.",
        ),
        _figure(found, known),
    )


def _clean(found: Analysis) -> int:
    assert found.section.clean is not None
    return found.section.clean


def _figure(found: Analysis, known: list[Published]) -> Figure:
    rows = found.section.rows
    names = [row.name for row in rows]
    figure = blank(BROAD, 0.7 + 0.15 * (len(rows) + len(known)))
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    looks = styles(names)
    for axes, (column, metric) in zip(panels, SHOWN.items(), strict=True):
        scores = next(s for s in found.scores if s.metric.name == metric)
        numbers, scale = over(found, scores, [_clean(found)]), scores.metric.scale
        low, high = numbers.interval()
        for i, name in enumerate(names):
            colour, place = looks[name].colour, i
            axes.plot([scale * low[i], scale * high[i]], [place, place], color=colour, linewidth=1)
            axes.plot(scale * numbers.value[i], place, MARKER_CODES[looks[name].marker], color=colour, markersize=4)
        there = [k for k, p in enumerate(known) if column in p.values]
        draw_dots(axes, [known[k].values[column] for k in there], [len(rows) + k for k in there])
        axes.axhline(len(rows) - 0.5, color=QUIET, linewidth=0.8)
        axes.set_xlabel(f"{METRIC_LABELS[metric]}\n({unit_label(scores.metric)}; {scores.metric.better} is better)")
        axes.grid(visible=True, axis="y")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(np.arange(len(rows) + len(known)), [*names, *map(named, known)])
    panels[0].set_ylim(len(rows) + len(known) - 0.5, -0.5)
    panels[0].set_ylabel("published, CMU-MOSI            ours, synthetic")
    return figure


def _ours(found: Analysis) -> Table:
    clean = _clean(found)
    numbers = {s.metric.name: over(found, s, [clean]) for s in found.scores}
    rows = tuple(
        (row.name, *(value_with_interval(numbers[m], i, m) for m in SHOWN.values()))
        for i, row in enumerate(found.section.rows)
    )
    return Table("Ours, synthetic data, measured", ("model", "ACC2 %", "ACC7 %", "MAE", "Corr"), rows)


def _theirs(known: list[Published]) -> Table:
    rows = tuple((p.method, *(printed(p, c) for c in PUBLISHED_METRICS), p.backbone or "not stated") for p in known)
    sources = dict.fromkeys(f"{mark(p)} {p.source}" for p in known)
    return Table(
        "Published, CMU-MOSI", ("method", "ACC2 %", "F1 %", "ACC7 %", "MAE", "Corr", "backbone"), rows,
        ("sources: " + "; ".join(sources),),
    )  # fmt: skip


if __name__ == "__main__":
    main(make, __doc__)
