"""Colours, markers and line styles of rows, the same in figures and on the page.

Every colour has a contrast of at least 3 to 1 with a white and with a dark background, which WCAG requires of graphics,
and neighbours differ in lightness or along the axis that readers with colour-vision deficiencies see. Nobody
distinguishes eight colours reliably, so each row also has its own marker and line style. Colours are from Okabe & Ito
(2008) and Paul Tol.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from qamoe_bench.registry import palette_places
from qamoe_bench.store.cell import ORACLE

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c7a00", "#cc6677", "#4c7f9b", "#a0522d")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left", "triangle-right")
DASHES = ((), (6, 2), (2, 2), (6, 2, 2, 2))
ORACLE_COLOUR = "#767676"


@dataclass(frozen=True)
class Style:
    """Style of a row: `#rrggbb`, a marker by its name in Vega, pixels of dashes and gaps (empty: a solid line)."""

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
    return {row: _oracle_style() if row == ORACLE else _style(places[row]) for row in rows}


def _style(place: int) -> Style:
    # Colours repeat after eight rows; the marker shifts and the dashes change with every repetition.
    turn = place // len(COLOURS)
    return Style(COLOURS[place % len(COLOURS)], MARKERS[(place + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])


def _oracle_style() -> Style:
    return Style(ORACLE_COLOUR, "circle", (1, 2))
