"""Markers as SVG paths, in the shapes that Vega draws, for the legend in HTML."""

from collections.abc import Mapping

# By the marker's name in Vega; each path lies in the square from −1 to 1
PATHS: Mapping[str, str] = {
    "circle": "M-.8 0a.8 .8 0 1 0 1.6 0a.8 .8 0 1 0 -1.6 0",
    "square": "M-.75 -.75h1.5v1.5h-1.5z",
    "triangle-up": "M0 -.9L.9 .8H-.9z",
    "triangle-down": "M0 .9L.9 -.8H-.9z",
    "triangle-left": "M-.9 0L.8 -.9V.9z",
    "triangle-right": "M.9 0L-.8 -.9V.9z",
    "diamond": "M0 -1L.8 0L0 1L-.8 0z",
    "cross": "M-.3 -.9h.6v.6h.6v.6h-.6v.6h-.6v-.6h-.6v-.6h.6z",
}


def symbol(marker: str) -> str:
    """The path of a marker.

    Raises:
        KeyError: for a marker that is not in `PATHS`.
    """
    return PATHS[marker]
