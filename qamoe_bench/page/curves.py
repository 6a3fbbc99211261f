"""Robustness curves: a metric of every row along the axis of a protocol, or at its points, with 95 % intervals."""

from functools import lru_cache

import altair as alt
import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.comparisons import Ranking
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import Columns, Figure, listed, plain, unit_of
from qamoe_bench.page.marks import Look, axis_title, dots, number_format, rows, specification, tips
from qamoe_bench.report.table import Table
from qamoe_bench.statistics.intervals import Estimate
from qamoe_bench.vocabulary import axis_symbol


def curves(
    section: Section, scores: Scores, ranks: Ranking, look: Look, dialect: str, table: Table | None = None
) -> Figure:
    """One metric, with its ranks and, where there is one, its table by level."""
    metric, levels = scores.metric, section.levels
    numbers = scores.estimate(levels.means)  # (M, L)
    low, high = numbers.interval()
    names = tuple(row.name for row in section.rows)
    places = levels.numbers or levels.labels
    columns: Columns = {
        "row": [name for name in names for _ in places],
        "x": list(places) * len(names),
        "value": plain(numbers.value, metric.scale),
        "low": plain(low, metric.scale),
        "high": plain(high, metric.scale),
    }
    spec = (
        _lines(levels.axis, len(levels.numbers), metric, look, names)
        if levels.numbers
        else dots(metric, look, names, len(places), "condition")
    )
    return Figure(
        kind="curve",
        title=f"{metric.name}: {metric.title}",
        sentence=_sentence(section, metric, numbers, ranks),
        about=_about(section, metric),
        spec=spec,
        columns=columns,
        dialect=dialect,
        table=table,
        note=_note(section),
        is_wide=not levels.numbers,
    )


@lru_cache(maxsize=256)
def _lines(axis: str, count: int, metric: Metric, look: Look, names: tuple[str, ...]) -> dict[str, object]:
    how = number_format(metric)
    tip = tips(
        ("row:N", "model", ""), ("x:Q", axis_title(axis).partition(",")[0], "~g"), ("value:Q", unit_of(metric), how),
        ("low:Q", "95 % from", how), ("high:Q", "to", how),
    )  # fmt: skip
    ticks = alt.Axis(format="~g", labelOverlap=True, tickCount=8)
    x = alt.X("x:Q", title=axis_title(axis), scale=alt.Scale(nice=False, padding=8), axis=ticks)
    y = alt.Y("value:Q", title=unit_of(metric), scale=alt.Scale(zero=False))
    base = alt.Chart(rows()).encode(x=x, color=look.colour(names))
    pointed = alt.selection_point(name="pointed", on="pointerover", clear="pointerout", fields=["row"], empty=False)
    band = base.mark_area().encode(
        y=alt.Y("low:Q", title=unit_of(metric)),
        y2="high:Q",
        opacity=alt.condition(pointed, alt.value(0.35), alt.value(0.1)),
    )
    line = base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=look.dash(names))
    crowded = count > 24
    point = base.mark_point(filled=True, opacity=1, size=12 if crowded else 42).encode(y=y, shape=look.marker(names))
    # Easier to hit than the point itself.
    target = base.mark_point(size=320, opacity=0, filled=True).encode(y=y, tooltip=tip).add_params(pointed)
    return specification(alt.layer(band, line, point, target))


def _about(section: Section, metric: Metric) -> str:
    along = axis_title(section.levels.axis) if section.levels.numbers else "the conditions of the protocol"
    drawn = "lines with their 95 % intervals as bands" if section.levels.numbers else "points with their 95 % intervals"
    return f"{metric.title} ({metric.better} is better) against {along}: for each model, {drawn}."


def _sentence(section: Section, metric: Metric, numbers: Estimate, ranks: Ranking) -> str:
    """Who leads at both ends and whether that is sure, and who loses most and least on the way."""
    contestants = [i for i, r in enumerate(section.rows) if not r.is_oracle and np.isfinite(numbers.value[i]).all()]
    if not contestants:
        return f"{metric.name} is undefined for every model somewhere on the way."
    heads, values = section.levels.labels, numbers.value
    worst = _worst_level(metric, values[contestants])
    first, last = (_best(metric, values[contestants, k]) for k in (0, worst))
    names = [section.rows[i].name for i in contestants]
    surely = ranks.is_first()
    start, end = (
        f"{metric.show(values[contestants[i], k])}, {'' if surely[contestants[i], k] else 'not '}surely"
        for i, k in ((first, 0), (last, worst))
    )
    if len(heads) == 1:
        return f"{names[first]} comes out best ({start})."
    easy, hard = _named(section, 0), _named(section, worst)
    if worst == 0:
        return f"No level is harder than {easy}; {names[first]} leads there ({start})."
    ends = (
        f"{names[first]} leads at {easy} ({start}) and at {hard} ({end})"
        if first == last
        else f"{names[first]} leads at {easy} ({start}), but {names[last]} at {hard} ({end})"
    )
    fall = metric.sign * (values[contestants, worst] - values[contestants, 0])
    moved = [i for i in range(len(names)) if abs(fall[i]) > 0]
    if len(moved) < 2:
        return f"{ends}."
    most, least = min(moved, key=lambda i: fall[i]), max(moved, key=lambda i: fall[i])
    changes = [metric.show_change(metric.sign * float(fall[i])) for i in (most, least)]
    return f"{ends}; between the two {names[most]} loses most ({changes[0]}) and {names[least]} least ({changes[1]})."


def _note(section: Section) -> str:
    """What is averaged over, where there are more axes than the one that is shown."""
    others = [axis_symbol(axis) for axis in section.levels.others]
    return f"Each point is the mean over all levels of {listed(others)}." if others else ""


def _named(section: Section, level: int) -> str:
    """A level as sentences call it."""
    head, axis = section.levels.labels[level], section.levels.axis
    if not axis:
        return f"“{head}”"
    return head if level == 0 else f"{section.levels.labels[0].partition('=')[0]}={head}"


def _worst_level(metric: Metric, values: NDArray[np.float64]) -> int:
    means = metric.sign * values.mean(0)
    return int(means.argmin())


def _best(metric: Metric, values: NDArray[np.float64]) -> int:
    return int((metric.sign * values).argmax())
