"""Calibration of predicted variances: how many labels lie inside intervals that should hold so many."""

from functools import lru_cache

import altair as alt
import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.audits import COVERAGE
from qamoe_bench.figures.palette import ORACLE_COLOUR
from qamoe_bench.page.figure import Columns, Figure, listed, plain
from qamoe_bench.page.marks import Look, rows, specification, tips

ABSENT = "Calibration is left out: no model of this protocol predicts a variance."
CALIBRATED = 0.03  # mean distance from the diagonal that passes for none
TOLD = (0.5, 0.9)  # levels that the sentence names


def calibration(found: Analysis, look: Look) -> Figure:
    """Coverage against the nominal level, means over all conditions."""
    names = tuple(found.uncertainty)
    covered = {name: u.covered.mean(0) for name, u in found.uncertainty.items()}
    columns: Columns = {
        "row": [name for name in names for _ in COVERAGE],
        "x": [100 * c for c in COVERAGE] * len(names),
        "value": plain([x for of in covered.values() for x in of], 100),
    }
    return Figure(
        kind="calibration",
        title="Calibration of the predicted variances",
        sentence=_sentence(found, covered),
        about="Share of labels inside the central interval of so many percent, σ² read as a normal variance, over all "
        "conditions; on the dotted diagonal it is as many as it should be, below it the model is overconfident.",
        spec=_spec(names, look),
        columns=columns,
    )


@lru_cache(maxsize=256)
def _spec(names: tuple[str, ...], look: Look) -> dict[str, object]:
    domain = alt.Scale(domain=[0, 100])
    x = alt.X("x:Q", title="nominal level, %", scale=domain)
    y = alt.Y("value:Q", title="labels inside, %", scale=domain)
    base = alt.Chart(rows()).encode(x=x, y=y, color=look.colour(names))
    tip = tips(("row:N", "model", ""), ("x:Q", "nominal, %", ".0f"), ("value:Q", "inside, %", ".1f"))
    ends = alt.InlineData(values=[{"x": 0, "value": 0}, {"x": 100, "value": 100}])
    diagonal = alt.Chart(ends).mark_line(strokeDash=[2, 3], color=ORACLE_COLOUR, strokeWidth=1.5).encode(x=x, y=y)
    line = base.mark_line(strokeWidth=1.8).encode(strokeDash=look.dash(names))
    point = base.mark_point(filled=True, opacity=1, size=42).encode(shape=look.marker(names))
    target = base.mark_point(size=320, opacity=0, filled=True).encode(tooltip=tip)
    return specification(alt.layer(diagonal, line, point, target))


def _sentence(found: Analysis, covered: dict[str, NDArray[np.float64]]) -> str:
    oracle_rows = {row.name for row in found.section.rows if row.is_oracle}
    words = [f"{name} is {_verdict(of)} ({_told(of)})" for name, of in covered.items() if name not in oracle_rows]
    return f"{listed(words)}." if words else ""


def _verdict(covered: NDArray[np.float64]) -> str:
    gap = covered - COVERAGE
    if np.abs(gap).mean() < CALIBRATED:
        return "calibrated"
    if (gap < 0).all():
        return "overconfident"
    return "too cautious" if (gap > 0).all() else "uneven"


def _told(covered: NDArray[np.float64]) -> str:
    inside = [f"{100 * covered[COVERAGE.index(level)]:.0f} % inside its {100 * level:.0f} %" for level in TOLD]
    return f"labels: {listed(inside)} intervals"
