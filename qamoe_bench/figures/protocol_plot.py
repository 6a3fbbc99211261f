"""A picture of one sample along the sweep of a protocol, to inspect the corruption.

A row per modality, a column per condition, time from left to right and feature dimensions from top to bottom.
"""

import io
import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from qamoe_bench.shapes import Bool, Float

COLOUR_LIMIT = 3.0  # in σ_ref; values beyond ± the limit have the last colour
COLOUR_MAP = mpl.colormaps["RdBu_r"]
LOST: dict[str, Any] = {"facecolor": "0.25", "edgecolor": "0.55", "hatch": "////", "linewidth": 0.0}
PADDING: dict[str, Any] = {"facecolor": "0.87", "linewidth": 0.0}
STYLE: dict[Any, Any] = {"font.size": 9, "font.family": "DejaVu Sans", "hatch.linewidth": 0.6, "axes.linewidth": 0.6}
PANEL_SIZE = (1.35, 1.5)  # width and height in inches
MARGIN = (1.7, 1.5)  # width and height in inches
MIN_WIDTH = 5.6  # inches; the legend must fit
DPI = 150
COLUMN_NAME_WIDTH = 15  # characters per line
HEADING_DENSITY = 11  # characters per inch


@dataclass(frozen=True)
class Strip:
    """One modality of the sample under every condition.

    Attributes:
        values: (feature − training mean) / σ_ref.
        lost: Frames that the corruption removed.
        length: Number of valid frames; the others are padding. 0 if the sample lacks the modality.
    """

    values: Float[NDArray[np.float32], "C T D"]
    lost: Bool[NDArray[np.bool_], "C T"]
    length: int


@dataclass(frozen=True)
class Picture:
    """A sample along a sweep.

    Attributes:
        heading: Lines above the picture.
        columns: Name of each condition; line breaks are kept.
        strips: A strip per modality, with as many conditions as there are columns.
    """

    heading: tuple[str, ...]
    columns: tuple[str, ...]
    strips: Mapping[str, Strip]


def draw_picture(picture: Picture) -> bytes:
    """Draw a picture as PNG; equal pictures give equal bytes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_size(picture), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(picture.strips), len(picture.columns), squeeze=False)
        for row, (modality, strip) in zip(axes, picture.strips.items(), strict=True):
            for index, axis in enumerate(row):
                _draw_panel(axis, strip, index)
            row[0].set_ylabel(_row_name(modality, strip), parse_math=False)
        for axis, name in zip(axes[0], picture.columns, strict=True):
            axis.set_title(_wrapped(name, COLUMN_NAME_WIDTH), fontsize=9, parse_math=False)
        _draw_surroundings(figure, picture, list(axes.flat))
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None, "Date": None})
    return content.getvalue()


def _size(picture: Picture) -> tuple[float, float]:
    width = MARGIN[0] + PANEL_SIZE[0] * len(picture.columns)
    return max(MIN_WIDTH, width), MARGIN[1] + PANEL_SIZE[1] * len(picture.strips)


def _row_name(modality: str, strip: Strip) -> str:
    frames = "1 frame" if strip.length == 1 else f"{strip.length} frames"
    return f"{modality}\n{frames}\n{strip.values.shape[2]} dimensions"


def _wrapped(text: str, width: int) -> str:
    lines = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, width)
    return "\n".join(lines)


def _draw_panel(axis: Axes, strip: Strip, index: int) -> None:
    shown = _shown_frames(strip)
    axis.set(xlim=(-0.5, shown - 0.5), ylim=(strip.values.shape[2] - 0.5, -0.5), xticks=[], yticks=[])
    axis.set_facecolor(PADDING["facecolor"])  # the background: frames without an image are padding
    if not strip.length:
        axis.text(0.5, 0.5, "not in\nthe data", ha="center", va="center", transform=axis.transAxes)
        return
    image = strip.values[index, : strip.length].T  # (D, T)
    extent = (-0.5, strip.length - 0.5, strip.values.shape[2] - 0.5, -0.5)
    axis.imshow(image, cmap=COLOUR_MAP, norm=_norm(), extent=extent, aspect="auto", interpolation="nearest")
    axis.set_xlim(-0.5, shown - 0.5)
    for start, stop in _runs(strip.lost[index, : strip.length]):
        axis.add_patch(Rectangle((start - 0.5, -0.5), stop - start, strip.values.shape[2], **LOST))


def _shown_frames(strip: Strip) -> int:
    """All valid frames and a little of the padding, which can be much longer than the sample."""
    return max(1, min(int(strip.values.shape[1]), math.ceil(1.2 * strip.length)))


def _runs(lost: Bool[NDArray[np.bool_], " T"]) -> Iterator[tuple[int, int]]:
    """First and one past the last frame of each run of removed frames."""
    # Padded with False, so that runs at both ends have two edges.
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _norm() -> Normalize:
    return Normalize(-COLOUR_LIMIT, COLOUR_LIMIT)


def _draw_surroundings(figure: Figure, picture: Picture, axes: list[Axes]) -> None:
    heading = _wrapped("\n".join(picture.heading), int(HEADING_DENSITY * figure.get_figwidth()))
    figure.suptitle(heading, fontsize=10, parse_math=False)
    colours = ScalarMappable(_norm(), COLOUR_MAP)
    bar = figure.colorbar(colours, ax=axes, extend="both", fraction=0.04, pad=0.01, aspect=30)
    bar.set_label("(feature − training mean) / σ_ref", parse_math=False)
    figure.legend(
        handles=[Patch(**LOST, label="missing frame"), Patch(**PADDING, label="padding (truncated)")],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        title="horizontal: time; vertical: feature dimensions",
    )
