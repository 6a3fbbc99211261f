"""Calibration of predicted variances: the share of labels inside prediction intervals, by nominal level."""

from collections.abc import Collection, Mapping
from functools import lru_cache

import altair as alt
import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.audits import COVERAGE
from qamoe_bench.figures.palette import ORACLE_COLOUR
from qamoe_bench.page.figure import ChartColumns, Figure, comma_list, json_numbers
from qamoe_bench.page.marks import row_colour, row_dash, row_data, row_marker, specification, tips
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.statistics.intervals import mean_of_defined

# Largest mean distance from the diagonal of a model that counts as calibrated
CALIBRATED_GAP = 0.03

OF_VARIANCES = (
    "Share of labels inside the central prediction interval of each nominal level, with σ² as the variance of a normal "
    "distribution, over all conditions. Below the dotted diagonal a model is overconfident."
)
OF_PROBABILITIES = (
    "Share of right decisions among those that the model gives about this probability, over all conditions. Below the "
    "dotted diagonal a model is overconfident."
)
# Titles of the two axes
AXES_OF_VARIANCES = ("nominal level, %", "labels inside, %")
AXES_OF_PROBABILITIES = ("probability of the decision, %", "right decisions, %")

# By row name, the share of labels inside the interval of each level of `COVERAGE`, (K,)
Coverage = Mapping[str, NDArray[np.float64]]


def calibration_figure(analysis: Analysis) -> Figure:
    """Coverage against the nominal level, averaged over all conditions."""
    coverage = {name: mean_of_defined(audit.covered) for name, audit in analysis.uncertainty.items()}  # (C, K) -> (K,)
    is_regression = analysis.section.task.is_regression
    return Figure(
        kind="calibration",
        title=f"Calibration of the predicted {'variances' if is_regression else 'probabilities'}",
        sentences=by_regime(analysis.section, lambda rows: _sentence(analysis, coverage, rows)),
        about=OF_VARIANCES if is_regression else OF_PROBABILITIES,
        spec=_spec(AXES_OF_VARIANCES if is_regression else AXES_OF_PROBABILITIES),
        columns=_columns(coverage),
    )


def _columns(coverage: Coverage) -> ChartColumns:
    levels = [100 * level for level in COVERAGE]  # in %
    return {
        "row": [name for name in coverage for _ in levels],
        "x": levels * len(coverage),
        "value": json_numbers(list(coverage.values()), 100),  # (M, K), flattened row by row
    }


@lru_cache(maxsize=256)
def _spec(titles: tuple[str, str]) -> dict[str, object]:
    # The same scale on both axes, so that the diagonal means equality.
    domain = alt.Scale(domain=[0, 100])
    x = alt.X("x:Q", title=titles[0], scale=domain)
    y = alt.Y("value:Q", title=titles[1], scale=domain)
    base = alt.Chart(row_data()).encode(x=x, y=y, color=row_colour())
    tip = tips(("row:N", "model", ""), ("x:Q", titles[0], ".0f"), ("value:Q", titles[1], ".1f"))
    ends = alt.InlineData(values=[{"x": 0, "value": 0}, {"x": 100, "value": 100}])
    diagonal = alt.Chart(ends).mark_line(strokeDash=[2, 3], color=ORACLE_COLOUR, strokeWidth=1.5).encode(x=x, y=y)
    line = base.mark_line(strokeWidth=1.8).encode(strokeDash=row_dash())
    point = base.mark_point(filled=True, opacity=1, size=42).encode(shape=row_marker())
    # Invisible, and easier to hit with the pointer than the visible marker.
    target = base.mark_point(size=320, opacity=0, filled=True).encode(tooltip=tip)
    return specification(alt.layer(diagonal, line, point, target))


def _sentence(analysis: Analysis, coverage: Coverage, rows: Collection[int]) -> str:
    # By verdict, the models; the oracle is calibrated by construction.
    groups: dict[str, list[str]] = {}
    for i in rows:
        row = analysis.section.rows[i]
        if row.name in coverage and not row.is_limit:
            groups.setdefault(_verdict(coverage[row.name]), []).append(row.name)
    if not groups:
        return "No model predicts a variance." if analysis.section.task.is_regression else ""
    parts = [f"{comma_list(names)} {'is' if len(names) == 1 else 'are'} {verdict}" for verdict, names in groups.items()]
    return f"{'; '.join(parts)}."


def _verdict(covered: NDArray[np.float64]) -> str:
    gap = covered - COVERAGE  # (K,), negative where intervals are too narrow
    gap = gap[np.isfinite(gap)]  # probabilities that no decision has are no evidence
    if np.abs(gap).mean() < CALIBRATED_GAP:
        return "calibrated"
    if (gap < 0).all():
        return "overconfident"
    return "underconfident" if (gap > 0).all() else "miscalibrated"
