"""Names at the ends of curves, which spare the reader the way to a legend and back."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from qamoe_bench.figures.palette import Style

LONGEST = 20  # characters of a name that still fits beside a panel
MOST = 14
LINE = 0.105  # inches of a line of text
FONT_SIZE = 6


def fit_beside(names: Sequence[str]) -> bool:
    """Whether so many names of this length can stand at the ends of curves."""
    return len(names) <= MOST and all(len(name) <= LONGEST for name in names)


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], looks: Mapping[str, Style], height: float) -> None:
    """Write each name to the right of the end of its curve, in its colour.

    Args:
        axes: With its curves.
        ends: Position of the last point of each curve, in data coordinates.
        looks: Styles of the rows.
        height: Of the panel in inches, about: the layout is not made yet.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)  # names must not change the scale
    names = sorted(ends, key=lambda name: ends[name][1])
    places = spread_apart([ends[name][1] for name in names], LINE * (high - low) / height, low, high)
    right = max(x for x, _ in ends.values())
    for name, y in zip(names, places, strict=True):
        axes.annotate(
            name, (right, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=FONT_SIZE,
            color=looks[name].colour, annotation_clip=False,
        )  # fmt: skip


def spread_apart(values: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Rising values moved as little as needed to be a distance apart, and within the limits if there is room."""
    places = list(values)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + distance)
    # Whatever was pushed beyond the upper limit goes down again, and pushes those below.
    limit = high
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - distance
    shift = max(0.0, low - places[0]) if places else 0.0
    return [place + shift for place in places]
