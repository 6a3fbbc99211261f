"""How published numbers are drawn: always hollow and grey, always with the mark of how well they are known."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from qamoe_bench.report.published import Published

LOOK: dict[str, Any] = {
    "marker": "D", "linestyle": "none", "color": "0.25", "markerfacecolor": "white", "markersize": 4.2,
    "markeredgewidth": 0.9,
}  # fmt: skip


def draw_dots(axes: Axes, values: Sequence[float], places: Sequence[float], label: str | None = None) -> None:
    """Published values on a panel whose rows are methods."""
    axes.plot(values, places, **LOOK, label=label)


def named(line: Published) -> str:
    """The method and how well its number is known."""
    return f"{line.method} [{line.confidence.partition(' ')[0]}]"
