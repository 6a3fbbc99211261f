"""A finished figure and its files: equal results give equal bytes in every type of file."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from qamoe_bench.analysis.analyse import Analysis


@dataclass(frozen=True)
class Drawing:
    """A figure with its name and caption.

    Attributes:
        name: Distinguishes it from other figures of its kind and section: a metric or a row; may be empty.
        figure: Drawn within `qamoe_bench.figures.style.styled`, and to be saved within it.
        caption: Full sentences.
    """

    name: str
    figure: Figure
    caption: str


FigureKind = Callable[[Analysis, float], Iterator[Drawing]]
"""From the analysis of a section and a width in inches to figures; none if the section has nothing to show."""

METADATA: Mapping[str, Mapping[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": "qamoe-bench", "CreationDate": None},
    "svg": {"Creator": "qamoe-bench", "Date": None},
}
"""Metadata of the files, by type; without a date, which would make equal figures differ."""
TYPES = tuple(METADATA)


def content(figure: Figure, type: str, dpi: int = 300) -> bytes:
    """The bytes of the file; `type` is one of `TYPES`, `dpi` the pixels per inch of PNG."""
    file = io.BytesIO()  # in memory, so that the caller can write the file atomically
    figure.savefig(file, format=type, metadata=dict(METADATA[type]), dpi=dpi)
    return file.getvalue()
