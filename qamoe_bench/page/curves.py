"""Robustness curves: a metric of every row by level of the protocol, with 95 % intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import altair as alt
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from qamoe_bench.analysis.comparisons import Ranking
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import Figure, comma_list, interval_columns, unit_of
from qamoe_bench.page.marks import Look, axis_title, dot_spec, number_format, row_data, specification, tips
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import axis_symbol

Values = NDArray[np.float64]
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
        sentence=_sentence(section, metric, estimate.value, ranking),
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


@dataclass(frozen=True)
class _Contest:
    """The contestants with a value at every level.

    Attributes:
        metric: The metric.
        names: Their names, K.
        values: Their values, (K, L).
        is_first: Where one is significantly better than every other row, (K, L + 1).
    """

    metric: Metric
    names: Sequence[str]
    values: Float[Values, "K L"]
    is_first: Bool[NDArray[np.bool_], "K M"]

    def leader(self, level: int) -> int:
        """The best contestant at a level."""
        return int((self.metric.sign * self.values[:, level]).argmax())  # sign is −1 for errors

    def hardest_level(self) -> int:
        """The level with the worst mean over contestants."""
        return int((self.metric.sign * self.values.mean(0)).argmin())

    def lead(self, level: int) -> str:
        """The value of the leader and whether its lead is significant."""
        leader = self.leader(level)
        # The last column of `is_first` is the mean over all levels, which is not used here.
        verdict = "significantly" if self.is_first[leader, level] else "not significantly"
        return f"({self.metric.show(self.values[leader, level])}, {verdict})"


def _sentence(section: Section, metric: Metric, values: Float[Values, "M L"], ranking: Ranking) -> str:
    """The leaders at the first and at the hardest level, and the largest and smallest loss between them."""
    # The oracle does not compete, and a level without a value has no leader.
    kept = [i for i, r in enumerate(section.rows) if not r.is_oracle and np.isfinite(values[i]).all()]
    if not kept:
        return f"Every model has a level at which {metric.name} is undefined."
    contest = _Contest(metric, [section.rows[i].name for i in kept], values[kept], ranking.is_first()[kept])
    start = contest.names[contest.leader(0)]
    if len(section.levels.labels) == 1:
        return f"{start} is best {contest.lead(0)}."
    # The first level is the mildest. The hardest is found in the data, because a metric need not fall on the way.
    easy = _level_name(section, 0)
    worst = contest.hardest_level()
    if worst == 0:
        return f"No level is harder than {easy}; {start} leads there {contest.lead(0)}."
    end = contest.names[contest.leader(worst)]
    hard = _level_name(section, worst)
    joint = f"and at {hard}" if end == start else f"but {end} at {hard}"
    comma = "" if end == start else ","
    leads = f"{start} leads at {easy} {contest.lead(0)}{comma} {joint} {contest.lead(worst)}"
    return f"{leads}{_losses(contest, worst)}."


def _losses(contest: _Contest, worst: int) -> str:
    """Who loses most and least from the first level to the hardest, unless fewer than two change at all."""
    change = contest.values[:, worst] - contest.values[:, 0]  # (K,)
    gain = contest.metric.sign * change  # negative where it gets worse
    moved = [i for i in range(len(gain)) if abs(gain[i]) > 0]
    # The mean of the labels never changes; a single model that does leaves nothing to compare.
    if len(moved) < 2:
        return ""
    most = min(moved, key=lambda i: gain[i])
    least = max(moved, key=lambda i: gain[i])
    # Changes are printed with the sign of the metric, not of the gain.
    shown_most = contest.metric.show_change(float(change[most]))
    shown_least = contest.metric.show_change(float(change[least]))
    return (
        f"; between them {contest.names[most]} loses most ({shown_most}) and {contest.names[least]} "
        f"least ({shown_least})"
    )


def _level_name(section: Section, level: int) -> str:
    """A level as sentences refer to it, such as `η=0.7` or `“audio missing”`."""
    labels = section.levels.labels
    if not section.levels.axis:
        return f"“{labels[level]}”"
    # Only the first label names the axis, as in `η=0`.
    return labels[0] if level == 0 else f"{labels[0].partition('=')[0]}={labels[level]}"
