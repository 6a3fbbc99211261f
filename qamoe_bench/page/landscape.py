"""The landscape of a protocol with two axes: a metric over both, of each row, and the difference of two rows."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np

from qamoe_bench.analysis.comparisons import differences_by_condition
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import Figure, plain, unit_of
from qamoe_bench.page.marks import Chart, axis_title, number_format, rows, specification, tips
from qamoe_bench.statistics.intervals import mean_of_defined
from qamoe_bench.vocabulary import axis_symbol

WRITTEN = 10  # levels of an axis up to which there is room for the numbers
DARK, LIGHT = "#111111", "#ffffff"
BETTER, WORSE = "#0072b2", "#d55e00"
EVEN = "#e6e6e6"


def axes(section: Section) -> tuple[str, str] | None:
    """The two axes, if there are two."""
    names = tuple(section.cells[0].facts.conditions[0]["levels"])
    return (names[0], names[1]) if len(names) == 2 else None


def landscape(section: Section, scores: Scores, dialect: str) -> Figure | None:
    """A heat map per row, all on one scale."""
    found = axes(section)
    if found is None:
        return None
    metric = scores.metric
    values = mean_of_defined(scores.values, 1)  # (M, C)
    spec = specification(_map(metric, found, values, len(section.levels.numbers)), 260)
    return Figure(
        kind="landscape",
        title=f"{metric.name} over {' and '.join(map(axis_symbol, found))}",
        sentence=_sentence(section, metric, found, values),
        about=f"A heat map for each model: {metric.title} for each {' and '.join(map(axis_symbol, found))}, all on "
        "one scale; the lighter, the better.",
        spec=spec,
        columns=_columns(section, found, metric, values),
        dialect=dialect,
        metric=metric.name,
        is_wide=True,
    )


def difference(section: Section, scores: Scores, dialect: str) -> Figure | None:
    """The difference of two rows, which the reader chooses; where it is sure, a cell has a dot."""
    found = axes(section)
    pairs = differences_by_condition(section, scores) if found else {}
    if found is None or not pairs:
        return None
    metric = scores.metric
    columns = _columns(section, found, metric, mean_of_defined(scores.values, 1))
    names = tuple(row.name for row in section.rows)
    sure = {names[i]: {names[j]: _bits(flags) for (a, j), (_, flags) in pairs.items() if a == i} for i, _ in pairs}
    return Figure(
        kind="difference",
        title=f"{metric.name}: one model minus another",
        sentence="",
        about=f"A heat map of the difference in {metric.title}, first minus second, for each "
        f"{' and '.join(map(axis_symbol, found))}. Blue: the first is better; a dot: surely so (paired, Holm-corrected "
        "over the cells).",
        spec=specification(_difference(metric, found), 260),
        columns=columns,
        extra={"sure": sure, "sign": metric.sign, "pair": _pair(section, metric, scores)},
        dialect=dialect,
        metric=metric.name,
    )


def _pair(section: Section, metric: Metric, scores: Scores) -> list[str]:
    """What is shown first: the best contestant and its control, or the next best."""
    means = mean_of_defined(metric.sign * scores.values.mean(-1), 1)
    order = [
        int(i) for i in np.argsort(-means, kind="stable") if not section.rows[i].is_oracle and np.isfinite(means[i])
    ]
    best = order[0] if order else 0
    other = section.control_of(best)
    rest = [i for i in (other, *order, *range(len(section.rows))) if i is not None and i != best]
    return [section.rows[i].name for i in (best, rest[0])]


def _bits(flags: Any) -> str:
    return "".join("1" if x else "0" for x in flags)


def _columns(section: Section, found: tuple[str, str], metric: Metric, values: Any) -> Mapping[str, Any]:
    levels = [c["levels"] for c in section.cells[0].facts.conditions]
    return {
        "row": [row.name for row in section.rows for _ in levels],
        "x": [of[found[0]] for of in levels] * len(section.rows),
        "y": [of[found[1]] for of in levels] * len(section.rows),
        "value": plain(values, metric.scale),
    }


def _cells(found: tuple[str, str]) -> alt.Chart:
    return alt.Chart(rows()).encode(
        x=alt.X("x:O", title=axis_title(found[0]), axis=alt.Axis(labelAngle=0, format="~g", labelOverlap=True)),
        y=alt.Y("y:O", title=axis_title(found[1]), sort="descending", axis=alt.Axis(format="~g", labelOverlap=True)),
    )


def _tip(found: tuple[str, str], title: str, how: str) -> list[alt.Tooltip]:
    return tips(("x:O", axis_symbol(found[0]), "~g"), ("y:O", axis_symbol(found[1]), "~g"), ("value:Q", title, how))


def _map(metric: Metric, found: tuple[str, str], values: Any, levels: int) -> Chart:
    known = values[np.isfinite(values)] * metric.scale
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    scale = alt.Scale(scheme="cividis", domain=[low, high], reverse=metric.better == "lower")
    legend = alt.Legend(title=unit_of(metric), orient="bottom", gradientLength=160, gradientThickness=10, tickCount=4)
    how = number_format(metric)
    cells = _cells(found)
    tip = [alt.Tooltip("row:N", title="model"), *_tip(found, unit_of(metric), how)]
    fill = cells.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=legend), tooltip=tip)
    # Cividis is dark where the values are bad, below the middle of the scale or above it.
    dark = f"datum.value {'<' if metric.better == 'higher' else '>'} {(low + high) / 2:.4g}"
    text = cells.mark_text(fontSize=9).encode(
        text=alt.Text("value:Q", format=".0f" if metric.unit == "%" else ".2f"),
        color=alt.condition(dark, alt.value(LIGHT), alt.value(DARK)),
    )
    return alt.layer(fill, text) if levels <= WRITTEN else alt.layer(fill)


@lru_cache(maxsize=256)
def _difference(metric: Metric, found: tuple[str, str]) -> Chart:
    ends = [WORSE, EVEN, BETTER] if metric.better == "higher" else [BETTER, EVEN, WORSE]
    scale = alt.Scale(range=ends, interpolate="lab")  # the page sets a domain with 0 in its middle
    title = f"difference in {unit_of(metric)}".replace(", %", ", points")
    legend = alt.Legend(title=title, orient="bottom", gradientLength=160, gradientThickness=10, tickCount=4)
    how = "+" + number_format(metric)
    cells = _cells(found)
    tip = [*_tip(found, title, how), alt.Tooltip("verdict:N", title="by a paired test")]
    fill = cells.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=legend), tooltip=tip)
    dot = cells.mark_point(filled=True, size=26, color=DARK, opacity=1, stroke=LIGHT, strokeWidth=1).transform_filter(
        "datum.sure == 1"
    )
    return alt.layer(fill, dot)


def _sentence(section: Section, metric: Metric, found: tuple[str, str], values: Any) -> str:
    """What each axis costs by itself, and which row keeps most where both are at their end."""
    conditions = [c["levels"] for c in section.cells[0].facts.conditions]
    tops = [max(of[axis] for of in conditions) for axis in found]
    corner = {
        key: next((i for i, of in enumerate(conditions) if (of[found[0]], of[found[1]]) == at), None)
        for key, at in (("clean", (0, 0)), ("first", (tops[0], 0)), ("second", (0, tops[1])), ("both", tuple(tops)))
    }
    rows_ = [i for i, r in enumerate(section.rows) if not r.is_oracle and np.isfinite(values[i]).all()]
    if not rows_ or None in corner.values():
        return ""
    best = max(rows_, key=lambda i: metric.sign * values[i, corner["both"]])
    words = [metric.show(values[best, corner[key]]) for key in ("clean", "first", "second", "both")]
    ends = [f"{axis_symbol(axis)}={top:g}" for axis, top in zip(found, tops, strict=True)]
    mean = values[rows_].mean(0)
    cost = [metric.sign * (mean[corner["clean"]] - mean[corner[key]]) for key in ("first", "second")]
    more, less = (0, 1) if cost[0] > cost[1] else (1, 0)
    shown = [metric.show(abs(c)) for c in cost]
    return (
        f"{section.rows[best].name} comes out best where both are worst: {words[0]} clean, {words[1]} at {ends[0]}, "
        f"{words[2]} at {ends[1]} and {words[3]} at both. On average over models {ends[more]} alone costs "
        f"{shown[more]} and {ends[less]} alone {shown[less]}."
    )
