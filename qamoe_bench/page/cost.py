"""Cost against quality: what a metric costs in time and in parameters, and the rows that nothing beats in both."""

from collections.abc import Sequence
from functools import lru_cache

import altair as alt
import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.pareto import pareto_front
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.analysis.summaries import SweepSummary
from qamoe_bench.figures.palette import ORACLE_COLOUR
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import Columns, Figure, listed, plain, unit_of
from qamoe_bench.page.marks import Look, number_format, rows, specification, tips

ABSENT = "Cost against quality is left out: fewer than two rows have a measured time or parameters."
TITLES = {"time": "time per sample, µs (log scale)", "parameters": "trainable parameters (log scale)"}
WORDS = {"time": ("µs", ".1f"), "parameters": ("parameters", ",")}


def costs(section: Section, metric: Metric, mean: SweepSummary, look: Look, dialect: str) -> list[Figure]:
    """A figure for time and one for parameters, of those that are known."""
    return [
        figure
        for kind, of in (("time", microseconds), ("parameters", parameters))
        if (figure := _figure(section, metric, mean, look, dialect, kind, [of(r) for r in section.rows])) is not None
    ]


def microseconds(row: Row) -> float:
    """Median time of a forward pass per sample over the seeds; 0 where it was not measured."""
    times = [c.facts.seconds_per_sample for c in row.cells if c.facts.seconds_per_sample]
    return 1e6 * float(np.median(times)) if times else 0.0


def parameters(row: Row) -> float:
    """Trainable parameters."""
    return float(row.cells[0].facts.parameters)


def _figure(
    section: Section, metric: Metric, mean: SweepSummary, look: Look, dialect: str, kind: str, cost: list[float]
) -> Figure | None:
    numbers = mean.estimate()
    low, high = numbers.interval()
    kept = [i for i, c in enumerate(cost) if c > 0 and np.isfinite(numbers.value[i]) and not section.rows[i].is_oracle]
    if len(kept) < 2:
        return None
    best = pareto_front({i: cost[i] for i in kept}, {i: metric.sign * float(numbers.value[i]) for i in kept})
    names = tuple(section.rows[i].name for i in kept)
    columns: Columns = {
        "row": list(names),
        "x": plain([cost[i] for i in kept]),
        "value": plain(numbers.value[kept], metric.scale),
        "low": plain(low[kept], metric.scale),
        "high": plain(high[kept], metric.scale),
        "front": ["yes" if i in best else "no" for i in kept],
    }
    runs = {c.path.parent.parent.name for i in kept for c in section.rows[i].cells}
    left = [r.name for i, r in enumerate(section.rows) if i not in kept]
    notes = [f"Not shown, for lack of such a cost: {listed(left)}."] if left else []
    if kind == "time" and len(runs) > 1:
        notes.append("Times come from several runs, which may have met other machines: compare with care.")
    what = "time" if kind == "time" else "size"
    return Figure(
        kind="cost",
        title=f"{metric.name} against {what}",
        sentence=_sentence(section, metric, kind, cost, numbers.value, kept, best),
        about=f"{metric.title}, mean over the sweep with its 95 % interval, against {TITLES[kind].partition(' (')[0]}. "
        "The line is the Pareto front: no row beats those on it in both.",
        spec=_spec(metric, kind, names, _ticks([cost[i] for i in kept]), look),
        columns=columns,
        dialect=dialect,
        metric=metric.name,
        note=" ".join(notes),
    )


def _ticks(cost: Sequence[float]) -> tuple[float, ...]:
    """1, 2 and 5 of every decade that the costs span."""
    low, high = (int(np.floor(np.log10(f(cost)))) for f in (min, max))
    return tuple(float(f"{step}e{k}") for k in range(low, high + 1) for step in (1, 2, 5))


@lru_cache(maxsize=256)
def _spec(metric: Metric, kind: str, names: tuple[str, ...], ticks: tuple[float, ...], look: Look) -> dict[str, object]:
    how, (unit, digits) = number_format(metric), WORDS[kind]
    axis = alt.Axis(values=list(ticks), format="~s" if kind == "parameters" else "~g", labelOverlap=True)
    x = alt.X("x:Q", title=TITLES[kind], scale=alt.Scale(type="log", nice=False, padding=16), axis=axis)
    title = f"mean {unit_of(metric)}"
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    tip = tips(
        ("row:N", "model", ""), ("x:Q", unit, digits), ("value:Q", title, how), ("low:Q", "95 % from", how),
        ("high:Q", "to", how), ("front:N", "on the Pareto front", ""),
    )  # fmt: skip
    base = alt.Chart(rows()).encode(x=x, color=look.colour(names))
    stairs = (
        alt.Chart(rows())
        .transform_filter("datum.front == 'yes'")
        .mark_line(interpolate="step-after", color=ORACLE_COLOUR, strokeDash=[4, 3], strokeWidth=1.4)
        .encode(x=x, y=y, order="x:Q")
    )
    rule = base.mark_rule(strokeWidth=1.4).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    point = base.mark_point(filled=True, opacity=1, size=80).encode(y=y, shape=look.marker(names))
    target = base.mark_point(size=400, opacity=0, filled=True).encode(y=y, tooltip=tip)
    return specification(alt.layer(stairs, rule, point, target))


def _sentence(
    section: Section,
    metric: Metric,
    kind: str,
    cost: list[float],
    value: NDArray[np.float64],
    kept: list[int],
    best: list[int],
) -> str:
    def words(i: int) -> str:
        amount = f"{cost[i]:.3g} µs" if kind == "time" else f"{cost[i]:,.0f} parameters"
        return f"{section.rows[i].name} ({metric.show(float(value[i]))}, {amount})"

    beaten = [section.rows[i].name for i in kept if i not in best]
    rest = f"; {listed(beaten)} cost{'s' * (len(beaten) == 1)} more than a row that is as good" if beaten else ""
    return f"By the means, on the front stand{'s' * (len(best) == 1)} {listed([words(i) for i in best])}{rest}."
