"""How figures look: widths of columns, fonts, and each row's colour, marker and line.

Fonts are embedded: PDF holds TrueType outlines (type 42), which stay text that can be searched and edited; SVG holds
paths, which look the same wherever it is opened. The font comes with matplotlib, so every machine draws alike.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qamoe_bench.figures.palette import Style

WIDTHS = {"one": 3.3, "two": 7.0}
"""Inches of one and of two columns of a page."""
BROAD = 5.0  # inches from which on there is room beside a panel
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
MARKERS = {
    "circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "triangle-down": "v", "cross": "P",
    "triangle-left": "<", "triangle-right": ">",
}  # fmt: skip
QUIET = "0.35"
"""Grey of reference lines and remarks."""
NAME = 30  # characters of a name's line in a legend


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside of it, whatever the user's own matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches that arranges its parts by itself."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def line(style: Style) -> dict[str, Any]:
    """Arguments of `plot` for a row's line with markers."""
    return {"color": style.colour, "marker": MARKERS[style.marker], "linestyle": dashes(style), "markeredgewidth": 0}


def dashes(style: Style) -> str | tuple[int, tuple[float, ...]]:
    """The line style; lengths in line widths."""
    return (0, tuple(length / 1.5 for length in style.dash)) if style.dash else "-"


def wrapped(name: str, width: int = NAME) -> str:
    """A long name on several lines, broken behind a `:` or `,` where there is one."""
    lines = [""]
    for part in name.replace(":", ":\0").replace(",", ",\0").replace(" ", " \0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip()[i : i + width] for line in lines for i in range(0, len(line.rstrip()), width))


def legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """All rows' names: below the panels, or to their right where the figure is broad."""
    shown, width = [wrapped(name) for name in names], figure.get_figwidth()
    if width >= BROAD:
        figure.legend(handles, shown, loc="outside right upper")
    else:
        figure.legend(handles, shown, loc="outside lower center", ncols=_columns(shown, width))


def legend_height(names: Sequence[str], width: float) -> float:
    """Inches that the legend takes below the panels."""
    if width >= BROAD or not names:
        return 0.0
    shown = [wrapped(name) for name in names]
    lines = max(name.count("\n") + 1 for name in shown)
    return 0.14 * (len(shown) / _columns(shown, width) + 1) * lines


def _columns(shown: Sequence[str], width: float) -> int:
    """How many columns of names fit side by side."""
    longest = max(len(part) for name in shown for part in name.split("\n"))
    return max(1, min(len(shown), int(width / (0.5 + 0.055 * longest))))
