"""The plane that a protocol of two axes spans, and heat maps of it.

Dimension legend: C conditions, X levels of the first axis, Y levels of the second.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Section
from qamoe_bench.figures.style import BROAD, blank, wrapped
from qamoe_bench.vocabulary import axis_label

Grid = Float[NDArray[np.float64], "Y X"]
DARK = 0.45  # luminance below which writing must be white


@dataclass(frozen=True)
class Plane:
    """Where each condition lies.

    Attributes:
        names: Of the two axes; the first runs to the right, the second up.
        across: Levels of the first axis, rising.
        up: Levels of the second axis, rising.
        places: Index of the condition at each pair of levels.
    """

    names: tuple[str, str]
    across: tuple[float, ...]
    up: tuple[float, ...]
    places: Int[NDArray[np.int64], "Y X"]

    def grid(self, values: Float[NDArray[np.float64], " C"]) -> Grid:
        """Values of conditions, laid out."""
        return np.asarray(values[self.places])


def plane_of(section: Section) -> Plane | None:
    """The plane of a protocol; None where it has not two axes, or no full grid of them."""
    conditions = [{name: float(x) for name, x in c["levels"].items()} for c in section.cells[0].facts.conditions]
    if len(conditions[0]) != 2:
        return None
    first, second = conditions[0]
    across, up = (tuple(sorted({c[name] for c in conditions})) for name in (first, second))
    where = {(c[second], c[first]): i for i, c in enumerate(conditions)}
    if len(where) != len(across) * len(up) or min(len(across), len(up)) < 2:
        return None
    return Plane((first, second), across, up, np.array([[where[y, x] for x in across] for y in up]))


@dataclass(frozen=True)
class Panel:
    """A heat map: values as they are printed, and which of them to mark."""

    title: str
    values: Grid
    marked: Bool[NDArray[np.bool_], "Y X"] | None = None


def draw_panels(
    panels: list[Panel], plane: Plane, label: str, colours: str, width: float, *, signed: bool = False
) -> Figure:
    """Heat maps side by side with one colour bar.

    Args:
        panels: At least one.
        plane: Their axes.
        label: Name and unit of the values.
        colours: Name of a colour map.
        width: Inches.
        signed: Whether 0 has the colour map's middle.
    """
    columns = min(len(panels), 4 if width >= BROAD else 2)
    lines = -(-len(panels) // columns)
    figure = blank(width, lines * (width / columns + 0.1) + 1.0)
    figure.set_layout_engine("compressed")  # made for panels of a fixed shape
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    norm = _norm(panels, signed=signed)
    shown = list(grid.flat)
    for axes, panel in zip(shown, panels, strict=False):
        draw_panel(axes, panel, plane, colours, norm)
    for axes in shown[len(panels) :]:
        axes.remove()
    for index, axes in enumerate(shown[: len(panels)]):
        if index + columns >= len(panels):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(axis_label(plane.names[0]).replace(" (", "\n("))
        if index % columns == 0:
            axes.set_ylabel(axis_label(plane.names[1]).replace(" (", "\n("))
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=shown[: len(panels)], location="top", aspect=40, pad=0.02)
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    return figure


def draw_panel(axes: Axes, panel: Panel, plane: Plane, colours: str, norm: Normalize) -> None:
    """One heat map, with its marks, or else with the values of its first and last corner written into them."""
    mesh = axes.pcolormesh(panel.values, cmap=colours, norm=norm, edgecolors="face", linewidth=0.1)
    axes.set_title(wrapped(panel.title, 22))
    axes.grid(visible=False)
    axes.set_aspect("equal")
    for ticks, names, levels in (
        (axes.set_xticks, axes.set_xticklabels, plane.across),
        (axes.set_yticks, axes.set_yticklabels, plane.up),
    ):
        step = -(-len(levels) // 5)
        ticks(np.arange(0, len(levels), step) + 0.5)
        names([f"{x:g}" for x in levels[::step]])
    if panel.marked is not None:
        ys, xs = np.nonzero(panel.marked)
        axes.plot(xs + 0.5, ys + 0.5, "o", color="black", markersize=2.4, markeredgecolor="white", markeredgewidth=0.4)
        return
    for y, x, side in ((0, 0, "left"), (-1, -1, "right")):
        value = float(panel.values[y, x])
        if not np.isfinite(value):
            continue
        red, green, blue, _ = mesh.cmap(norm(value))
        shade = "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < DARK else "black"
        place = (0.15, 0.5) if side == "left" else (len(plane.across) - 0.15, len(plane.up) - 0.5)
        axes.text(*place, short(value), ha=side, va="center", color=shade, fontsize=5.5)


def short(value: float) -> str:
    """Three digits at most."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _norm(panels: list[Panel], *, signed: bool) -> Normalize:
    values = np.concatenate([p.values.ravel() for p in panels])
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if signed:
        limit = max(abs(low), abs(high)) or 1.0
        return Normalize(-limit, limit)
    return Normalize(low, high if high > low else low + 1)
