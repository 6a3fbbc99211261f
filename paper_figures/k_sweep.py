"""How many experts should answer: error and accuracy by k."""

import numpy as np
from beside import (
    BROAD,
    DATA,
    MODELS_DIFFER,
    ONE_CHECKPOINT,
    SOURCE,
    Evidence,
    Exhibit,
    gap,
    main,
    over,
    plus_minus,
    row_of,
    scores_of,
    signed,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qamoe_bench.figures.labels import metric_label
from qamoe_bench.figures.style import QUIET, blank
from qamoe_bench.report.analysis import Analysis
from qamoe_bench.report.palette import styles
from qamoe_bench.report.table import Table

PUBLISHED = 3
"""The best k in print [secondary]; no numbers beside it are known."""
EXPERTS = {1: "qa-moe:k=1", 2: "qa-moe:k=2", 3: "qa-moe", 8: "qa-moe:k=8"}
METRICS = ("acc7", "mae")


def make(evidence: Evidence) -> Exhibit:
    """The exhibit."""
    found = evidence.analysis("random-missing", tuple(EXPERTS.values()), METRICS)
    whole = range(len(found.section.conditions))
    gaps = {k: gap(found, "mae", model, EXPERTS[PUBLISHED], whole) for k, model in EXPERTS.items() if k != PUBLISHED}
    sure = [f"k = {k} ({signed('mae', g)})" for k, g in gaps.items() if g[1] > 0 or g[2] < 0]
    said = f"differ for certain from k = 3 in MAE: {', '.join(sure)}" if sure else "no k differs for certain from k = 3"
    return Exhibit(
        "k_sweep",
        "How many experts answer",
        "Means over all missing rates of random-missing by the number k of eight experts that answer for a modality, "
        f"embedded data, {len(found.section.seeds)} seeds, 95 % intervals for other seeds and other test samples. The "
        "vertical line is the best k in print.",
        (_ours(found, gaps), _theirs()),
        (
            DATA,
            MODELS_DIFFER,
            ONE_CHECKPOINT,
            "Which data, protocol and metric the published sweep is of is not known, nor its values.",
            f"Here {said}; pairs are compared on the same samples, intervals are of single pairs.",
            "Whether the gate is renormalised over the experts that are kept is not stated; ours is [inferred].",
        ),
        _figure(found),
    )


def _figure(found: Analysis) -> Figure:
    figure = blank(BROAD, 2.3)
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        _draw(axes, found, metric)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, found: Analysis, metric: str) -> None:
    scores = scores_of(found, metric)
    numbers, scale = over(found, scores, range(len(found.section.conditions))), scores.metric.scale
    low, high = numbers.interval()
    places = [row_of(found, model) for model in EXPERTS.values()]
    value, reach = (scale * x[places] for x in (numbers.value, np.stack([numbers.value - low, high - numbers.value]).T))
    axes.errorbar(
        list(EXPERTS), value, yerr=reach.T, marker="o", color=styles(["qa-moe"])["qa-moe"].colour, elinewidth=0.9,
        label="qa-moe, ours, synthetic",
    )  # fmt: skip
    axes.axvline(PUBLISHED, color=QUIET, linestyle=(0, (4, 2)), linewidth=0.8, label="best k, published [secondary]")
    axes.set(xlabel="experts that answer, k (number)", ylabel=metric_label(scores.metric), xticks=list(EXPERTS))


def _ours(found: Analysis, gaps: dict[int, tuple[float, float, float]]) -> Table:
    whole = range(len(found.section.conditions))
    rows = []
    for k, model in EXPERTS.items():
        i = row_of(found, model)
        numbers = (plus_minus(over(found, scores_of(found, m), whole), i, m) for m in METRICS)
        rows.append((str(k), *numbers, signed("mae", gaps[k]) if k in gaps else "–"))
    head = ("k", "ACC7 % over η", "MAE over η", f"Δ MAE from k = {PUBLISHED}")
    return Table("Ours, synthetic data, measured", head, tuple(rows))


def _theirs() -> Table:
    row = ("best number of experts that answer", f"{PUBLISHED} [secondary]")
    return Table("Published", ("what", "k"), (row,), (f"source: {SOURCE}",))


if __name__ == "__main__":
    main(make, __doc__)
