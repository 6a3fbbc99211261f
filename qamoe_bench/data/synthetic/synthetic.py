"""The embedded data set of sentiment: synthetic, with a known distribution, so that the best prediction is known too.

The label s takes the 31 values -3.0, -2.8, ..., 3.0, with

    p(s) ∝ .48 exp(-½((s + 1.4)/.95)²)/.95 + .52 exp(-½((s - 1.5)/.85)²)/.85 + .02

Frames follow the law in `qamoe_bench.data.synthetic.law`. With lin and int for s and |s| standardised under the prior:

              D     frames        b      φ(s)
    text      32    5 to 20       .25    (.42 lin, 0)
    audio     16    8 to 24       .20    (.11 lin, .45 int)
    vision    16    8 to 24       .20    (.17 tanh 2s, 0)

Text is thus the most informative about the sign, audio about the intensity, and vision shows only the sign. The optimal
predictor of each reaches a correlation of about .72, .37 and .37, that of all .82.
"""

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.synthetic.law import SIZES, Law, View, draw_dataset, fixed_view

GEOMETRY = 80
"""Seed of V and U: the one of a hundred whose views are about as informative as intended."""


def synthetic(seed: int = 2026) -> Dataset:
    """The embedded data set with its oracle; another seed gives other samples of the same law."""
    return draw_dataset(standard_law(), SIZES, seed)


def standard_law() -> Law:
    """The law in this module's docstring."""
    grid = np.round(np.linspace(-3.0, 3.0, 31), 1)
    density = 0.48 * _bell(grid, -1.4, 0.95) + 0.52 * _bell(grid, 1.5, 0.85) + 0.02
    prior = density / density.sum()
    lin = _standardised(grid, prior)  # (S,)
    intensity = _standardised(np.abs(grid), prior)
    none = np.zeros_like(grid)
    text = np.stack([0.42 * lin, none], axis=1)  # φ, (S, 2)
    audio = np.stack([0.11 * lin, 0.45 * intensity], axis=1)
    vision = np.stack([0.17 * np.tanh(2 * grid), none], axis=1)
    views = {
        "text": _view("text", text, width=32, wobble=0.25, frames=(5, 20)),
        "audio": _view("audio", audio, width=16, wobble=0.2, frames=(8, 24)),
        "vision": _view("vision", vision, width=16, wobble=0.2, frames=(8, 24)),
    }
    return Law(grid, prior, views)


def _bell(s: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    """A Gaussian density up to a constant factor."""
    return np.asarray(np.exp(-0.5 * ((s - centre) / width) ** 2) / width)


def _standardised(value: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of mean 0 and variance 1 under the prior."""
    centred = value - prior @ value
    return np.asarray(centred / np.sqrt(prior @ centred**2))


def _view(modality: str, signal: NDArray[np.float64], width: int, wobble: float, frames: tuple[int, int]) -> View:
    return fixed_view(("synthetic law", GEOMETRY, modality), signal, width, wobble, frames)
