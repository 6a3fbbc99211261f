"""The main finding of a landscape, in words: the best row under both corruptions, and the cost of each.

Dimension legend: M rows, C conditions.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.shapes import Float
from qamoe_bench.vocabulary import axis_symbol

Values = NDArray[np.float64]
Axes = tuple[str, str]  # names of the two axes


def landscape_sentence(
    section: Section, metric: Metric, axes: Axes, values: Float[Values, "M C"], rows: Collection[int]
) -> str:  # fmt: skip
    """The best of some rows where both axes are at their maximum, and the mean cost of each axis alone."""
    corners = _corners(section, axes)
    contestants = []
    for i in rows:
        # Neither the oracle nor the model that ignores its inputs competes.
        if not section.rows[i].is_limit and section.rows[i].model != MEAN and np.isfinite(values[i]).all():
            contestants.append(i)
    if not contestants or corners is None:
        return ""
    # The best row at the corner with both corruptions, and its values at all corners.
    best = max(contestants, key=lambda i: metric.sign * values[i, corners["both"]])
    shown = {name: metric.show(values[best, condition]) for name, condition in corners.items()}
    first, second = _ends(section, axes)
    return (
        f"{section.rows[best].name} is best where both axes are at their maximum: {shown['clean']} clean, "
        f"{shown['first']} at {first}, {shown['second']} at {second} and {shown['both']} at both. "
        f"{_costs(section, metric, axes, values[contestants].mean(0))}"
    )


def _costs(section: Section, metric: Metric, axes: Axes, mean: Float[Values, " C"]) -> str:
    """What each axis alone costs at its maximum, the larger cost first."""
    corners = _corners(section, axes)
    assert corners is not None
    # Loss from the clean corner to each corner with one corruption, positive where it gets worse.
    costs = []
    for name, end in zip(("first", "second"), _ends(section, axes), strict=True):
        costs.append((float(metric.sign * (mean[corners["clean"]] - mean[corners[name]])), end))
    (larger, larger_end), (smaller, smaller_end) = costs if costs[0][0] > costs[1][0] else costs[::-1]
    return (
        f"On average over models {larger_end} alone costs {metric.show(abs(larger))} and {smaller_end} alone "
        f"{metric.show(abs(smaller))}."
    )


def _maxima(section: Section, axes: Axes) -> tuple[float, float]:
    """The highest level of each axis."""
    levels = [condition["levels"] for condition in section.cells[0].facts.conditions]
    return max(level[axes[0]] for level in levels), max(level[axes[1]] for level in levels)


def _ends(section: Section, axes: Axes) -> tuple[str, str]:
    """The highest level of each axis in words, such as `η=0.7`."""
    first, second = _maxima(section, axes)
    return f"{axis_symbol(axes[0])}={first:g}", f"{axis_symbol(axes[1])}={second:g}"


def _corners(section: Section, axes: Axes) -> Mapping[str, int] | None:
    """Indices of the conditions at the corners of the landscape; None if the protocol lacks one of them."""
    conditions = section.cells[0].facts.conditions
    index = {(c["levels"][axes[0]], c["levels"][axes[1]]): i for i, c in enumerate(conditions)}
    first, second = _maxima(section, axes)
    levels: Mapping[str, Any] = {"clean": (0, 0), "first": (first, 0), "second": (0, second), "both": (first, second)}
    if any(corner not in index for corner in levels.values()):
        return None
    return {name: index[corner] for name, corner in levels.items()}
