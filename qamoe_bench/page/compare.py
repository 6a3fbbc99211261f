"""Two models compared: their difference by level, and where it comes from; the reader chooses the two.

Differences of all pairs are computed here, with the intervals of the report, and embedded in 16 bits each. The page's
script picks a pair; nothing is estimated in the browser.
"""

from functools import lru_cache
from itertools import combinations
from typing import Any

import altair as alt

from qamoe_bench.analysis.comparisons import PairDifferences, differences_by_level
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.strata import cluster_errors, error_profile
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.page.figure import difference_unit, json_numbers
from qamoe_bench.page.marks import DIGITS, UNIT, axis_title, filled, number_format, row_data, specification, tips
from qamoe_bench.page.packing import packed
from qamoe_bench.statistics.intervals import Estimate

LEVEL_HEIGHT = 250  # px
ROW_HEIGHT = 24  # px of a part or a named condition
ERROR_OF_CLASSES = Metric("error", "probability given to what is wrong", "lower", (0, 1), "")
# The colour of a difference, by what it says about the first model
VERDICTS = {"better": "#0072b2", "not significant": "#767676", "worse": "#d55e00"}


def level_differences(
    section: Section, scores: Scores, corrected: PairDifferences
) -> dict[str, Any]:  # fmt: skip
    """Differences of one metric by level and, last, over the sweep, of all pairs of rows.

    Args:
        section: Its rows and levels.
        scores: The metric.
        corrected: The tests of the report, which say whether a difference over the sweep is significant.
    """
    gaps = differences_by_level(section, scores)  # (P, K)
    metric = scores.metric
    levels = section.levels
    return {
        "spec": _spec(section, metric),
        "x": list(levels.numbers or levels.labels),
        "sign": metric.sign,
        "digits": number_format(metric),
        "unit": difference_unit(metric, "").strip(),
        "significant": _flags(section, corrected),
        **_packed_estimate(gaps, metric.scale),
    }


def _spec(section: Section, metric: Metric) -> dict[str, Any]:
    levels = section.levels
    if levels.numbers:
        return filled(_line_template(levels.axis), _words(metric))
    return filled(_dot_template("condition"), _words(metric), len(levels.labels) * ROW_HEIGHT)


def _flags(section: Section, corrected: PairDifferences) -> str:
    """For each pair `1` or `0`, whether it differs significantly; `-` for pairs that are not tested."""
    pairs = combinations(range(len(section.rows)), 2)
    return "".join(str(int(corrected[pair].is_significant)) if pair in corrected else "-" for pair in pairs)


def error_origins(section: Section) -> dict[str, Any] | None:
    """Differences in error on parts of the predictions, of all pairs of rows; None if there are no parts."""
    profile = error_profile(section)
    if profile is None:
        return None
    error = METRICS["mae"] if section.task.is_regression else ERROR_OF_CLASSES
    origins: dict[str, Any] = {
        "spec": filled(_dot_template("", is_faceted=True), _words(error), len(profile.strata) * ROW_HEIGHT),
        "parts": [[s.kind, s.name, *json_numbers(100 * s.share)] for s in profile.strata],
        **_packed_estimate(profile.differences, 1),
    }
    errors = cluster_errors(section)
    if errors is not None and section.clusters is not None:
        origins["clusters"] = {
            "kind": section.clusters.kind,
            "sizes": section.clusters.sizes.tolist(),
            "errors": packed(errors),  # (M, K)
        }
    return origins


def _packed_estimate(gaps: Estimate, scale: float) -> dict[str, Any]:
    low, high = gaps.interval()
    return {"value": packed(scale * gaps.value), "half": packed(scale * (high - low) / 2)}


def _colour() -> alt.Color:
    scale = alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values()))
    return alt.Color("verdict:N", scale=scale, legend=None)


def _words(metric: Metric) -> dict[str, str]:
    return {UNIT: difference_unit(metric, "difference in"), DIGITS: "+" + number_format(metric)}


@lru_cache
def _line_template(axis: str) -> dict[str, Any]:
    tip = tips(
        ("x:Q", axis_title(axis).partition(",")[0], "~g"), ("value:Q", UNIT, DIGITS), ("low:Q", "95 % from", DIGITS),
        ("high:Q", "to", DIGITS), ("verdict:N", "first model", ""),
    )  # fmt: skip
    base = alt.Chart(row_data()).encode(
        x=alt.X(
            "x:Q",
            title=axis_title(axis),
            scale=alt.Scale(nice=False, padding=12),
            axis=alt.Axis(format="~g", tickCount=8),
        )
    )
    y = alt.Y("value:Q", title=UNIT, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
    band = base.mark_area(opacity=0.14, color=VERDICTS["better"]).encode(y=alt.Y("low:Q", title=UNIT), y2="high:Q")
    line = base.mark_line(strokeWidth=1.6, color=VERDICTS["not significant"]).encode(y=y)
    point = base.mark_point(filled=True, opacity=1, size=64).encode(y=y, color=_colour(), tooltip=tip)
    return specification(alt.layer(_zero("y"), band, line, point), LEVEL_HEIGHT)


@lru_cache
def _dot_template(item_title: str, *, is_faceted: bool = False) -> dict[str, Any]:
    tip = tips(
        ("x:N", item_title or "part", ""), ("value:Q", UNIT, DIGITS), ("low:Q", "95 % from", DIGITS),
        ("high:Q", "to", DIGITS), ("verdict:N", "first model", ""),
    )  # fmt: skip
    if is_faceted:
        tip.append(alt.Tooltip("share:Q", title="share of predictions, %", format=".0f"))
    axis = alt.Axis(labelLimit=230, domain=False, ticks=False, labelPadding=8)
    base = alt.Chart(row_data()).encode(y=alt.Y("x:N", title=item_title or None, sort=None, axis=axis))
    x = alt.X("low:Q", title=UNIT, axis=alt.Axis(tickCount=6))
    rule = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", color=_colour())
    point = base.mark_point(filled=True, opacity=1, size=64).encode(x="value:Q", color=_colour(), tooltip=tip)
    return specification(alt.layer(_zero("x"), rule, point))


def _zero(channel: str) -> alt.Chart:
    """The line of no difference."""
    data = alt.InlineData(values=[{"zero": 0}])
    rule = alt.Chart(data).mark_rule(strokeDash=[3, 3], color=VERDICTS["not significant"])
    line: alt.Chart = rule.encode(x="zero:Q") if channel == "x" else rule.encode(y="zero:Q")
    return line
