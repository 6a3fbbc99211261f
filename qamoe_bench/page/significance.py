"""Significant differences: every pair of contestants, in the mean over the sweep."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache

import altair as alt

from qamoe_bench.analysis.comparisons import PairDifferences
from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import ChartColumns, Figure, difference_unit, json_numbers
from qamoe_bench.page.marks import DIGITS, UNIT, filled, number_format, row_data, specification, tips
from qamoe_bench.page.packing import packed
from qamoe_bench.page.sentences import by_regime
from qamoe_bench.report.table import counted
from qamoe_bench.vocabulary import metric_label

BETTER = "better"
EQUAL = "not significant"
WORSE = "worse"
VERDICT_COLOURS: Mapping[str, str] = {BETTER: "#0072b2", EQUAL: "#8a8a8a", WORSE: "#b34700"}
VERDICT_SIGNS: Mapping[str, str] = {BETTER: "▲", EQUAL: "≈", WORSE: "▼"}
CELL_SIZE = 26  # px


def significance_figure(section: Section, metric: Metric, pairs: PairDifferences) -> Figure | None:
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
        spec=_spec(metric, len(contestants)),
        columns=_columns(metric, pairs, [names[i] for i in contestants]),
        metric=metric.name,
        note="Intervals and verdicts are Holm-corrected over all pairs, p is not.",
    )


def _columns(metric: Metric, pairs: PairDifferences, names: Sequence[str]) -> ChartColumns:
    """Each pair once, in the order of `combinations`; the page's script mirrors them, and derives the verdicts."""
    differences = list(pairs.values())
    half = [(d.high - d.low) / 2 for d in differences]
    return {
        "row": names,
        "value": packed([metric.scale * d.value for d in differences]),
        "half": packed([metric.scale * x for x in half]),
        "p": json_numbers([d.p for d in differences]),
        "significant": "".join(str(int(d.is_significant)) for d in differences),
        "verdicts": [[better, VERDICT_SIGNS[better]] for better in VERDICT_COLOURS],
        "sign": metric.sign,
    }


def _spec(metric: Metric, contestants: int) -> dict[str, object]:
    words = {UNIT: difference_unit(metric, "difference in"), DIGITS: "+" + number_format(metric)}
    return filled(_template(), words, CELL_SIZE * contestants)


@cache
def _template() -> dict[str, object]:
    tip = tips(
        ("row:N", "model", ""), ("other:N", "minus", ""), ("value:Q", UNIT, DIGITS),
        ("low:Q", "interval from", DIGITS), ("high:Q", "to", DIGITS), ("p:Q", "p", ".2~g"),
        ("verdict:N", "verdict", ""),
    )  # fmt: skip
    # Names of models are long: they are written upwards, and cut at 150 px.
    top = alt.Axis(orient="top", labelAngle=-90, labelLimit=150)
    base = alt.Chart(row_data()).encode(
        x=alt.X("other:N", title="minus this model", axis=top),
        y=alt.Y("row:N", title="this model", axis=alt.Axis(labelLimit=150)),
    )
    scale = alt.Scale(domain=list(VERDICT_COLOURS), range=list(VERDICT_COLOURS.values()))
    legend = alt.Legend(
        title="verdict", orient="bottom", symbolType="square", symbolOpacity=1, direction="vertical"
    )  # fmt: skip
    colour = alt.Color("verdict:N", scale=scale, legend=legend)
    # Colour and sign both give the verdict, so that the matrix can be read without colours.
    fill = base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(color=colour, tooltip=tip)
    text = base.mark_text(fontSize=12, color="#ffffff", fontWeight="bold").encode(text="sign:N")
    return specification(alt.layer(fill, text))


def _sentence(section: Section, metric: Metric, pairs: PairDifferences, rows: Collection[int]) -> str:
    # That models beat the one that ignores its inputs is no news.
    models = {i for i in rows if section.rows[i].model != MEAN}
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
