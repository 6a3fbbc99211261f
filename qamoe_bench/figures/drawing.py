"""A finished figure and its files: equal results give equal bytes, for every type of file."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: What tells it from other figures of its kind and section: a metric, a row; may be empty.
        figure: Drawn inside of `qamoe_bench.figures.style.styled`, and to be saved there.
        caption: What it shows, as sentences.
    """

    name: str
    figure: Figure
    caption: str


FigureKind = Callable[[Analysis, float], Iterator[Drawing]]
"""From everything that is known of a section and a width in inches to figures; none where there is nothing to show."""

METADATA: Mapping[str, Mapping[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": "qamoe-bench", "CreationDate": None},
    "svg": {"Creator": "qamoe-bench", "Date": None},
}
"""What files say of themselves, by type: no date."""
TYPES = tuple(METADATA)


def content(figure: Figure, type: str, dpi: int = 300) -> bytes:
    """The file's bytes; `type` is one of `TYPES`, `dpi` the pixels per inch of PNG."""
    file = io.BytesIO()
    figure.savefig(file, format=type, metadata=dict(METADATA[type]), dpi=dpi)
    return file.getvalue()
