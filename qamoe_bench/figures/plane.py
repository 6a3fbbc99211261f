"""The plane of a protocol with two axes, and heat maps of it.

Dimension legend: C conditions, X levels of the first axis, Y levels of the second.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Section
from qamoe_bench.figures.style import BROAD, blank, wrapped
from qamoe_bench.shapes import Bool, Float, Int
from qamoe_bench.vocabulary import axis_label

Grid = Float[NDArray[np.float64], "Y X"]
DARK_LUMINANCE = 0.45  # cells darker than this have white text
MAX_TICKS = 5  # per axis of a heat map


@dataclass(frozen=True)
class Plane:
    """The position of each condition on a grid of two axes.

    Attributes:
        names: Of the two axes; the first is horizontal, the second vertical.
        across: Levels of the first axis, rising.
        up: Levels of the second axis, rising.
        places: Index of the condition at each pair of levels.
    """

    names: tuple[str, str]
    across: tuple[float, ...]
    up: tuple[float, ...]
    places: Int[NDArray[np.int64], "Y X"]

    def grid(self, values: Float[NDArray[np.float64], " C"]) -> Grid:
        """Values of conditions on the grid."""
        return np.asarray(values[self.places])


def plane_of(section: Section) -> Plane | None:
    """The plane of a protocol; None unless it has exactly two axes and a full grid of their levels."""
    conditions = []
    for condition in section.cells[0].facts.conditions:
        conditions.append({name: float(x) for name, x in condition["levels"].items()})
    if len(conditions[0]) != 2:
        return None
    first, second = conditions[0]
    across = tuple(sorted({c[first] for c in conditions}))
    up = tuple(sorted({c[second] for c in conditions}))
    index = {(c[second], c[first]): i for i, c in enumerate(conditions)}
    is_full = len(index) == len(across) * len(up)
    if not is_full or min(len(across), len(up)) < 2:
        return None
    places = np.empty((len(up), len(across)), np.int64)  # (Y, X)
    for row, y in enumerate(up):
        places[row] = [index[y, x] for x in across]
    return Plane((first, second), across, up, places)


@dataclass(frozen=True)
class Panel:
    """A heat map: values in the unit in which they are printed, and which of them to mark."""

    title: str
    values: Grid
    marked: Bool[NDArray[np.bool_], "Y X"] | None = None


def draw_panels(
    panels: list[Panel], plane: Plane, label: str, colours: str | Colormap, width: float, *, signed: bool = False
) -> Figure:
    """Heat maps side by side with one colour bar.

    Args:
        panels: At least one.
        plane: Their axes.
        label: Name and unit of the values.
        colours: A colour map, or its name.
        width: Inches.
        signed: Whether 0 is at the centre of the colour map.
    """
    columns = _columns(len(panels), width)
    lines = -(-len(panels) // columns)  # rounded up
    figure = blank(width, lines * (width / columns + 0.1) + 1.0)
    figure.set_layout_engine("compressed")  # the layout for panels of a fixed aspect ratio
    all_axes = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    shown = all_axes[: len(panels)]
    for axes in all_axes[len(panels) :]:
        axes.remove()
    norm = _norm(panels, signed=signed)
    for index, (axes, panel) in enumerate(zip(shown, panels, strict=True)):
        draw_panel(axes, panel, plane, colours, norm)
        if index + columns >= len(panels):  # no panel below
            axes.tick_params(labelbottom=True)
            # Three labels side by side would cover each other; the middle one stands for all.
            if columns != 3 or index % columns == 1:
                axes.set_xlabel(axis_label(plane.names[0]).replace(" (", "\n("))
        if index % columns == 0:
            axes.set_ylabel(axis_label(plane.names[1]).replace(" (", "\n("))
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=shown, location="top", aspect=40, pad=0.02)
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    return figure


def _columns(panels: int, width: float) -> int:
    """Panels side by side: four or two, or a third one instead of a row with a single panel."""
    most = 4 if width >= BROAD else 2
    return min(panels, 3 if panels % most == 1 and panels > 1 and panels % 3 == 0 else most)


def draw_panel(axes: Axes, panel: Panel, plane: Plane, colours: str | Colormap, norm: Normalize) -> None:
    """Draw one heat map with its marks, or, without marks, with the values of two opposite corners."""
    mesh = axes.pcolormesh(panel.values, cmap=colours, norm=norm, edgecolors="face", linewidth=0.1)
    axes.set_title(wrapped(panel.title, 22))
    axes.grid(visible=False)
    axes.set_aspect("equal")
    # Cell (y, x) covers the square from (x, y) to (x + 1, y + 1), so ticks lie at .5.
    step = -(-len(plane.across) // MAX_TICKS)
    axes.set_xticks(np.arange(0, len(plane.across), step) + 0.5)
    axes.set_xticklabels([f"{x:g}" for x in plane.across[::step]])
    step = -(-len(plane.up) // MAX_TICKS)
    axes.set_yticks(np.arange(0, len(plane.up), step) + 0.5)
    axes.set_yticklabels([f"{y:g}" for y in plane.up[::step]])
    if panel.marked is None:
        _write_corners(axes, panel, mesh, norm)
    else:
        ys, xs = np.nonzero(panel.marked)
        axes.plot(xs + 0.5, ys + 0.5, "o", color="black", markersize=2.4, markeredgecolor="white", markeredgewidth=0.4)


def _write_corners(axes: Axes, panel: Panel, mesh: QuadMesh, norm: Normalize) -> None:
    """Write the values of the cleanest cell, bottom left, and the most corrupted one, top right."""
    height, width = panel.values.shape
    corners = ((0, 0, "left", (0.15, 0.5)), (-1, -1, "right", (width - 0.15, height - 0.5)))
    for y, x, side, position in corners:
        value = float(panel.values[y, x])
        if not np.isfinite(value):
            continue
        red, green, blue, _ = mesh.cmap(norm(value))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # weights of Rec. 709
        colour = "white" if luminance < DARK_LUMINANCE else "black"
        axes.text(position[0], position[1], _three_digits(value), ha=side, va="center", color=colour, fontsize=5.5)


def _three_digits(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _norm(panels: list[Panel], *, signed: bool) -> Normalize:
    """One scale for all panels."""
    values = np.concatenate([p.values.ravel() for p in panels])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if signed:
        limit = max(abs(low), abs(high)) or 1.0
        return Normalize(-limit, limit)
    return Normalize(low, high if high > low else low + 1)
