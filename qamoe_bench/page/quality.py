"""Quality scores against the realised corruption of their modality."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain

import altair as alt
import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_curves import QualityCurve
from qamoe_bench.page.figure import ChartColumns, Figure, comma_list, json_numbers
from qamoe_bench.page.marks import row_colour, row_dash, row_data, row_marker, specification, tips
from qamoe_bench.page.sentences import by_regime

# Spearman's ρ with the corruption, at or below which a score is said to follow it
FOLLOWS = -0.3


def quality_charts(
    analysis: Analysis, curves: Mapping[tuple[str, str], QualityCurve]
) -> list[Figure]:  # fmt: skip
    """One figure per modality.

    Args:
        analysis: Gives the correlations that the sentences quote.
        curves: By row name and modality.
    """
    # Rows without a score of a modality are missing from its figure.
    by_modality: dict[str, dict[str, QualityCurve]] = {}
    for (name, modality), curve in curves.items():
        by_modality.setdefault(modality, {})[name] = curve
    return [_figure(analysis, modality, by_row) for modality, by_row in by_modality.items()]


def _figure(analysis: Analysis, modality: str, curves: Mapping[str, QualityCurve]) -> Figure:
    rows = analysis.section.rows

    def write(chosen: Collection[int]) -> str:
        return _sentence(analysis, modality, [rows[i].name for i in chosen if rows[i].name in curves])

    return Figure(
        kind="quality",
        title=f"Quality score of {modality} against its corruption",
        sentences=by_regime(analysis.section, write),
        about=f"Mean r of {modality} against the share of its signal that is lost; the band holds the middle half of "
        "the predictions. An informative score falls from left to right.",
        spec=_spec(modality),
        columns=_columns(curves),
        part=modality,
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
def _spec(modality: str) -> dict[str, object]:
    x = alt.X("x:Q", title=f"corruption of {modality}, share of signal lost", scale=alt.Scale(domain=[0, 1]))
    title = f"r of {modality}, 0 to 1"
    base = alt.Chart(row_data()).encode(x=x, color=row_colour())
    tip = tips(
        ("row:N", "model", ""), ("x:Q", "share lost", ".2f"), ("value:Q", f"mean r of {modality}", ".3f"),
        ("low:Q", "middle half from", ".3f"), ("high:Q", "to", ".3f"), ("count:Q", "predictions", ","),
    )  # fmt: skip
    band = base.mark_area(opacity=0.14).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    # Scores lie in [0, 1]; the scale starts at 0 so that flat curves look flat.
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0))
    line = base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=row_dash())
    point = base.mark_point(filled=True, opacity=1, size=42).encode(y=y, shape=row_marker())
    # Invisible, and easier to hit with the pointer than the visible marker.
    target = base.mark_point(size=320, opacity=0, filled=True).encode(y=y, tooltip=tip)
    return specification(alt.layer(band, line, point, target), 220)


def _sentence(analysis: Analysis, modality: str, names: Sequence[str]) -> str:
    if not names:
        return f"No model of this regime has a quality score of {modality}."
    rho = {name: analysis.quality[name][modality].corruption for name in names}  # Spearman's, with the corruption
    following = [f"{name} ({rho[name]:+.2f})" for name in names if rho[name] <= FOLLOWS]
    if not following:
        return (
            f"No score of {modality} falls with its corruption: Spearman's ρ is {_extent(list(rho.values()), '+.2f')}."
        )
    verb = "falls" if len(following) == 1 else "fall"
    sentence = f"The score of {comma_list(following)} {verb} with the corruption of {modality} (Spearman's ρ)."
    separation = [analysis.quality[name][modality].separation_present for name in names]  # AUROC
    present = [value for value in separation if np.isfinite(value)]
    if not present:
        return sentence
    # Missing samples are easy to recognise, so that ρ may be due to them alone.
    extent = _extent(present, ".2f")
    return f"{sentence} Where {modality} is present, the AUROC of clean against corrupted samples is {extent}."


def _extent(values: Sequence[float], digits: str) -> str:
    """`.52`, or `.52 to .71`."""
    known = [value for value in values if np.isfinite(value)]
    ends = dict.fromkeys([f"{min(known):{digits}}", f"{max(known):{digits}}"]) if known else ["undefined"]
    return " to ".join(ends)
