"""A figure's sentence for every choice of training regime, because the reader sees one regime at a time."""

from collections.abc import Callable, Collection, Mapping

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.vocabulary import FIRST_REGIME

ALL_REGIMES = ""
# A sentence about some rows, by their indices
Writer = Callable[[Collection[int]], str]


def regimes_of(section: Section) -> list[str]:
    """The training regimes of a section that the reader can choose from, if there are several; else no choice."""
    regimes = sorted({own_regime(row) for row in section.rows} - {""}, key=lambda name: (name != FIRST_REGIME, name))
    return regimes if len(regimes) > 1 else []


def own_regime(row: Row) -> str:
    """The regime of a row; empty for rows that are shown with every regime."""
    return "" if row.is_limit or row.is_imported else row.regime


def rows_of_regime(section: Section, regime: str) -> list[int]:
    """Indices of the rows that are shown with a regime; of all rows for `ALL_REGIMES`."""
    return [i for i, row in enumerate(section.rows) if not regime or own_regime(row) in ("", regime)]


def by_regime(section: Section, write: Writer) -> Mapping[str, str]:
    """The sentence about the rows of each regime, the regime that is shown first in front."""
    return {regime: write(rows_of_regime(section, regime)) for regime in (*regimes_of(section), ALL_REGIMES)}
