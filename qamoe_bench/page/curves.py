"""Robustness curves: a metric of every row by level of the protocol, with 95 % intervals."""

from functools import lru_cache

import altair as alt

from qamoe_bench.analysis.comparisons import Ranking
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.curve_sentence import curve_sentence
from qamoe_bench.page.figure import Figure, comma_list, interval_columns, unit_of
from qamoe_bench.page.marks import (
    DIGITS,
    UNIT,
    axis_title,
    dot_spec,
    filled,
    number_format,
    row_colour,
    row_dash,
    row_data,
    row_marker,
    specification,
    tips,
)
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import axis_symbol, metric_label

# Levels of an axis above which markers are drawn smaller
CROWDED = 24
BAND_OPACITY = 0.13


def curve_figure(section: Section, scores: Scores, ranking: Ranking, table: Table | None = None) -> Figure:
    """The curve of one metric.

    Args:
        section: Rows and levels; levels without numbers are drawn as a dot plot.
        scores: The metric.
        ranking: Its ranks, which say whether a lead is significant.
        table: The table by level; without it, the page builds one.
    """
    metric = scores.metric
    levels = section.levels
    estimate = scores.estimate(levels.means)  # (M, L)
    low, high = estimate.interval()  # (M, L) each
    names = tuple(row.name for row in section.rows)
    return Figure(
        kind="curve",
        title=f"{metric_label(metric.name)} by level",
        sentences=by_regime(section, lambda rows: curve_sentence(section, metric, estimate.value, ranking, rows)),
        about=_about(section, metric),
        spec=_spec(section, metric),
        columns=interval_columns(names, levels.numbers or levels.labels, estimate.value, low, high, metric.scale),
        table=table,
        note=_note(section),
        part=metric.name,
        is_wide=not levels.numbers,
    )


def _spec(section: Section, metric: Metric) -> dict[str, object]:
    levels = section.levels
    # Named points have no order, so lines between them would have no meaning.
    if levels.numbers:
        template = _line_template(levels.axis, len(levels.numbers) > CROWDED)
        return filled(template, {UNIT: unit_of(metric), DIGITS: number_format(metric)})
    return dot_spec(metric, len(levels.labels), "condition")


@lru_cache
def _line_template(axis: str, is_crowded: bool) -> dict[str, object]:
    tip = tips(
        ("row:N", "model", ""), ("x:Q", axis_title(axis).partition(",")[0], "~g"), ("value:Q", UNIT, DIGITS),
        ("low:Q", "95 % from", DIGITS), ("high:Q", "to", DIGITS),
    )  # fmt: skip
    ticks = alt.Axis(format="~g", labelOverlap=True, tickCount=8)
    x = alt.X("x:Q", title=axis_title(axis), scale=alt.Scale(nice=False, padding=8), axis=ticks)
    # The scale need not include 0: bands of similar models would be too thin to see.
    y = alt.Y("value:Q", title=UNIT, scale=alt.Scale(zero=False))
    base = alt.Chart(row_data()).encode(x=x, color=row_colour())
    # The page's script marks the two models that are compared: many bands would add up to grey. Pointing at any other
    # row shows its band too.
    pointed = alt.selection_point(name="pointed", on="pointerover", clear="pointerout", fields=["row"], empty=False)
    shown = alt.when(pointed).then(alt.value(2 * BAND_OPACITY)).when("datum.band").then(alt.value(BAND_OPACITY))
    band = base.mark_area(clip=True).encode(
        y=alt.Y("low:Q", title=UNIT), y2="high:Q", opacity=shown.otherwise(alt.value(0))
    )
    line = base.mark_line().encode(
        y=y,
        strokeDash=row_dash(),
        strokeWidth=alt.condition("datum.lead", alt.value(2.6), alt.value(1.3)),
    )
    small = 10 if is_crowded else 22
    size = alt.condition("datum.lead", alt.value(2 * small), alt.value(small))
    point = base.mark_point(filled=True, opacity=1).encode(y=y, shape=row_marker(), size=size)
    # Invisible, and easier to hit with the pointer than the visible marker.
    target = base.mark_point(size=320, opacity=0, filled=True).encode(y=y, tooltip=tip).add_params(pointed)
    # Names at the ends of the lines, at heights that the page's script spreads out.
    weight = alt.ExprRef("datum.lead ? 700 : 400")
    text = base.mark_text(align="left", dx=9, fontSize=11, fontWeight=weight)
    name = text.transform_filter("isValid(datum.place)").encode(y=alt.Y("place:Q", title=UNIT), text="label:N")
    return specification(alt.layer(band, line, point, target, name))


def _about(section: Section, metric: Metric) -> str:
    head = f"{metric.title[:1].upper()}{metric.title[1:]} ({metric.better} is better)"
    if section.levels.numbers:
        along = axis_title(section.levels.axis)
        return f"{head} against {along}; bands: 95 % intervals of the two models that are compared, and of the oracle."
    return f"{head} under each condition of the protocol; lines: 95 % intervals of the two models that are compared."


def _note(section: Section) -> str:
    """Further axes that each level averages over."""
    others = [axis_symbol(axis) for axis in section.levels.others]
    return f"Each point is the mean over all levels of {comma_list(others)}." if others else ""
