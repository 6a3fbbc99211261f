"""How many experts should answer: error and accuracy by k."""

import numpy as np
from beside import (
    BROAD,
    SOURCE,
    Evidence,
    Exhibit,
    gap,
    main,
    over,
    row_of,
    scores_of,
    signed,
    value_with_interval,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.figures.labels import difference_label, metric_axis_label
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import QUIET, blank
from qamoe_bench.report.table import Table

PUBLISHED = 3
"""The best k in print [secondary]; no numbers beside it are known."""
EXPERTS = {1: "qa-moe:k=1", 2: "qa-moe:k=2", 3: "qa-moe", 8: "qa-moe:k=8"}
METRICS = ("acc7", "mae")
Numbers = tuple[float, float, float]
"""A value and the ends of its interval."""


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
        "MAE, mean over all missing rates of random-missing, by the number k of eight experts that answer for a "
        f"modality; embedded data, {len(found.section.seeds)} seeds, 95 % intervals. Right: differences from k = 3 on "
        "the same samples, which are surer than the values. The dashed line is the best k in print.",
        (_ours(found, gaps), _theirs()),
        (
            "Which data, protocol and metric the published sweep is of is not known, nor its values.",
            f"Here {said}; pairs are compared on the same samples, intervals are of single pairs.",
            "Whether the gate is renormalised over the experts that are kept is not stated; ours is [inferred].",
        ),
        _figure(found, gaps),
    )


def _figure(found: Analysis, gaps: dict[int, Numbers]) -> Figure:
    figure = blank(BROAD, 2.3)
    left, right = figure.subplots(1, 2)
    scores = scores_of(found, "mae")
    numbers = over(found, scores, range(len(found.section.conditions)))
    low, high = numbers.interval()
    rows = [row_of(found, model) for model in EXPERTS.values()]
    _draw(left, [(float(numbers.value[i]), float(low[i]), float(high[i])) for i in rows])
    left.set_ylabel(metric_axis_label(scores.metric))
    _draw(right, [gaps.get(k, (0.0, 0.0, 0.0)) for k in EXPERTS])
    right.axhline(0, color=QUIET, linewidth=0.8)
    right.set_ylabel(f"{difference_label(scores.metric, f'k = {PUBLISHED}')}".replace(" (", "\n("))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, values: list[Numbers]) -> None:
    middle, low, high = (np.array(part) for part in zip(*values, strict=True))
    axes.axvline(PUBLISHED, color=QUIET, linestyle=(0, (4, 2)), linewidth=0.8, label="best k, published [secondary]")
    colour = styles(["qa-moe"])["qa-moe"].colour
    axes.errorbar(
        list(EXPERTS), middle, yerr=[middle - low, high - middle], marker="o", color=colour, elinewidth=0.9,
        label="qa-moe, ours, synthetic",
    )  # fmt: skip
    axes.set(xlabel="experts that answer, k (number)", xticks=list(EXPERTS))


def _ours(found: Analysis, gaps: dict[int, Numbers]) -> Table:
    whole = range(len(found.section.conditions))
    rows = []
    for k, model in EXPERTS.items():
        i = row_of(found, model)
        numbers = (value_with_interval(over(found, scores_of(found, m), whole), i, m) for m in METRICS)
        rows.append((str(k), *numbers, signed("mae", gaps[k]) if k in gaps else "–"))
    head = ("k", "ACC7 % over η", "MAE over η", f"Δ MAE from k = {PUBLISHED}")
    return Table("Ours, synthetic data, measured", head, tuple(rows))


def _theirs() -> Table:
    row = ("best number of experts that answer", f"{PUBLISHED} [secondary]")
    return Table("Published", ("what", "k"), (row,), (f"source: {SOURCE}",))


if __name__ == "__main__":
    main(make, __doc__)
