"""Cost against quality: a metric against time and number of parameters, with the Pareto front."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.pareto import pareto_front
from qamoe_bench.analysis.section import MEAN, Row, Section
from qamoe_bench.analysis.summaries import SweepSummary
from qamoe_bench.figures.palette import ORACLE_COLOUR
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import ChartColumns, Figure, comma_list, json_numbers, unit_of
from qamoe_bench.page.marks import (
    DIGITS,
    TICKS,
    UNIT,
    Chart,
    filled,
    number_format,
    row_colour,
    row_data,
    row_marker,
    specification,
    tips,
)
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.vocabulary import metric_label

Kind = Literal["time", "parameters"]
AXIS_TITLES: Mapping[Kind, str] = {
    "time": "time per sample, µs (log scale)",
    "parameters": "trainable parameters (log scale)",
}
# Title and number format
TOOLTIP_FORMATS: Mapping[Kind, tuple[str, str]] = {"time": ("µs", ".1f"), "parameters": ("parameters", ",")}
# As the heading calls it
TITLES: Mapping[Kind, str] = {"time": "time", "parameters": "size"}


@dataclass(frozen=True)
class _Trade:
    """One kind of cost against one metric.

    Attributes:
        metric: The metric.
        kind: The kind of cost.
        names: Names of the M rows of the section.
        cost: Cost of each row; 0 where it is unknown, (M,).
        value: Mean of the metric over the sweep, (M,).
        kept: Indices of the contestants that have both.
        front: Those of them on the Pareto front.
    """

    metric: Metric
    kind: Kind
    names: tuple[str, ...]
    cost: Sequence[float]
    value: NDArray[np.float64]
    kept: Sequence[int]
    front: Sequence[int]


def cost_figures(section: Section, metric: Metric, mean: SweepSummary) -> list[Figure]:
    """A figure for time and one for parameters, unless fewer than two rows have such a cost.

    Args:
        section: Gives the rows and their costs.
        metric: The metric.
        mean: Its mean over the sweep.
    """
    times = [row.microseconds_per_sample for row in section.rows]
    sizes = [parameter_count(row) for row in section.rows]
    figures = []
    kinds: tuple[tuple[Kind, list[float]], ...] = (("time", times), ("parameters", sizes))
    for kind, cost in kinds:
        write = partial(_sentence_about, section, metric, mean, kind, cost)
        trade = _trade(section, metric, mean, kind, cost, range(len(section.rows)))
        if len(trade.kept) > 1:
            figures.append(_figure(section, trade, mean, by_regime(section, write)))
    return figures


def parameter_count(row: Row) -> float:
    """Number of trainable parameters."""
    return float(row.cells[0].facts.parameters)  # the same for every seed


def _trade(
    section: Section, metric: Metric, mean: SweepSummary, kind: Kind, cost: Sequence[float], rows: Iterable[int]
) -> _Trade:  # fmt: skip
    value = mean.estimate().value  # (M,), in the direction of the metric
    kept = []
    for i in rows:
        row = section.rows[i]
        # Nobody chooses the oracle or the model that ignores its inputs for its cost, and the time of the latter, a
        # thousandth of all others, would squeeze them together.
        if cost[i] > 0 and np.isfinite(value[i]) and not row.is_limit and row.model != MEAN:
            kept.append(i)
    # The front minimises the cost and maximises the gain, so errors are negated.
    front = pareto_front({i: cost[i] for i in kept}, {i: metric.sign * float(value[i]) for i in kept})
    return _Trade(metric, kind, tuple(row.name for row in section.rows), cost, value, kept, front)


def _figure(
    section: Section, trade: _Trade, mean: SweepSummary, sentences: Mapping[str, str]
) -> Figure:  # fmt: skip
    metric = trade.metric
    kind = trade.kind
    quantity = AXIS_TITLES[kind].removesuffix(" (log scale)")
    return Figure(
        kind="cost",
        title=f"{metric_label(metric.name)} against {TITLES[kind]}",
        sentences=sentences,
        about=f"Mean {metric_label(metric.name)} over the sweep with its 95 % interval, against {quantity}. "
        "The line is the Pareto front: no model beats those on it in both.",
        spec=_spec(metric, kind, _ticks([trade.cost[i] for i in trade.kept])),
        columns=_columns(trade, mean),
        metric=metric.name,
        part=kind,
        note=_note(section, trade),
    )


def _columns(trade: _Trade, mean: SweepSummary) -> ChartColumns:
    kept = list(trade.kept)
    low, high = mean.estimate().interval()  # (M,) each
    return {
        "row": [trade.names[i] for i in kept],
        "x": json_numbers([trade.cost[i] for i in kept]),
        "value": json_numbers(trade.value[kept], trade.metric.scale),
        "low": json_numbers(low[kept], trade.metric.scale),
        "high": json_numbers(high[kept], trade.metric.scale),
        "front": ["yes" if i in trade.front else "no" for i in kept],
    }


def _note(section: Section, trade: _Trade) -> str:
    notes = []
    omitted = [name for i, name in enumerate(trade.names) if i not in trade.kept]
    if omitted:
        notes.append(f"Not shown, without such a cost: {comma_list(omitted)}.")
    # Parameters do not depend on the machine, times do.
    runs = {cell.path.parent.parent.name for i in trade.kept for cell in section.rows[i].cells}
    if trade.kind == "time" and len(runs) > 1:
        notes.append("Times come from several runs, possibly on different machines, and may not be comparable.")
    return " ".join(notes)


def _ticks(cost: Sequence[float]) -> tuple[float, ...]:
    """1, 2 and 5 in every decade that the costs span."""
    lowest = int(np.floor(np.log10(min(cost))))
    highest = int(np.floor(np.log10(max(cost))))
    return tuple(float(f"{step}e{decade}") for decade in range(lowest, highest + 1) for step in (1, 2, 5))


def _spec(metric: Metric, kind: Kind, ticks: Sequence[float]) -> dict[str, object]:
    words = {UNIT: f"mean {unit_of(metric)}", DIGITS: number_format(metric), TICKS: list(ticks)}
    return filled(_template(kind), words)


@lru_cache
def _template(kind: Kind) -> dict[str, object]:
    cost_title, cost_digits = TOOLTIP_FORMATS[kind]
    # Vega labels too few or too many ticks of a log scale by itself.
    axis = alt.Axis(values=[TICKS], format="~s" if kind == "parameters" else "~g", labelOverlap=True)
    x = alt.X("x:Q", title=AXIS_TITLES[kind], scale=alt.Scale(type="log", nice=False, padding=16), axis=axis)
    y = alt.Y("value:Q", title=UNIT, scale=alt.Scale(zero=False))
    tip = tips(
        ("row:N", "model", ""), ("x:Q", cost_title, cost_digits), ("value:Q", UNIT, DIGITS),
        ("low:Q", "95 % from", DIGITS), ("high:Q", "to", DIGITS), ("front:N", "on the Pareto front", ""),
    )  # fmt: skip
    base = alt.Chart(row_data()).encode(x=x, color=row_colour())
    rule = base.mark_rule(strokeWidth=1.4).encode(y=alt.Y("low:Q", title=UNIT), y2="high:Q")
    point = base.mark_point(filled=True, opacity=1, size=80).encode(y=y, shape=row_marker())
    # Invisible, and easier to hit with the pointer than the visible marker.
    target = base.mark_point(size=400, opacity=0, filled=True).encode(y=y, tooltip=tip)
    # Only of models on the front: all names together would cover each other. The page's script chooses the side.
    # Neighbours on the front have their names on different sides of the line.
    names_of = [_names_on(base, side, y) for side in ("above", "below")]
    return specification(alt.layer(_front_line(x, y), rule, point, target, *names_of))


def _names_on(base: alt.Chart, side: Literal["above", "below"], y: alt.Y) -> Chart:
    """Names of models above or below the line; the page's script leaves those empty that are on the other side."""
    text = base.mark_text(align="left", dx=8, dy=-8 if side == "above" else 11, fontSize=11)
    names: Chart = text.encode(y=y, text=f"{side}:N")
    return names


def _front_line(x: alt.X, y: alt.Y) -> Chart:
    # A staircase, because no model between two on the front is known.
    front = alt.Chart(row_data()).transform_filter("datum.front == 'yes'").encode(x=x, y=y, order="x:Q")
    line: Chart = front.mark_line(interpolate="step-after", color=ORACLE_COLOUR, strokeDash=[4, 3], strokeWidth=1.4)
    return line


def _sentence_about(
    section: Section, metric: Metric, mean: SweepSummary, kind: Kind, cost: Sequence[float], rows: Iterable[int]
) -> str:  # fmt: skip
    trade = _trade(section, metric, mean, kind, cost, rows)
    if not trade.front:
        return f"No model of this regime has a known {TITLES[trade.kind]}."
    front = [_quoted(trade, i) for i in trade.front]
    verb = "gives" if len(front) == 1 else "give"
    dominated = len(trade.kept) - len(trade.front)
    rest = f" Each of the other {dominated} costs more than one that is as good." if dominated > 1 else ""
    if dominated == 1:
        rest = " The other one costs more than one that is as good."
    return f"{comma_list(front)} {verb} the most for the {TITLES[trade.kind]}.{rest}"


def _quoted(trade: _Trade, i: int) -> str:
    """A row with its metric and its cost."""
    cost = trade.cost[i]
    amount = f"{cost:.3g} µs" if trade.kind == "time" else f"{cost:,.0f} parameters"
    return f"{trade.names[i]} ({trade.metric.show(float(trade.value[i]))}, {amount})"
