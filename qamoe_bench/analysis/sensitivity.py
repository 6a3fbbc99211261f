"""How much a row needs each modality: what it loses when whole modalities go, from what is stored.

Only predictions count whose sample lost whole modalities and nothing else, so the numbers mean the same under every
protocol that takes whole modalities away, from all samples alike or at random. Two sets of modalities are compared on
the samples that met both under the same seed: as masks are nested, most do.

Dimension legend: M rows, S seeds, V draws, C conditions, N samples, R resamples, P sets of modalities, A modalities,
X pairs of sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.catalogue import METRICS, Metric
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import Dialect
from qamoe_bench.statistics.intervals import Estimate, estimate, mean_of_defined
from qamoe_bench.statistics.resampling import RESAMPLES, resampled_terms, sample_weights

Values = NDArray[np.float64]
Set = tuple[str, ...]
There = Bool[NDArray[np.bool_], "P S V C N"]
FEWEST = 30
"""Samples of a seed that two sets must share."""


@dataclass(frozen=True)
class Sensitivity:
    """What one metric loses, in its unit and positive where that hurts.

    Attributes:
        metric: Which.
        modalities: A.
        sets: The sets of modalities that occur beside the full one, larger ones first.
        of_set: With only this set instead of everything, (M, P).
        of_modality: Without a modality: the mean over all pairs of sets that differ in it alone, (M, A).
    """

    metric: Metric
    modalities: Set
    sets: tuple[Set, ...]
    of_set: Estimate
    of_modality: Estimate


def sensitivity(section: Section, dialect: Dialect, metric: str) -> Sensitivity | None:
    """Of one metric; None where no whole modality is ever missing and nothing else done."""
    modalities = section.realised_by_seed[0].modalities
    names = [of for size in range(len(modalities), 0, -1) for of in combinations(modalities, size)]
    there = np.stack([_there(section, modalities, of) for of in names])
    met: NDArray[np.bool_] = np.any(there, axis=(2, 3))  # (P, S, N)
    pairs = [(p, q) for p, a in enumerate(names) for q, b in enumerate(names) if set(b) < set(a)]
    pairs = [(p, q) for p, q in pairs if (met[p] & met[q]).sum(-1).min() >= FEWEST]
    steps = {m: [x for x, (p, q) in enumerate(pairs) if set(names[p]) - set(names[q]) == {m}] for m in modalities}
    of_sets = {q: x for x, (p, q) in enumerate(pairs) if p == 0}
    if not any(steps.values()) or not of_sets:
        return None
    found = [_losses(section, row, dialect.definitions[metric], metric, there, pairs) for row in section.rows]
    values, again = (METRICS[metric].sign * np.stack(side, axis=-2) for side in zip(*found, strict=True))
    kept = [values[..., list(of_sets.values())], again[..., list(of_sets.values())]]
    means = [np.stack([_mean(x, of) for of in steps.values()], axis=-1) for x in (values, again)]
    return Sensitivity(
        METRICS[metric], modalities, tuple(names[q] for q in of_sets), estimate(*kept), estimate(*means)
    )  # fmt: skip


def _there(section: Section, modalities: Set, of: Set) -> Bool[NDArray[np.bool_], "S V C N"]:
    """Where exactly these modalities are present and untouched and the others are missing."""
    found = []
    for row in section.realised_by_seed:
        lost = [row.column(f"missing_{m}")[0] == (0 if m in of else 1) for m in modalities]
        calm = [row.column(f"noise_{m}")[0] == 0 for m in modalities]
        found.append(np.logical_and.reduce([*lost, *calm]))
    return np.stack(found)


def _losses(
    section: Section, row: Row, definition: Definition, metric: str, there: There, pairs: Sequence[tuple[int, int]]
) -> tuple[Float[Values, "S X"], Float[Values, "R S X"]]:
    """Value with the larger set of each pair minus that with the smaller one."""
    values = np.full((len(section.seeds), len(pairs)), np.nan)
    again = np.full((RESAMPLES, *values.shape), np.nan)
    weights, sides = sample_weights(section.samples), np.array(pairs)  # (X, 2)
    prediction = row.predictions_for(metric).astype(np.float64)
    for i, place in enumerate(section.seed_indices(row)):
        shape = prediction[i].shape  # (V, C, N)
        flat = prediction[i].reshape(-1), np.tile(section.label, shape[0] * shape[1])  # one scale for all of the seed
        met: NDArray[np.bool_] = np.any(there[:, place], axis=(1, 2))  # (P, N)
        both = (met[sides[:, 0]] & met[sides[:, 1]])[:, None]  # (X, 1, N)
        terms = (np.asarray(term, np.float64).reshape(shape) for term in definition.terms(*flat))
        shared = [np.stack([_of_samples(term, where) for where in there[:, place]])[sides] * both for term in terms]
        values[place] = _step(definition.of(shared))
        again[:, place] = _step(resampled_terms(definition, shared, weights))
    return values, again


def _step(values: Any) -> Float[Values, "... X"]:
    return np.asarray(values[..., 0] - values[..., 1])


def _of_samples(term: Float[Values, "V C N"], where: Bool[NDArray[np.bool_], "V C N"]) -> Float[Values, " N"]:
    """The mean of a sample's terms over all that it met under a set of modalities; 0 where it never did."""
    return np.asarray((term * where).sum((0, 1)) / np.maximum(where.sum((0, 1)), 1))


def _mean(values: Float[Values, "... X"], of: Sequence[int]) -> Float[Values, "..."]:
    return np.full(values.shape[:-1], np.nan) if not of else mean_of_defined(values[..., list(of)], -1)
