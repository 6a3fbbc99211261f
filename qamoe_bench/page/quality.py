"""Quality scores against the realised corruption of their modality."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

import altair as alt
import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_curves import QualityCurve
from qamoe_bench.page.figure import ChartColumns, Figure, comma_list, json_numbers
from qamoe_bench.page.marks import Look, row_data, specification, tips
from qamoe_bench.report.table import shown

# Spearman's ρ with the corruption, at or below which a score is said to follow it
FOLLOWS = -0.3


def quality_charts(
    analysis: Analysis, curves: Mapping[tuple[str, str], QualityCurve], look: Look
) -> list[Figure]:  # fmt: skip
    """One figure per modality.

    Args:
        analysis: Gives the correlations that the sentences quote.
        curves: By row name and modality.
        look: Styles of the rows.
    """
    # Rows without a score of a modality are missing from its figure.
    by_modality: dict[str, dict[str, QualityCurve]] = {}
    for (name, modality), curve in curves.items():
        by_modality.setdefault(modality, {})[name] = curve
    return [_figure(analysis, modality, by_row, look) for modality, by_row in by_modality.items()]


def _figure(analysis: Analysis, modality: str, curves: Mapping[str, QualityCurve], look: Look) -> Figure:
    names = tuple(curves)
    return Figure(
        kind="quality",
        title=f"Quality score of {modality} against its corruption",
        sentence=_sentence(analysis, modality, names),
        about=f"Mean r of {modality} against the share of its signal that is lost; the band holds the middle half of "
        "the predictions. An informative score falls from left to right.",
        spec=_spec(modality, names, look),
        columns=_columns(curves),
    )


def _columns(curves: Mapping[str, QualityCurve]) -> ChartColumns:
    # Rows may have different numbers of classes of corruption, so the columns are concatenated, not stacked.
    return {
        "row": [name for name, curve in curves.items() for _ in curve.count],
        "x": json_numbers(list(chain.from_iterable(c.corruption for c in curves.values()))),
        "value": json_numbers(list(chain.from_iterable(c.mean for c in curves.values()))),
        "low": json_numbers(list(chain.from_iterable(c.low for c in curves.values()))),
        "high": json_numbers(list(chain.from_iterable(c.high for c in curves.values()))),
        "count": [int(count) for curve in curves.values() for count in curve.count],
    }


@lru_cache(maxsize=256)
def _spec(modality: str, names: tuple[str, ...], look: Look) -> dict[str, object]:
    x = alt.X("x:Q", title=f"corruption of {modality}, share of signal lost", scale=alt.Scale(domain=[0, 1]))
    title = f"r of {modality}, 0 to 1"
    base = alt.Chart(row_data()).encode(x=x, color=look.colour(names))
    tip = tips(
        ("row:N", "model", ""), ("x:Q", "share lost", ".2f"), ("value:Q", f"mean r of {modality}", ".3f"),
        ("low:Q", "middle half from", ".3f"), ("high:Q", "to", ".3f"), ("count:Q", "predictions", ","),
    )  # fmt: skip
    band = base.mark_area(opacity=0.14).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    # Scores lie in [0, 1]; the scale starts at 0 so that flat curves look flat.
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0))
    line = base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=look.dash(names))
    point = base.mark_point(filled=True, opacity=1, size=42).encode(y=y, shape=look.marker(names))
    # Invisible, and easier to hit with the pointer than the visible marker.
    target = base.mark_point(size=320, opacity=0, filled=True).encode(y=y, tooltip=tip)
    return specification(alt.layer(band, line, point, target), 220)


def _sentence(analysis: Analysis, modality: str, names: tuple[str, ...]) -> str:
    separation = {name: analysis.quality[name][modality].separation_present for name in names}  # AUROC
    present = [f"{name} {value:.2f}" for name, value in separation.items() if np.isfinite(value)]
    rho = {name: analysis.quality[name][modality].corruption for name in names}  # Spearman's, with the corruption
    quoted = [f"{name} {shown(value, '+.2f')}" for name, value in rho.items()]
    following = [name for name, value in rho.items() if value <= FOLLOWS]
    if not following:
        verdict = "no score follows the corruption"
    elif len(following) == 1:
        verdict = f"{following[0]} follows the corruption"
    else:
        verdict = f"{comma_list(following)} follow the corruption"
    sentence = f"Spearman's ρ of the score with the corruption: {comma_list(quoted)}; {verdict}."
    if not present:
        return sentence
    # Missing samples are easy to recognise, so that ρ may be due to them alone.
    return f"{sentence} Among samples that have {modality}, the AUROC of uncorrupted ones is {comma_list(present)}."
