"""Robustness curves: a metric of every row by level of the protocol, with 95 % intervals."""

from functools import lru_cache

import altair as alt

from qamoe_bench.analysis.comparisons import Ranking
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.curve_sentence import curve_sentence
from qamoe_bench.page.figure import Figure, comma_list, interval_columns, unit_of
from qamoe_bench.page.marks import Look, axis_title, dot_spec, number_format, row_data, specification, tips
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import axis_symbol

# Levels of an axis above which markers are drawn smaller
CROWDED = 24


def curve_figure(
    section: Section, scores: Scores, ranking: Ranking, look: Look, dialect: str, table: Table | None = None
) -> Figure:
    """The curve of one metric.

    Args:
        section: Rows and levels; levels without numbers are drawn as a dot plot.
        scores: The metric.
        ranking: Its ranks, which say whether a lead is significant.
        look: Styles of the rows.
        dialect: Name of the dialect in which the metric was computed.
        table: The table by level; without it, the page builds one.
    """
    metric = scores.metric
    levels = section.levels
    estimate = scores.estimate(levels.means)  # (M, L)
    low, high = estimate.interval()  # (M, L) each
    names = tuple(row.name for row in section.rows)
    return Figure(
        kind="curve",
        title=f"{metric.name}: {metric.title}",
        sentence=curve_sentence(section, metric, estimate.value, ranking),
        about=_about(section, metric),
        spec=_spec(section, metric, look, names),
        columns=interval_columns(names, levels.numbers or levels.labels, estimate.value, low, high, metric.scale),
        dialect=dialect,
        table=table,
        note=_note(section),
        is_wide=not levels.numbers,
    )


def _spec(section: Section, metric: Metric, look: Look, names: tuple[str, ...]) -> dict[str, object]:
    levels = section.levels
    # Named points have no order, so lines between them would have no meaning.
    if levels.numbers:
        return _line_spec(levels.axis, len(levels.numbers), metric, look, names)
    return dot_spec(metric, look, names, len(levels.labels), "condition")


@lru_cache(maxsize=256)
def _line_spec(axis: str, count: int, metric: Metric, look: Look, names: tuple[str, ...]) -> dict[str, object]:
    digits = number_format(metric)
    unit = unit_of(metric)
    tip = tips(
        ("row:N", "model", ""), ("x:Q", axis_title(axis).partition(",")[0], "~g"), ("value:Q", unit, digits),
        ("low:Q", "95 % from", digits), ("high:Q", "to", digits),
    )  # fmt: skip
    ticks = alt.Axis(format="~g", labelOverlap=True, tickCount=8)
    x = alt.X("x:Q", title=axis_title(axis), scale=alt.Scale(nice=False, padding=8), axis=ticks)
    # The scale need not include 0: bands of similar models would be too thin to see.
    y = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False))
    base = alt.Chart(row_data()).encode(x=x, color=look.colour(names))
    # Pointing at a row darkens its band, which is faint otherwise because the bands overlap.
    pointed = alt.selection_point(name="pointed", on="pointerover", clear="pointerout", fields=["row"], empty=False)
    opacity = alt.condition(pointed, alt.value(0.35), alt.value(0.1))
    band = base.mark_area().encode(y=alt.Y("low:Q", title=unit), y2="high:Q", opacity=opacity)
    line = base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=look.dash(names))
    size = 12 if count > CROWDED else 42
    point = base.mark_point(filled=True, opacity=1, size=size).encode(y=y, shape=look.marker(names))
    # Invisible, and easier to hit with the pointer than the visible marker.
    target = base.mark_point(size=320, opacity=0, filled=True).encode(y=y, tooltip=tip).add_params(pointed)
    return specification(alt.layer(band, line, point, target))


def _about(section: Section, metric: Metric) -> str:
    head = f"{metric.title} ({metric.better} is better)"
    if section.levels.numbers:
        along = axis_title(section.levels.axis)
        return f"{head} against {along}: one line per model, with 95 % intervals as bands."
    return f"{head} under each condition of the protocol: one point per model, with its 95 % interval."


def _note(section: Section) -> str:
    """Further axes that each level averages over."""
    others = [axis_symbol(axis) for axis in section.levels.others]
    return f"Each point is the mean over all levels of {comma_list(others)}." if others else ""
