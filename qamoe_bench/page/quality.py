"""Quality scores against the corruption that they should know."""

from collections.abc import Mapping
from functools import lru_cache

import altair as alt

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_curves import QualityCurve
from qamoe_bench.page.figure import Columns, Figure, listed, plain
from qamoe_bench.page.marks import Look, rows, specification, tips
from qamoe_bench.report.table import shown

KNOWS = -0.3  # Spearman's ρ from which on a score is said to follow the corruption


def quality(found: Analysis, curves: Mapping[tuple[str, str], QualityCurve], look: Look) -> list[Figure]:
    """A figure per modality."""
    modalities = dict.fromkeys(m for _, m in curves)
    return [_of(found, m, {name: c for (name, of), c in curves.items() if of == m}, look) for m in modalities]


def _of(found: Analysis, m: str, curves: Mapping[str, QualityCurve], look: Look) -> Figure:
    names = tuple(curves)
    columns: Columns = {
        "row": [name for name, c in curves.items() for _ in c.count],
        "x": plain([x for c in curves.values() for x in c.corruption]),
        "value": plain([x for c in curves.values() for x in c.mean]),
        "low": plain([x for c in curves.values() for x in c.low]),
        "high": plain([x for c in curves.values() for x in c.high]),
        "count": [int(n) for c in curves.values() for n in c.count],
    }
    return Figure(
        kind="quality",
        title=f"Quality score of {m} against its corruption",
        sentence=_sentence(found, m, names),
        about=f"Mean r of {m} against the share of its signal that is gone, with the middle half of samples as a band. "
        "A score that knows falls from left to right.",
        spec=_spec(m, names, look),
        columns=columns,
    )


@lru_cache(maxsize=256)
def _spec(m: str, names: tuple[str, ...], look: Look) -> dict[str, object]:
    x = alt.X("x:Q", title=f"corruption of {m}, share of signal gone", scale=alt.Scale(domain=[0, 1]))
    title = f"r of {m}, 0 to 1"
    base = alt.Chart(rows()).encode(x=x, color=look.colour(names))
    tip = tips(
        ("row:N", "model", ""), ("x:Q", "share gone", ".2f"), ("value:Q", f"mean r of {m}", ".3f"),
        ("low:Q", "middle half from", ".3f"), ("high:Q", "to", ".3f"), ("count:Q", "answers", ","),
    )  # fmt: skip
    band = base.mark_area(opacity=0.14).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0))
    line = base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=look.dash(names))
    point = base.mark_point(filled=True, opacity=1, size=42).encode(y=y, shape=look.marker(names))
    target = base.mark_point(size=320, opacity=0, filled=True).encode(y=y, tooltip=tip)
    return specification(alt.layer(band, line, point, target), 220)


def _sentence(found: Analysis, m: str, names: tuple[str, ...]) -> str:
    rho = {name: found.quality[name][m].corruption for name in names if m in found.quality.get(name, {})}
    if not rho:
        return ""
    words = [f"{name} {shown(value, '+.2f')}" for name, value in rho.items()]
    know = [name for name, value in rho.items() if value <= KNOWS]
    verdict = (
        f"{listed(know)} follow{'s' * (len(know) == 1)} the corruption" if know else "no score follows the corruption"
    )
    return f"Spearman's ρ of the score with the corruption is {listed(words)}: {verdict}."
