"""Where a difference between two models comes from: their errors on parts of the predictions.

The parts are those in which the same modalities are left, those with labels in one range, and those with texts of one
length; of classes, those of each class. The error is that of `qamoe_bench.analysis.errors`: it adds up over parts, as
correlations and F1 scores do not.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, G parts, P pairs, R resamples, K clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.errors import first_draw_errors
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.probabilities import true_indicators
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, differences

LABEL_LIMITS = (-0.5, -1 / 6, 1 / 6, 0.5)
"""Limits of the ranges of labels, as shares of the largest label: ±1.5 and ±0.5 on the scale from −3 to 3."""
QUARTERS = 4
"""Number of ranges of text lengths, with about equally many samples."""
FEWEST_SAMPLES = 20
"""Parts with fewer samples are left out: their intervals would say nothing."""


@dataclass(frozen=True)
class Stratum:
    """A part of the predictions.

    Attributes:
        kind: What its predictions have in common: `modalities left`, `label`, `class` or `length of text`.
        name: The value that they share, in words.
        share: Its share of all predictions.
    """

    kind: str
    name: str
    share: float


@dataclass(frozen=True)
class ErrorProfile:
    """Mean errors on parts of the predictions, and their differences between rows.

    Attributes:
        strata: The G parts.
        pairs: The P pairs of rows.
        differences: First row minus the second, (P, G); see `qamoe_bench.analysis.errors` for the unit.
    """

    strata: tuple[Stratum, ...]
    pairs: tuple[tuple[int, int], ...]
    differences: Estimate


def error_profile(section: Section) -> ErrorProfile | None:
    """The differences of all pairs of rows on every part; None if there are fewer than two rows or parts."""
    masks = _masks(section)
    pairs = tuple(combinations(range(len(section.rows)), 2))
    if len(masks) < 2 or not pairs:
        return None
    # Sums of errors and numbers of predictions by sample: a resample of samples is a weighted sum of both.
    sums, counts = _sums_by_sample(section, [mask for _, _, mask in masks])  # (M, S, G, N), (S, G, N)
    weights = section.resampling.weights  # (R, N)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = sums.sum(-1) / counts.sum(-1)  # (M, S, G)
        resampled = np.moveaxis(sums @ weights.T, -1, 0) / np.moveaxis(counts @ weights.T, -1, 0)[:, None]
    trained = np.array([row.is_trained for row in section.rows])
    estimate = differences(values, resampled, list(pairs), trained, section.resampling.freedom)
    shares = counts.sum((0, 2)) / (len(section.seeds) * len(section.conditions) * section.samples)
    strata = [Stratum(kind, name, float(share)) for (kind, name, _), share in zip(masks, shares, strict=True)]
    return ErrorProfile(tuple(strata), pairs, estimate)


def cluster_errors(section: Section) -> Float[Values, "M K"] | None:
    """Mean error of each row on each cluster of samples, over seeds and conditions; None without clusters."""
    if section.clusters is None:
        return None
    codes = section.clusters.codes  # (N)
    means = np.stack([first_draw_errors(row, section).mean((0, 1)) for row in section.rows])  # (M, N)
    return np.stack([np.bincount(codes, weights=x) / section.clusters.sizes for x in means])


def _sums_by_sample(
    section: Section, masks: Sequence[Bool[NDArray[np.bool_], "S C N"]]
) -> tuple[Float[Values, "M S G N"], Float[Values, "S G N"]]:
    """Sums of errors, NaN for seeds that a row lacks, and numbers of predictions, of each part and sample."""
    inside = np.stack(masks, axis=1).astype(np.float64)  # (S, G, C, N)
    sums = np.full((len(section.rows), len(section.seeds), len(masks), section.samples), np.nan)
    for i, row in enumerate(section.rows):
        seeds = section.seed_indices(row)
        sums[i, seeds] = np.einsum("sgcn,scn->sgn", inside[seeds], first_draw_errors(row, section))
    return sums, inside.sum(2)


def _masks(section: Section) -> list[tuple[str, str, Bool[NDArray[np.bool_], "S C N"]]]:
    """Kind, name and predictions of every part with enough samples; kinds with a single part are left out."""
    masks = []
    for kind, parts in (
        ("modalities left", _by_modalities(section)),
        (_label_kind(section), _by_label(section)),
        ("length of text", _by_length(section)),
    ):
        large = [(kind, name, mask) for name, mask in parts if mask.any((0, 1)).sum() >= FEWEST_SAMPLES]
        if len(large) > 1:
            masks += large
    return masks


def _by_modalities(section: Section) -> list[tuple[str, Bool[NDArray[np.bool_], "S C N"]]]:
    """One part for each set of modalities that is left, the largest sets first."""
    modalities = section.realised_by_seed[0].modalities
    # A modality counts as left if any of its frames is.
    codes = np.zeros((len(section.seeds), len(section.conditions), section.samples), np.int64)
    for bit, modality in enumerate(modalities):
        missing = np.stack([events.column(f"missing_{modality}")[0, 0] for events in section.realised_by_seed])
        codes |= np.where(missing < 1, 1 << bit, 0)
    parts = []
    for code in sorted(np.unique(codes).tolist(), key=lambda code: (-int(code).bit_count(), code)):
        left = [modality for bit, modality in enumerate(modalities) if code >> bit & 1]
        parts.append((" + ".join(left) or "nothing", codes == code))
    return parts


def _by_label(section: Section) -> list[tuple[str, Bool[NDArray[np.bool_], "S C N"]]]:
    if not section.task.is_regression:
        return _by_class(section)
    largest = float(np.abs(section.label).max())
    limits = [float(f"{share * _scale(largest):.3g}") for share in LABEL_LIMITS]
    return _by_value(section, section.label, limits)


def _label_kind(section: Section) -> str:
    return "class" if section.task.kind == "classes" else "label"


def _by_class(section: Section) -> list[tuple[str, Bool[NDArray[np.bool_], "S C N"]]]:
    """One part for the samples of each class or label; of several labels the parts overlap."""
    shape = (len(section.seeds), len(section.conditions), section.samples)
    holds = true_indicators(section.label, section.task)  # (N, K)
    return [(name, np.broadcast_to(holds[:, k], shape)) for k, name in enumerate(section.task.names)]


def _scale(largest: float) -> float:
    """The largest label that the scale allows: 1 or 3, or that of the data if it is larger."""
    return next((scale for scale in (1.0, 3.0) if largest <= scale), largest)


def _by_length(section: Section) -> list[tuple[str, Bool[NDArray[np.bool_], "S C N"]]]:
    """Quarters of the samples by the length of their text, if any row stores it."""
    cell = next((cell for cell in section.cells if "length_text" in cell.names), None)
    if cell is None:
        return []
    lengths = np.asarray(cell.columns(["length_text"])["length_text"][0, 0], np.float64)  # before corruption, (N)
    limits = np.unique(np.quantile(lengths, np.arange(1, QUARTERS) / QUARTERS)).tolist()
    return _by_value(section, lengths, limits)


def _by_value(
    section: Section, values: Float[Values, " N"], limits: Sequence[float]
) -> list[tuple[str, Bool[NDArray[np.bool_], "S C N"]]]:
    """One part between each two limits, by a value of every sample."""
    places = np.searchsorted(limits, values, side="right")  # (N), 0 below the first limit
    shape = (len(section.seeds), len(section.conditions), section.samples)
    names = [f"below {limits[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(limits)]
    names.append(f"{limits[-1]:g} or more")
    return [(name, np.broadcast_to(places == i, shape)) for i, name in enumerate(names)]
