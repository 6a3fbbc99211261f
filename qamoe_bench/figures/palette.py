"""Colours, markers and line styles of rows, the same in figures and on the page.

Every colour has a contrast of about 3 to 1 or more with a white and with a dark background, which WCAG requires of
graphics. Nobody distinguishes so many colours reliably, so each row also has its own marker and line style. The first
colours are from Okabe & Ito (2008) and Paul Tol; the others are as far from them as the contrast allows, also for
readers with colour-vision deficiencies. Variants of a model have its colour.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from qamoe_bench.registry import palette_places
from qamoe_bench.registry.card import STYLES
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.store.cell import ORACLE
from qamoe_bench.vocabulary import FIRST_REGIME

COLOURS = (
    # Declared by models, see `qamoe_bench.registry.card`
    "#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c7a00", "#cc6677", "#8f78f2", "#a0522d",
    # Of all other models
    "#6f8fb3", "#b87d4a", "#8a6074", "#0a8fd1",
)  # fmt: skip
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
    """A style for each row: fixed for limits and for models that declare one, the rest in order of their names."""
    rows = sorted(set(rows))
    places = palette_places()
    models = _models(rows, places)
    # The first colours are reserved for models that declare a style, whether or not they are shown.
    limits = [ORACLE, *LIMITS]
    others = sorted(set(models.values()) - {*places, *limits})
    places |= {model: STYLES + index for index, model in enumerate(others)}
    looks: dict[str, Style] = {}
    used: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: (row != models[row], not row.endswith(f" ({FIRST_REGIME})"))):
        is_limit = models[row] in limits
        looks[row] = (
            _limit_style(limits.index(models[row])) if is_limit else _style(places[models[row]], used[models[row]])
        )
        used[models[row]] += 1
    return looks


def _models(rows: Sequence[str], places: Collection[str]) -> dict[str, str]:
    """The model that each row is a variant of, or the row itself: the longest prefix that is a model's name."""
    plain = {row: re.sub(r"( \([^()]*\))?( #\w+)?$", "", row) for row in rows}  # without regime and recipe
    known = {*plain.values(), *places}
    models = {}
    for row, name in plain.items():
        parts = name.split(":")
        # A model named by its module holds a colon itself.
        prefixes = [":".join(parts[:end]) for end in range(1, len(parts))]
        models[row] = next((prefix for prefix in prefixes if prefix in known), name)
    return models


def _style(place: int, variant: int) -> Style:
    # Colours repeat after twelve models; marker and dashes change with every repetition, and with every variant.
    turn = place // len(COLOURS)
    marker = place + turn + 3 * variant  # 3: a variant's marker is not that of a repetition
    dash = turn + variant
    return Style(COLOURS[place % len(COLOURS)], MARKERS[marker % len(MARKERS)], DASHES[dash % len(DASHES)])


def _limit_style(place: int) -> Style:
    """Grey, so that limits recede behind models; the first one is the oracle."""
    return Style(ORACLE_COLOUR, MARKERS[place], ((1, 2), *DASHES)[place])
