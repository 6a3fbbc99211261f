"""Sensitivity to modalities: how much worse a row becomes when whole modalities are missing.

Computed from stored predictions, of which only those count whose sample lost whole modalities and nothing else; the
numbers therefore mean the same under every protocol that removes whole modalities, from all samples or at random. Two
sets of available modalities are compared on the samples that occurred with both under the same seed; because masks are
nested, most samples do.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, R resamples, P sets of modalities, A modalities,
X pairs of sets, the larger one first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.shapes import Bool, Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate, estimate, mean_of_defined
from qamoe_bench.statistics.resampling import RESAMPLES, resampled_sums

Set = tuple[str, ...]
Pair = tuple[int, int]
"""Indices of two sets of modalities; the second is a proper subset of the first."""
Availability = Bool[NDArray[np.bool_], "P S V C N"]
"""Where exactly the modalities of a set are available, uncorrupted, and the others are missing."""
FEWEST = 30
"""Samples of a seed that two sets must have in common to be compared."""


@dataclass(frozen=True)
class Sensitivity:
    """Losses of one metric, in its unit; positive values are a deterioration.

    Attributes:
        metric: The metric.
        modalities: The modalities of the data, A.
        sets: The sets of modalities that occur in addition to the full one, larger ones first, P.
        of_set: The loss with only the modalities of a set, against all modalities, (M, P).
        of_modality: The loss without a modality: the mean over all pairs of sets that differ in it alone, (M, A).
    """

    metric: Metric
    modalities: Set
    sets: tuple[Set, ...]
    of_set: Estimate
    of_modality: Estimate


def sensitivity(section: Section, dialect: Dialect, metric: str) -> Sensitivity | None:
    """The sensitivity of one metric; None where whole modalities are never missing without further corruption.

    None also for metrics of which a part of the samples has no value of its own, such as the area under a curve.
    """
    definition = dialect.on_scale(section.label).definitions[metric]
    if not definition.is_additive:
        return None
    modalities = section.realised_by_seed[0].modalities
    sets = _subsets(modalities)
    available = np.stack([_availability(section, modalities, members) for members in sets])
    pairs = _comparable_pairs(sets, available)
    from_full = [x for x, (larger, _) in enumerate(pairs) if larger == 0]  # the full set is the first
    without = [_pairs_without(modality, sets, pairs) for modality in modalities]
    if not any(without) or not from_full:
        return None
    of_labels = _label_sums(section, definition, metric, available, pairs)
    losses = [_losses(section, row, definition, metric, available, pairs, of_labels) for row in section.rows]
    sign = METRICS[metric].sign
    values = sign * np.stack([v for v, _ in losses], axis=-2)  # (S, M, X)
    resampled = sign * np.stack([r for _, r in losses], axis=-2)  # (R, S, M, X)
    return Sensitivity(
        METRICS[metric],
        modalities,
        tuple(sets[pairs[x][1]] for x in from_full),
        of_set=estimate(values[..., from_full], resampled[..., from_full], section.resampling.freedom),
        of_modality=estimate(
            _mean_by_modality(values, without), _mean_by_modality(resampled, without), section.resampling.freedom
        ),
    )


def _subsets(modalities: Set) -> list[Set]:
    """All sets of at least one modality, the full one first, then by falling size."""
    sets: list[Set] = []
    for size in range(len(modalities), 0, -1):
        sets += combinations(modalities, size)
    return sets


def _availability(section: Section, modalities: Set, members: Set) -> Bool[NDArray[np.bool_], "S V C N"]:
    """Where exactly the members are available, without noise, and all other modalities are missing."""
    by_seed = []
    for row in section.realised_by_seed:
        is_exact = np.ones(row.column(f"missing_{modalities[0]}")[0].shape, bool)  # (V, C, N)
        for modality in modalities:
            wanted = 0 if modality in members else 1  # the share of frames that is missing
            is_exact &= row.column(f"missing_{modality}")[0] == wanted
            is_exact &= row.column(f"noise_{modality}")[0] == 0
        by_seed.append(is_exact)
    return np.stack(by_seed)


def _comparable_pairs(sets: Sequence[Set], available: Availability) -> list[Pair]:
    """Pairs of a set and a proper subset with enough samples in common, under every seed."""
    occurs: NDArray[np.bool_] = np.any(available, axis=(2, 3))  # (P, S, N)
    pairs = []
    for larger, smaller in product(range(len(sets)), repeat=2):
        if set(sets[smaller]) < set(sets[larger]):
            shared = (occurs[larger] & occurs[smaller]).sum(-1)  # (S)
            if shared.min() >= FEWEST:
                pairs.append((larger, smaller))
    return pairs


def _pairs_without(modality: str, sets: Sequence[Set], pairs: Sequence[Pair]) -> list[int]:
    """Positions of the pairs that differ in this modality alone."""
    return [x for x, (larger, smaller) in enumerate(pairs) if set(sets[larger]) - set(sets[smaller]) == {modality}]


def _label_sums(
    section: Section, definition: Definition, metric: str, available: Availability, pairs: Sequence[Pair]
) -> dict[int, Float[Values, "S X 2 R"]]:
    """Resampled sums of those terms that depend on the labels alone, by their place: all rows share them."""
    some = np.zeros(section.rows[0].predictions_for(metric).shape[1:])  # (V, C, N), or (V, C, N, K)
    terms = definition.terms(some[:1, :1], section.label)
    places = [i for i, term in enumerate(terms) if term.ndim == 1]
    by_seed = []
    for s in range(len(section.seeds)):
        of_pairs = _terms_of_pairs(definition, some, section.label, available[:, s], pairs)
        by_seed.append([of_pairs[i] for i in places])
    sums = resampled_sums([np.stack(of_seeds) for of_seeds in zip(*by_seed, strict=True)], section.resampling)
    return {i: np.asarray(of_term, np.float64) for i, of_term in zip(places, sums, strict=True)}


def _losses(
    section: Section,
    row: Row,
    definition: Definition,
    metric: str,
    available: Availability,
    pairs: Sequence[Pair],
    of_labels: Mapping[int, Float[Values, "S X 2 R"]],
) -> tuple[Float[Values, "S X"], Float[Values, "R S X"]]:
    """The metric with the larger set of each pair minus that with the smaller one, and of every resample."""
    values = np.full((len(section.seeds), len(pairs)), np.nan)
    resampled = np.full((RESAMPLES, *values.shape), np.nan)
    prediction = row.predictions_for(metric).astype(np.float64)  # (S, V, C, N), or (S, V, C, N, K)
    own = section.seed_indices(row)
    by_seed = []
    for own_index, s in enumerate(own):
        by_seed.append(_terms_of_pairs(definition, prediction[own_index], section.label, available[:, s], pairs))
    # All seeds share one matrix product.
    terms = [np.stack(of_seeds) for of_seeds in zip(*by_seed, strict=True)]  # (S, X, 2, N) each
    values[own] = _larger_minus_smaller(definition.of(terms))
    of_row = resampled_sums([term for i, term in enumerate(terms) if i not in of_labels], section.resampling)
    left = iter(of_row)
    sums = [of_labels[i][own] if i in of_labels else next(left) for i in range(len(terms))]
    metrics = np.moveaxis(np.asarray(definition.value(*sums)), -1, 0)  # (R, S, X, 2)
    resampled[:, own] = _larger_minus_smaller(metrics)
    # A pair that is undefined under one of the row's seeds has no mean over them.
    values[:, ~np.isfinite(values[own]).all(0)] = np.nan
    return values, resampled


def _terms_of_pairs(
    definition: Definition,
    prediction: Float[Values, "V C N ..."],
    label: Float[Values, " N"],
    available: Bool[NDArray[np.bool_], "P V C N"],
    pairs: Sequence[Pair],
) -> list[Float[Values, "X 2 N"]]:
    """The terms of a metric with both sets of each pair, on their common samples; 0 for all other samples."""
    sides = np.array(pairs)  # (X, 2)
    occurs: NDArray[np.bool_] = np.any(available, axis=(1, 2))  # (P, N)
    is_shared = (occurs[sides[:, 0]] & occurs[sides[:, 1]])[:, None]  # (X, 1, N)
    # One vector of all predictions, because terms may be scaled by the largest value of their vector.
    shape = prediction.shape[:3]  # (V, C, N)
    labels = np.tile(label, shape[0] * shape[1])  # (V·C·N)
    terms = []
    for flat in definition.terms(prediction.reshape(-1, *prediction.shape[3:]), labels):
        term = np.asarray(flat, np.float64).reshape(shape)
        by_set = np.stack([_mean_of_occurrences(term, where) for where in available])  # (P, N)
        terms.append(by_set[sides] * is_shared)  # (X, 2, N)
    return terms


def _mean_of_occurrences(term: Float[Values, "V C N"], where: Bool[NDArray[np.bool_], "V C N"]) -> Float[Values, " N"]:
    """The mean term of each sample over the draws and conditions where it occurs; 0 where it never does."""
    return np.asarray((term * where).sum((0, 1)) / np.maximum(where.sum((0, 1)), 1))


def _larger_minus_smaller(values: Any) -> Float[Values, "... X"]:
    return np.asarray(values[..., 0] - values[..., 1])


def _mean_by_modality(values: Float[Values, "... X"], without: Sequence[list[int]]) -> Float[Values, "... A"]:
    """The mean over the pairs of each modality; NaN for a modality without pairs."""
    means = []
    for positions in without:
        if positions:
            means.append(mean_of_defined(values[..., positions], -1))
        else:
            means.append(np.full(values.shape[:-1], np.nan))
    return np.stack(means, axis=-1)
