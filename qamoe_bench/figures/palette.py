"""Colours, markers and line styles of rows, the same in figures and on the page.

Every colour stands out from white and from a dark ground alike (contrast of at least 3 to 1, as WCAG asks of graphics),
and neighbours differ in lightness or along the axis that colour-blind readers see. Eight colours cannot all be told
apart by everyone, so a row has a marker and a line style of its own as well. Colours are of Okabe & Ito (2008) and
Paul Tol.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.store.cell import ORACLE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c7a00", "#cc6677", "#4c7f9b", "#a0522d")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left", "triangle-right")
DASHES = ((), (6, 2), (2, 2), (6, 2, 2, 2))
LIMIT = "#767676"

# The built-in models look the same in every figure, whichever of them are shown.
BUILT_IN = ("qa-moe", "late-fusion", "c-mib", "qa-moe-plus", "text-only", "mm-boosting", "sam-lml", "mean")


@dataclass(frozen=True)
class Style:
    """How a row is drawn: `#rrggbb`, a marker by its name in Vega, lengths of dashes and gaps (none: a solid line)."""

    colour: str
    marker: str
    dash: tuple[int, ...]


def styles(rows: Iterable[str]) -> dict[str, Style]:
    """A style for each row: fixed for built-in models and the oracle, the rest in order of their names."""
    rows = list(dict.fromkeys(rows))
    others = sorted(row for row in rows if row not in BUILT_IN and row != ORACLE)
    places = {row: BUILT_IN.index(row) for row in rows if row in BUILT_IN}
    places |= {row: len(BUILT_IN) + index for index, row in enumerate(others)}
    return {row: _limit() if row == ORACLE else _style(places[row]) for row in rows}


def _style(place: int) -> Style:
    turn = place // len(COLOURS)
    return Style(COLOURS[place % len(COLOURS)], MARKERS[(place + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])


def _limit() -> Style:
    return Style(LIMIT, "circle", (1, 2))
