"""The look of published numbers: always hollow and grey, and always with the mark of how they are known."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from qamoe_bench.report.published import Published

PUBLISHED_LOOK: dict[str, Any] = {
    "marker": "D", "linestyle": "none", "color": "0.25", "markerfacecolor": "white", "markersize": 4.2,
    "markeredgewidth": 0.9,
}  # fmt: skip


def draw_published(axes: Axes, values: Sequence[float], heights: Sequence[float]) -> None:
    """Draw published values on a panel whose rows are methods."""
    axes.plot(values, heights, **PUBLISHED_LOOK)


def method_with_mark(line: Published) -> str:
    """The method and how its number is known, without the remark that may follow."""
    return f"{line.method} [{line.confidence.partition(' ')[0]}]"
