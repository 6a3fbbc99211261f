"""Error and accuracy by the number k of active experts."""

import numpy as np
from exhibit import (
    PAGE_WIDTH,
    SOURCE,
    Evidence,
    Exhibit,
    all_conditions,
    gap,
    main,
    mean_over,
    row_of,
    scores_of,
    signed,
    value_with_half_width,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.figures.labels import difference_label, metric_axis_label
from qamoe_bench.figures.palette import styles
from qamoe_bench.figures.style import QUIET, blank
from qamoe_bench.report.table import Table

PUBLISHED_BEST_K = 3  # [secondary]; no other number of the sweep is known
MODEL_OF_K = {1: "qa-moe:k=1", 2: "qa-moe:k=2", 3: "qa-moe", 8: "qa-moe:k=8"}
SWEEP_METRICS = ("acc7", "mae")
ValueWithEnds = tuple[float, float, float]
"""A value and the ends of its interval."""


def make(evidence: Evidence) -> Exhibit:
    """Make the exhibit."""
    analysis = evidence.analysis("random-missing", tuple(MODEL_OF_K.values()), SWEEP_METRICS)
    gaps = {}
    for k, model in MODEL_OF_K.items():
        if k != PUBLISHED_BEST_K:
            gaps[k] = gap(analysis, "mae", model, MODEL_OF_K[PUBLISHED_BEST_K], all_conditions(analysis))
    return Exhibit(
        "k_sweep",
        "Number of active experts",
        "MAE, mean over all missing rates of random-missing, by the number k of active experts, out of eight per "
        f"modality; embedded data, {len(analysis.section.seeds)} seeds, 95 % intervals. Right: differences from k = 3 "
        "on the same samples, which are known more precisely than the values. The dashed line is the best published k.",
        (_measured_table(analysis, gaps), _published_table()),
        (
            "Data, protocol, metric and values of the published sweep are not known.",
            f"Here {_significant(gaps)}; pairs are compared on the same samples, intervals are those of single pairs.",
            "It is not stated whether the gate is renormalised over the selected experts; ours is [inferred].",
        ),
        _figure(analysis, gaps),
    )


def _significant(gaps: dict[int, ValueWithEnds]) -> str:
    significant = [f"k = {k} ({signed('mae', g)})" for k, g in gaps.items() if g[1] > 0 or g[2] < 0]
    if significant:
        return f"MAE differs significantly from k = 3 at {', '.join(significant)}"
    return "no k differs significantly from k = 3"


def _figure(analysis: Analysis, gaps: dict[int, ValueWithEnds]) -> Figure:
    figure = blank(PAGE_WIDTH, 2.3)
    left, right = figure.subplots(1, 2)
    scores = scores_of(analysis, "mae")
    estimate = mean_over(scores, all_conditions(analysis))  # (M,)
    low, high = estimate.interval()
    rows = [row_of(analysis, model) for model in MODEL_OF_K.values()]  # in the order of k
    _draw(left, [(float(estimate.value[i]), float(low[i]), float(high[i])) for i in rows])
    left.set_ylabel(metric_axis_label(scores.metric))
    _draw(right, [gaps.get(k, (0.0, 0.0, 0.0)) for k in MODEL_OF_K])  # k = 3 minus itself is 0
    right.axhline(0, color=QUIET, linewidth=0.8)
    right.set_ylabel(difference_label(scores.metric, f"k = {PUBLISHED_BEST_K}").replace(" (", "\n("))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)  # the same on both sides
    return figure


def _draw(axes: Axes, values: list[ValueWithEnds]) -> None:
    middle, low, high = np.array(values).T  # (K, 3) -> three of (K,)
    axes.axvline(
        PUBLISHED_BEST_K, color=QUIET, linestyle=(0, (4, 2)), linewidth=0.8, label="best k, published [secondary]"
    )
    colour = styles(["qa-moe"])["qa-moe"].colour
    axes.errorbar(
        list(MODEL_OF_K), middle, yerr=[middle - low, high - middle], marker="o", color=colour, elinewidth=0.9,
        label="qa-moe, ours, synthetic",
    )  # fmt: skip
    axes.set(xlabel="active experts k (number)", xticks=list(MODEL_OF_K))


def _measured_table(analysis: Analysis, gaps: dict[int, ValueWithEnds]) -> Table:
    estimates = {m: mean_over(scores_of(analysis, m), all_conditions(analysis)) for m in SWEEP_METRICS}
    rows = []
    for k, model in MODEL_OF_K.items():
        i = row_of(analysis, model)
        values = [value_with_half_width(estimate, i, metric) for metric, estimate in estimates.items()]
        rows.append((str(k), *values, signed("mae", gaps[k]) if k in gaps else "–"))
    head = ("k", "ACC7 % over η", "MAE over η", f"Δ MAE from k = {PUBLISHED_BEST_K}")
    return Table("Ours, synthetic data, measured", head, tuple(rows))


def _published_table() -> Table:
    row = ("best number of active experts", f"{PUBLISHED_BEST_K} [secondary]")
    return Table("Published", ("quantity", "k"), (row,), (f"source: {SOURCE}",))


if __name__ == "__main__":
    main(make, __doc__)
