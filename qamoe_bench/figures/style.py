"""The style of figures: widths of columns, fonts, and the colour, marker and line of each row.

Fonts are embedded: PDF has TrueType outlines (type 42), which remain searchable and editable text; SVG has paths,
which look the same in every viewer. The font comes with matplotlib, so all machines draw the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qamoe_bench.figures.palette import Style

COLUMN_WIDTHS = {"one": 3.3, "two": 7.0}
"""Inches of one and of two columns of a page."""
BROAD = 5.0  # inches; figures at least as wide have their legend to the right of the panels
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.2,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "text.parse_math": False,  # names of models and samples may hold dollar signs
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "qamoe-bench",
}
MARKER_CODES = {
    "circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "triangle-down": "v", "cross": "P",
    "triangle-left": "<", "triangle-right": ">",
}  # fmt: skip
"""matplotlib's codes of the markers of `qamoe_bench.figures.palette`."""
QUIET = "0.35"
"""Grey of reference lines and remarks."""
LEGEND_NAME_WIDTH = 30  # characters of a line


@contextmanager
def styled() -> Iterator[None]:
    """Settings to draw and save under, independent of the user's matplotlib configuration."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def blank(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, that lays out its parts automatically."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot, whose global state is not thread-safe
    return figure


def line(style: Style) -> dict[str, Any]:
    """Arguments of `plot` for a row's line with markers."""
    return {
        "color": style.colour,
        "marker": MARKER_CODES[style.marker],
        "linestyle": dashes(style),
        "markeredgewidth": 0,
    }


def dashes(style: Style) -> str | tuple[int, tuple[float, ...]]:
    """The line style of a row."""
    # The palette has pixels for lines 1.5 wide, matplotlib expects multiples of the line width.
    return (0, tuple(length / 1.5 for length in style.dash)) if style.dash else "-"


def wrapped(name: str, width: int = LEGEND_NAME_WIDTH) -> str:
    """A long name on several lines, broken after `:`, `,` or a blank if possible."""
    marked = name.replace(":", ":\0").replace(",", ",\0").replace(" ", " \0")  # \0: a break is allowed here
    lines = [""]
    for part in marked.split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    pieces = []
    for text in (line.rstrip() for line in lines):
        # A part that is still too long is cut anywhere.
        pieces += [text[start : start + width] for start in range(0, len(text), width)]
    return "\n".join(pieces)


def legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Add a legend with all rows: below the panels, or to their right if the figure is broad."""
    labels = [wrapped(name) for name in names]
    width = figure.get_figwidth()
    if width >= BROAD:
        figure.legend(handles, labels, loc="outside right upper")
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=_legend_columns(labels, width))


def legend_height(names: Sequence[str], width: float) -> float:
    """Inches of the legend below the panels."""
    if width >= BROAD or not names:
        return 0.0
    labels = [wrapped(name) for name in names]
    lines = max(label.count("\n") + 1 for label in labels)
    # A line takes .14 inches; one more row is room for the frame.
    return 0.14 * (len(labels) / _legend_columns(labels, width) + 1) * lines


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """The number of columns of labels that fit side by side."""
    longest = max(len(line) for label in labels for line in label.split("\n"))
    # A handle takes .5 inches, a character .055.
    return max(1, min(len(labels), int(width / (0.5 + 0.055 * longest))))
