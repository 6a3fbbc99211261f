"""Colours, markers and line styles of rows, the same in figures and on the page.

Every colour stands out from white and from a dark ground alike (contrast of at least 3 to 1, as WCAG asks of graphics),
and neighbours differ in lightness or along the axis that colour-blind readers see. Eight colours cannot all be told
apart by everyone, so a row has a marker and a line style of its own as well. Colours are of Okabe & Ito (2008) and
Paul Tol.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.registry import palette_places
from qamoe_bench.store.cell import ORACLE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c7a00", "#cc6677", "#4c7f9b", "#a0522d")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left", "triangle-right")
DASHES = ((), (6, 2), (2, 2), (6, 2, 2, 2))
LIMIT = "#767676"


@dataclass(frozen=True)
class Style:
    """How a row is drawn: `#rrggbb`, a marker by its name in Vega, lengths of dashes and gaps (none: a solid line)."""

    colour: str
    marker: str
    dash: tuple[int, ...]


def styles(rows: Iterable[str]) -> dict[str, Style]:
    """A style for each row: fixed for the oracle and for models that declare one, the rest in order of their names."""
    rows = list(dict.fromkeys(rows))
    places = palette_places()
    others = sorted(row for row in rows if row not in places and row != ORACLE)
    # The first turn through the colours is reserved for models that declare a style, whether or not they are shown.
    places |= {row: len(COLOURS) + index for index, row in enumerate(others)}
    return {row: _limit() if row == ORACLE else _style(places[row]) for row in rows}


def _style(place: int) -> Style:
    turn = place // len(COLOURS)
    return Style(COLOURS[place % len(COLOURS)], MARKERS[(place + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])


def _limit() -> Style:
    return Style(LIMIT, "circle", (1, 2))
