"""Dialects: the field computes one name in several ways, so every table says which definitions it used.

A definition is a function of sums over samples. So a metric of many conditions at once, and of a thousand resamples of
the samples, is one matrix product. Predictions and labels are vectors over N samples, or arrays whose last axis that
is; all is computed in float64 unless resampled.

Dimension legend: N samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from qamoe_bench.errors import unknown_name

Array = NDArray[np.floating]
Labels = NDArray[np.float64]
Numbers = Array | np.floating
"""Arrays, or the single number that is left of a vector."""
CONSTANT = 1e-12
"""Share of a sum of squares below which a variance is rounding and nothing else."""


@dataclass(frozen=True)
class Definition:
    """A metric as a function of sums over samples.

    Attributes:
        terms: From predictions (..., N) and labels (N) to each thing that is summed: (..., N), or (N) where it is the
            same for all predictions.
        value: From the sums, (...) or one number each, to the metric (...); NaN where it is undefined.
    """

    terms: Callable[[Array, Labels], Sequence[NDArray[Any]]]
    value: Callable[..., Numbers]

    def __call__(self, prediction: Array, label: Labels) -> Array:
        """The metric over all samples."""
        return self.of(self.terms(prediction, label))

    def of(self, terms: Sequence[NDArray[Any]]) -> Array:
        """The same from its terms."""
        return np.asarray(self.value(*(term.sum(-1, dtype=np.float64) for term in terms)))


Keep = Callable[[Labels], NDArray[np.bool_]]
Classes = Callable[[Array], NDArray[Any]]


def everyone(label: Labels) -> Bool[NDArray[np.bool_], "... N"]:
    """Every sample counts."""
    return np.ones(label.shape, bool)


def non_zero(label: Labels) -> Bool[NDArray[np.bool_], "... N"]:
    """Samples whose label is not 0 count."""
    return np.asarray(label != 0)


def accuracy(classes: Classes, keep: Keep = everyone) -> Definition:
    """Share of samples whose prediction falls into the label's class."""
    return Definition(lambda p, y: ((classes(p) == classes(y)) & keep(y), keep(y)), _divided)


def mean_absolute_error(keep: Keep = everyone) -> Definition:
    """Mean |p − y|."""
    return Definition(lambda p, y: (np.where(keep(y), np.abs(p - y), 0), keep(y)), _divided)


def weighted_f1(
    positive: Classes, keep: Keep = everyone, sizes: Literal["label", "prediction"] = "label"
) -> Definition:
    """Σ_c (n_c/N)·F1_c over both classes, n_c their true sizes, or the predicted ones where arguments were swapped."""

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        found, true, kept = positive(p), positive(y), keep(y)
        return found & (true & kept), found & (~true & kept), ~found & (true & kept), ~found & (~true & kept)

    def value(hits: Numbers, wrong: Numbers, missed: Numbers, rejected: Numbers) -> Numbers:
        if sizes == "prediction":
            wrong, missed = missed, wrong
        positives, negatives = hits + missed, rejected + wrong
        weighted = positives * _f1(hits, wrong + missed) + negatives * _f1(rejected, wrong + missed)
        return _divided(weighted, positives + negatives)

    return Definition(terms, value)


def pearson(keep: Keep = everyone) -> Definition:
    """Pearson correlation; NaN where either side is constant, for it is undefined there and not 0."""

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        kept = keep(y)
        found, true = _standing_out(p, kept), _standing_out(y, kept)
        return kept, found, true, found * found, true * true, found * true

    def value(n: Numbers, p: Numbers, y: Numbers, pp: Numbers, yy: Numbers, py: Numbers) -> Numbers:
        of_p, of_y = _squares(pp, p, n), _squares(yy, y, n)
        both = py - _divided(p * y, n)
        return np.asarray(np.clip(_divided(both, np.sqrt(of_p * of_y)), -1, 1))

    return Definition(terms, value)


def _divided(a: Numbers, b: Numbers) -> Array:
    """The quotient a / b; NaN where b is 0."""
    return np.asarray(a / np.where(b == 0, np.nan, b))


def _f1(hits: Numbers, errors: Numbers) -> Array:
    """2·hits / (2·hits + errors); 0 where there is neither."""
    size = 2 * hits + errors
    return np.asarray(2 * hits / np.where(size == 0, 1, size))


def _standing_out(x: Array, keep: NDArray[np.bool_]) -> Array:
    """Differences from the mean in units of the largest, so that sums of squares lose nothing; 0 where not kept."""
    count = np.maximum(keep.sum(-1, keepdims=True), 1)
    centred = np.where(keep, x - np.where(keep, x, 0).sum(-1, keepdims=True) / count, 0.0)
    largest = np.abs(centred).max(-1, keepdims=True, initial=0)
    scaled: Array = centred / np.where(largest < np.finfo(np.float64).tiny, np.inf, largest)
    return scaled


def _squares(square: Numbers, total: Numbers, n: Numbers) -> Array:
    """Sum of squared differences from the mean; 0 where these are rounding."""
    spread = square - _divided(total * total, n)
    return np.where(spread > CONSTANT * square, spread, 0)


def at_least_zero(x: Array) -> NDArray[np.bool_]:
    """Positive from 0 on."""
    return x >= 0


def above_zero(x: Array) -> NDArray[np.bool_]:
    """Positive above 0."""
    return x > 0


def rounded(limit: float) -> Classes:
    """Clip to ±limit and round, halves to even as numpy does."""
    return lambda x: np.round(np.clip(x, -limit, limit))


def outward(x: Array) -> Array:
    """Seven classes away from zero: 0 alone, then (0, 1], (1, 2], above 2, and the same below."""
    return np.sign(x) * np.ceil(np.abs(np.clip(x, -3, 3)))


def between(*edges: float) -> Classes:
    """Classes with their upper edge included, after clipping to ±1."""
    return lambda x: np.digitize(np.clip(x, -1, 1), edges, right=True)


def clipped(definition: Definition, limit: float) -> Definition:
    """The definition on predictions and labels that are clipped to ±limit first."""

    def terms(p: Array, y: Labels) -> Sequence[NDArray[Any]]:
        return definition.terms(np.clip(p, -limit, limit), np.clip(y, -limit, limit))

    return Definition(terms, definition.value)


@dataclass(frozen=True)
class Dialect:
    """A named set of metric definitions and where it comes from.

    Attributes:
        name: Its name.
        source: Who computes metrics so, and what is peculiar.
        definitions: By metric.
        shown: The metrics that tables show where nothing else is asked for.
    """

    name: str
    source: str
    definitions: Mapping[str, Definition]
    shown: tuple[str, ...] = ("acc2_non0", "acc7", "mae", "corr")


_MMSA: Mapping[str, Definition] = {
    "acc2_has0": accuracy(at_least_zero),
    "acc2_non0": accuracy(above_zero, non_zero),
    "f1_has0": weighted_f1(at_least_zero),
    "f1_non0": weighted_f1(above_zero, non_zero),
    "acc5": accuracy(rounded(2)),
    "acc7": accuracy(rounded(3)),
    "mae": mean_absolute_error(),
    "corr": pearson(),
}

DIALECTS: Mapping[str, Dialect] = {
    d.name: d
    for d in (
        Dialect(
            "mmsa",
            "MMSA's metricsTop (thuiar/MMSA @ a94e65d): Has0 compares >= 0, Non0 drops labels equal to 0 and compares "
            "> 0; ACC5 and ACC7 clip and round, halves to even",
            _MMSA,
        ),
        Dialect(
            "mai",
            "C-MIB's own code (TmacMai/Multimodal-Information-Bottleneck @ f6d006b): all but ACC7 on labels other "
            "than 0, positive = at least 0; its MAE and Corr are not comparable with MMSA's",
            {
                "acc2_non0": accuracy(at_least_zero, non_zero),
                "f1_non0": weighted_f1(at_least_zero, non_zero),
                "acc7": _MMSA["acc7"],
                "mae": mean_absolute_error(non_zero),
                "corr": pearson(non_zero),
            },
        ),
        Dialect(
            "mult",
            "MulT's eval_metrics (yaohungt/Multimodal-Transformer) and code that took it over: as mmsa without Has0, "
            "but F1 with its arguments swapped, so that classes are weighted by their predicted sizes",
            {
                **{name: _MMSA[name] for name in ("acc2_non0", "acc5", "acc7", "mae", "corr")},
                "f1_non0": weighted_f1(above_zero, non_zero, sizes="prediction"),
            },
        ),
        Dialect(
            "sims",
            "MMSA's metricsTop for CH-SIMS: everything clipped to [-1, 1] first, positive = above 0, class borders at "
            "±.1 (3) and ±.1, ±.7 (5), upper border included",
            {
                "acc2_has0": accuracy(between(0)),
                "f1_has0": clipped(weighted_f1(above_zero), 1),
                "acc3": accuracy(between(-0.1, 0.1)),
                "acc5": accuracy(between(-0.7, -0.1, 0.1, 0.7)),
                "mae": clipped(mean_absolute_error(), 1),
                "corr": clipped(pearson(), 1),
            },
            shown=("acc2_has0", "acc5", "mae", "corr"),
        ),
        Dialect(
            "sdk-mosei",
            "the CMU-MultimodalSDK's README for CMU-MOSEI: as mmsa, but ACC7's classes lie away from zero, 0 alone in "
            "the middle: [-3, -2), [-2, -1), [-1, 0), 0, (0, 1], (1, 2], (2, 3]",
            {**{name: d for name, d in _MMSA.items() if name != "acc5"}, "acc7": accuracy(outward)},
        ),
    )
}


def find_dialect(name: str) -> Dialect:
    """A dialect by name; an unknown name is a `BenchError`."""
    if name not in DIALECTS:
        raise unknown_name("dialect", name, DIALECTS)
    return DIALECTS[name]


def judged_predictions(columns: Mapping[str, NDArray[Any]], metric: str) -> Float[Array, "... N"]:
    """The predictions that a metric judges.

    A column `prediction_<metric>` takes the place of `prediction` for that metric: a predictor that knows the whole
    distribution answers each question with its own best decision (mean for corr, median for mae, and so on).
    """
    return np.asarray(columns.get(f"prediction_{metric}", columns["prediction"]), np.float64)


def scores(dialect: Dialect, columns: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    """Every metric of a dialect from columns `prediction` (..., N) and `target` (N)."""
    label = np.asarray(columns["target"], np.float64)
    return {
        name: definition(judged_predictions(columns, name), label) for name, definition in dialect.definitions.items()
    }
