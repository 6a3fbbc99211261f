"""Which rows can be told apart: every pair of contestants, in the mean over the sweep."""

from functools import lru_cache

import altair as alt

from qamoe_bench.analysis.comparisons import Difference, pairwise_differences
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import Columns, Figure, plain, unit_of
from qamoe_bench.page.marks import number_format, rows, specification, tips

ABSENT = "The matrix of differences is left out: there is only one row to compare."
VERDICTS = {"better": "#0072b2", "not told apart": "#8a8a8a", "worse": "#b34700"}
SIGNS = {"better": "▲", "not told apart": "≈", "worse": "▼"}
STEP = 26


def significance(section: Section, scores: Scores, dialect: str) -> Figure | None:
    """One metric."""
    pairs = pairwise_differences(section, scores)
    if not pairs:
        return None
    metric, names = scores.metric, tuple(row.name for row in section.rows)
    both = {**pairs, **{(j, i): _turned(d) for (i, j), d in pairs.items()}}
    found = sorted(both.items())
    verdicts = [_verdict(metric, d) for _, d in found]
    columns: Columns = {
        "row": [names[i] for (i, _), _ in found],
        "other": [names[j] for (_, j), _ in found],
        "value": plain([d.value for _, d in found], metric.scale),
        "low": plain([d.low for _, d in found], metric.scale),
        "high": plain([d.high for _, d in found], metric.scale),
        "p": plain([d.p for _, d in found]),
        "verdict": verdicts,
        "sign": [SIGNS[v] for v in verdicts],
    }
    order = tuple(names[i] for i in sorted({i for pair in pairs for i in pair}))
    return Figure(
        kind="significance",
        title=f"Which rows differ in {metric.name}?",
        sentence=_sentence(metric, pairs, names),
        about=f"A matrix of pairs: the row at the left minus the row on top in {metric.title}, mean over the sweep, on "
        "the same samples. ▲: surely better; ▼: surely worse; ≈: not told apart.",
        spec=_spec(metric, order),
        columns=columns,
        dialect=dialect,
        metric=metric.name,
        note="Intervals and verdicts are Holm-corrected over all pairs, p is not.",
    )


def _turned(d: Difference) -> Difference:
    return Difference(-d.value, -d.high, -d.low, d.p, d.detectable)


def _verdict(metric: Metric, d: Difference) -> str:
    if not d.is_significant:
        return "not told apart"
    return "better" if metric.sign * d.value > 0 else "worse"


@lru_cache(maxsize=256)
def _spec(metric: Metric, order: tuple[str, ...]) -> dict[str, object]:
    how = "+" + number_format(metric)
    title = f"difference in {unit_of(metric)}".replace(", %", ", points")
    tip = tips(
        ("row:N", "model", ""), ("other:N", "minus", ""), ("value:Q", title, how), ("low:Q", "interval from", how),
        ("high:Q", "to", how), ("p:Q", "p", ".2~g"), ("verdict:N", "so it is", ""),
    )  # fmt: skip
    base = alt.Chart(rows()).encode(
        x=alt.X(
            "other:N", title="than this row", sort=order, axis=alt.Axis(orient="top", labelAngle=-90, labelLimit=150)
        ),
        y=alt.Y("row:N", title="is this row better", sort=order, axis=alt.Axis(labelLimit=150)),
    )
    scale = alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values()))
    legend = alt.Legend(
        title="this row is", orient="bottom", symbolType="square", symbolOpacity=1, direction="vertical"
    )
    fill = base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(
        color=alt.Color("verdict:N", scale=scale, legend=legend), tooltip=tip
    )
    text = base.mark_text(fontSize=12, color="#ffffff", fontWeight="bold").encode(text="sign:N")
    return specification(alt.layer(fill, text), STEP * len(order))


def _sentence(metric: Metric, pairs: dict[tuple[int, int], Difference], names: tuple[str, ...]) -> str:
    sure = [(pair, d) for pair, d in pairs.items() if d.is_significant]
    total = f"{len(sure)} of {len(pairs)} pairs are told apart in {metric.name}"
    if not sure:
        return f"No pair of rows is told apart in {metric.name}."
    (i, j), widest = max(sure, key=lambda item: abs(item[1].value))
    better, worse = (i, j) if metric.sign * widest.value > 0 else (j, i)
    amount = metric.show(abs(widest.value))
    return f"{total}; the widest sure gap is between {names[better]} and {names[worse]}, {amount}."
