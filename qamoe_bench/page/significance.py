"""Significant differences: every pair of contestants, in the mean over the sweep."""

from collections.abc import Collection, Mapping
from functools import lru_cache

import altair as alt

from qamoe_bench.analysis.comparisons import Difference, PairDifferences
from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import ChartColumns, Figure, difference_unit, json_numbers
from qamoe_bench.page.marks import number_format, row_data, specification, tips
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.report.table import counted
from qamoe_bench.vocabulary import metric_label

BETTER = "better"
EQUAL = "not significant"
WORSE = "worse"
VERDICT_COLOURS: Mapping[str, str] = {BETTER: "#0072b2", EQUAL: "#8a8a8a", WORSE: "#b34700"}
VERDICT_SIGNS: Mapping[str, str] = {BETTER: "▲", EQUAL: "≈", WORSE: "▼"}
CELL_SIZE = 26  # px


def significance_figure(section: Section, metric: Metric, pairs: PairDifferences, dialect: str) -> Figure | None:
    """The matrix of one metric; None if there are fewer than two contestants."""
    if not pairs:
        return None
    names = tuple(row.name for row in section.rows)
    # The oracle is in no pair, and neither are rows without a value.
    contestants = sorted({i for pair in pairs for i in pair})
    return Figure(
        kind="significance",
        title=f"Every pair in {metric_label(metric.name)}",
        sentences=by_regime(section, lambda rows: _sentence(section, metric, pairs, rows)),
        about=f"The left model against the top model in mean {metric_label(metric.name)} over the sweep, on the same "
        "samples. ▲: significantly better; ▼: significantly worse; ≈: not significant.",
        spec=_spec(metric, tuple(names[i] for i in contestants)),
        columns=_columns(metric, pairs, names),
        dialect=dialect,
        metric=metric.name,
        note="Intervals and verdicts are Holm-corrected over all pairs, p is not.",
    )


def _columns(metric: Metric, pairs: PairDifferences, names: tuple[str, ...]) -> ChartColumns:
    # The analysis has each pair once, the matrix both ways.
    mirrored = {(j, i): difference.reversed() for (i, j), difference in pairs.items()}
    cells = sorted({**pairs, **mirrored}.items())
    differences = [difference for _, difference in cells]
    verdicts = [_verdict(metric, difference) for difference in differences]
    return {
        "row": [names[i] for (i, _), _ in cells],
        "other": [names[j] for (_, j), _ in cells],
        "value": json_numbers([d.value for d in differences], metric.scale),
        "low": json_numbers([d.low for d in differences], metric.scale),
        "high": json_numbers([d.high for d in differences], metric.scale),
        "p": json_numbers([d.p for d in differences]),
        "verdict": verdicts,
        "sign": [VERDICT_SIGNS[verdict] for verdict in verdicts],
    }


def _verdict(metric: Metric, d: Difference) -> str:
    if not d.is_significant:
        return EQUAL
    return BETTER if metric.sign * d.value > 0 else WORSE


@lru_cache(maxsize=256)
def _spec(metric: Metric, order: tuple[str, ...]) -> dict[str, object]:
    digits = "+" + number_format(metric)
    title = difference_unit(metric, "difference in")
    tip = tips(
        ("row:N", "model", ""), ("other:N", "minus", ""), ("value:Q", title, digits),
        ("low:Q", "interval from", digits), ("high:Q", "to", digits), ("p:Q", "p", ".2~g"),
        ("verdict:N", "verdict", ""),
    )  # fmt: skip
    # Names of models are long: they are written upwards, and cut at 150 px.
    top = alt.Axis(orient="top", labelAngle=-90, labelLimit=150)
    base = alt.Chart(row_data()).encode(
        x=alt.X("other:N", title="minus this model", sort=order, axis=top),
        y=alt.Y("row:N", title="this model", sort=order, axis=alt.Axis(labelLimit=150)),
    )
    scale = alt.Scale(domain=list(VERDICT_COLOURS), range=list(VERDICT_COLOURS.values()))
    legend = alt.Legend(
        title="verdict", orient="bottom", symbolType="square", symbolOpacity=1, direction="vertical"
    )  # fmt: skip
    colour = alt.Color("verdict:N", scale=scale, legend=legend)
    # Colour and sign both give the verdict, so that the matrix can be read without colours.
    fill = base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(color=colour, tooltip=tip)
    text = base.mark_text(fontSize=12, color="#ffffff", fontWeight="bold").encode(text="sign:N")
    return specification(alt.layer(fill, text), CELL_SIZE * len(order))


def _sentence(section: Section, metric: Metric, pairs: PairDifferences, rows: Collection[int]) -> str:
    # That models beat the one that ignores its inputs is no news.
    models = [i for i in rows if section.rows[i].model != MEAN]
    between = {pair: d for pair, d in pairs.items() if pair[0] in models and pair[1] in models}
    significant = {pair: difference for pair, difference in between.items() if difference.is_significant}
    label = metric_label(metric.name)
    if not significant:
        return f"No two models differ significantly in {label}."
    # The pair with the largest difference, whose better model is named first.
    first, second = max(significant, key=lambda pair: abs(significant[pair].value))
    widest = significant[first, second].value
    if metric.sign * widest < 0:
        first, second = second, first
    return (
        f"{len(significant)} of {counted(len(between), 'pair')} of models differ significantly in {label}, most of all "
        f"{section.rows[first].name} and {section.rows[second].name}, by {metric.show(abs(widest))}."
    )
