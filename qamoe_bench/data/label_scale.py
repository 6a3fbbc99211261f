"""The scale of labels: which numbers look like classes, which scale they may be on, and what metrics mean on it.

Values are the usable labels of all splits of a file in its own units, [N].
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Range = tuple[float, float]

# The annotation scale of MOSI and MOSEI, which is assumed unless another one is given, and that of SIMS.
WIDE: Range = (-3.0, 3.0)
NARROW: Range = (-1.0, 1.0)

# In CMU-MOSEI, about 4 of 10 labels are whole and not negative, so 20 such in a row are practically impossible there.
ENOUGH_TO_JUDGE = 20
"""Samples from which on labels that look like classes are refused; fewer may look so by chance."""

# Class numbers are small; whole numbers up to 100, say, are a scale.
_LARGEST_CLASS = 10

# Usual scales without negative numbers, the tightest first; POM has 1 to 7, ICT-MMMO 1 to 5.
_SCALES: tuple[Range, ...] = (
    (1, 3), (1, 5), (1, 7), (1, 9), (1, 10), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 10), (0, 100),
)  # fmt: skip

# Classes that round clipped values to whole steps need a scale of this half width; see `definitions.on_whole_steps`.
_STEPS = (0.5, 3.0)


def look_of_classes(values: Values) -> str:
    """What the labels look like if they look like classes; empty if they look like a sentiment.

    Two different values are needed, since labels that are all the same say nothing.
    """
    distinct = np.unique(values)
    if len(distinct) < 2 or not bool((distinct == np.round(distinct)).all()):
        return ""
    if distinct.tolist() in ([0, 1], [-1, 1]):
        return f"only {distinct[0]:g} and {distinct[1]:g}, as two classes such as humour or sarcasm have"
    if distinct[0] >= 0 and distinct[-1] <= _LARGEST_CLASS:
        return f"only whole numbers from {distinct[0]:g} to {distinct[-1]:g}, as class numbers are"
    return ""


def suggested_range(values: Values) -> Range | None:
    """The tightest usual scale of labels without negative numbers; None if there is none."""
    if not len(values):
        return None
    low, high = values.min(), values.max()
    if low >= 0:
        return next((scale for scale in _SCALES if scale[0] <= low and high <= scale[1]), None)
    # Of scales on both sides of 0, only the two classes -1 and 1 come here.
    return NARROW if low >= -1 and high <= 1 else None


def option_for(scale: Range | None) -> str:
    """The option that reads labels on a scale; with placeholders if it is unknown."""
    return f"--label-range {scale[0]:g} {scale[1]:g}" if scale else "--label-range LOW HIGH"


def scale_note(scale: Range) -> str:
    """What reading labels on a scale did to them, and what the metrics mean then."""
    low, high = scale
    middle = (low + high) / 2
    half = (high - low) / 2
    centred = f" and centred, minus {middle:g}, so that they go from {-half:g} to {half:g}" if middle else ""
    return (
        f"labels: read on the scale from {low:g} to {high:g} (--label-range){centred}; two-class metrics divide at "
        f"{middle:g}, MAE is in units of this scale, and {_meaning_of_classes(half)}."
    )


def _meaning_of_classes(half: float) -> str:
    """What the metrics of five and seven classes mean on a centred scale of this half width."""
    smallest, largest = _STEPS
    if not smallest < half <= largest:
        return "ACC5 and ACC7, whose classes are whole steps from -3 to 3, do not apply and are left undefined"
    if half == largest:
        return "the classes of ACC7 are its seven whole steps"
    if half == 2:
        return "the classes of ACC5 are its five whole steps (ACC7 adds none)"
    return "the classes of ACC5 and ACC7 are whole steps of it"
