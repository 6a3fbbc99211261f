"""Stability of conclusions: which comparisons of rows depend on a choice that could have been made differently.

The choices are the dialect of the metric, every draw, seed and level, each of which is left out once, and whether
clustered samples are taken for independent. A verdict says which row of a pair is significantly better, if any; the
order says which one has the better value.

Dimension legend: N samples.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.analysis.comparisons import Difference, pairwise_differences
from qamoe_bench.analysis.scores import Scores, score
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.widening import score_independent
from qamoe_bench.metrics.dialects import POLARITY, SIMS, Dialect, dialects_for
from qamoe_bench.store.store import StoredCell


@dataclass(frozen=True)
class Comparison:
    """Two rows under one choice.

    Attributes:
        order: 1 if the first has the better value, −1 if the second has, 0 if they are equal.
        verdict: The same if that is significant, else 0.
    """

    order: int
    verdict: int


Pair = tuple[int, int]
"""Indices of two rows; the first is the smaller one."""


@dataclass(frozen=True)
class AnalysisChoice:
    """One choice, and every comparison under it.

    Attributes:
        name: As an adverbial phrase, such as `without seed 1112`.
        comparisons: By pair of rows; a pair without a value is left out.
    """

    name: str
    comparisons: Mapping[Pair, Comparison]


@dataclass(frozen=True)
class Stability:
    """The comparisons of all rows in one metric's mean over levels, as reported and under other choices.

    Attributes:
        metric: Name of the metric.
        rows: Names of the rows of the section.
        reported: The comparisons of the report: one dialect, and everything that is stored.
        choices: Those under every other choice.
    """

    metric: str
    rows: tuple[str, ...]
    reported: Mapping[Pair, Comparison]
    choices: Sequence[AnalysisChoice]

    def changed_verdicts(self, choice: AnalysisChoice) -> list[Pair]:
        """The pairs whose verdict differs from the reported one."""
        return [
            p for p, c in choice.comparisons.items() if p in self.reported and c.verdict != self.reported[p].verdict
        ]

    def changed_orders(self, choice: AnalysisChoice) -> list[Pair]:
        """The pairs whose order is the opposite of the reported one."""
        return [
            p for p, c in choice.comparisons.items() if p in self.reported and c.order == -self.reported[p].order != 0
        ]

    def sentences(self) -> Iterator[str]:
        """One sentence for each pair whose verdict or order depends on a choice."""
        for pair in self.reported:
            parts = [*self._verdict_parts(pair), *self._order_parts(pair)]
            if parts:
                yield f"{self._as_reported(pair)}; {'; '.join(parts)}"

    def _as_reported(self, pair: Pair) -> str:
        better, worse = self._ordered(pair, self.reported[pair].order)
        if self.reported[pair].verdict:
            return f"{better} is significantly better than {worse} in {self.metric}"
        return f"{better} is ahead of {worse} in {self.metric}, not significantly"

    def _verdict_parts(self, pair: Pair) -> Iterator[str]:
        """What the verdict becomes, and under which choices."""
        by_verdict: dict[int, list[str]] = {}
        for choice in self.choices:
            if pair in self.changed_verdicts(choice):
                by_verdict.setdefault(choice.comparisons[pair].verdict, []).append(choice.name)
        for verdict, names in by_verdict.items():
            if verdict:
                better, worse = self._ordered(pair, verdict)
                yield f"{better} is significantly better than {worse} {_listed(names)}"
            else:
                yield f"not significantly {_listed(names)}"

    def _order_parts(self, pair: Pair) -> Iterator[str]:
        names = [choice.name for choice in self.choices if pair in self.changed_orders(choice)]
        if names:
            yield f"the ranking of the two flips {_listed(names)}"

    def _ordered(self, pair: Pair, order: int) -> tuple[str, str]:
        """The names of both rows, the better one first."""
        first, second = self.rows[pair[0]], self.rows[pair[1]]
        return (first, second) if order >= 0 else (second, first)


def stability(
    section: Section,
    dialect: Dialect,
    metric: str,
    dialects: Iterable[Dialect] | None = None,
) -> Stability:
    """Compare the rows of a section under every choice.

    Args:
        section: The section.
        dialect: The dialect of the report.
        metric: A metric that it defines.
        dialects: Other dialects, by default all that fit the labels; those that do not define the metric, or define it
            alike, are left out.
    """
    scores = score(section, dialect, metric)
    choices = {}
    for other in fitting_dialects(section) if dialects is None else dialects:
        if other.definitions.get(metric, dialect.definitions[metric]) != dialect.definitions[metric]:
            choices[f"in dialect {other.name}"] = score(section, other, metric)
    choices |= _without_draws(section, dialect, metric) | _without_seeds(section, scores)
    choices |= _without_levels(section, scores) | _without_clusters(section, dialect, metric)
    section.clear_cache()
    return Stability(
        metric=metric,
        rows=tuple(row.name for row in section.rows),
        reported=_comparisons(section, scores),
        choices=[AnalysisChoice(name, _comparisons(section, changed)) for name, changed in choices.items()],
    )


def fitting_dialects(section: Section) -> list[Dialect]:
    """The dialects for the task; for labels on a scale those of CH-SIMS if all are in [−1, 1], else all but `sims`."""
    dialects = dialects_for(section.task)
    if not section.task.is_regression:
        return dialects
    is_sims = bool(np.abs(section.label).max() <= 1)
    return [SIMS, POLARITY] if is_sims else [dialect for dialect in dialects if dialect.name != SIMS.name]


def _comparisons(section: Section, scores: Scores) -> dict[Pair, Comparison]:
    differences = pairwise_differences(section, scores)
    return {pair: _comparison(d, scores.metric.sign) for pair, d in differences.items() if np.isfinite(d.value)}


def _comparison(difference: Difference, sign: int) -> Comparison:
    order = int(np.sign(sign * difference.value))
    return Comparison(order, order if difference.is_significant else 0)


def _without_seeds(section: Section, scores: Scores) -> dict[str, Scores]:
    """The scores without each seed, if there are several."""
    seeds = section.seeds
    if len(seeds) < 2:
        return {}
    return {f"without seed {seed}": _kept(scores, np.array(seeds) != seed, axis=1) for seed in seeds}


def _without_levels(section: Section, scores: Scores) -> dict[str, Scores]:
    """The scores without the conditions of each level, if there are several."""
    levels = section.levels
    if len(levels.members) < 2:
        return {}
    indices = np.arange(len(section.conditions))
    # The heading of the first level names the axis, which the sentences repeat for all.
    axis = levels.labels[0].partition("=")[0] + "=" if levels.axis else ""
    choices = {}
    for label, members in zip(levels.labels, levels.members, strict=True):
        name = f"without level {axis}{label.removeprefix(axis)}"
        choices[name] = _kept(scores, ~np.isin(indices, members), axis=2)
    return choices


def _kept(scores: Scores, keep: NDArray[np.bool_], axis: int) -> Scores:
    """The scores of some seeds (axis 1) or conditions (axis 2) only."""
    return replace(
        scores,
        values=np.compress(keep, scores.values, axis),
        resampled=np.compress(keep, scores.resampled, axis + 1),
        has_seed=np.compress(keep, scores.has_seed, 1) if axis == 1 else scores.has_seed,
    )


def _without_clusters(section: Section, dialect: Dialect, metric: str) -> dict[str, Scores]:
    """The scores if all samples were independent, where they are not."""
    if section.clusters is None:
        return {}
    name = f"if samples of one {section.clusters.kind} were independent"
    return {name: score_independent(section, dialect, metric)}


def _without_draws(section: Section, dialect: Dialect, metric: str) -> dict[str, Scores]:
    """The scores without each of the draws of the corruption, if there are several."""
    draws = section.rows[0].column("prediction").shape[1]
    if draws < 2:
        return {}
    choices = {}
    for draw in range(draws):
        rest = Section(tuple(_without_draw(cell, draw) for cell in section.cells), section.cluster_rule)
        choices[f"without draw {draw}"] = score(rest, dialect, metric)
    return choices


def _without_draw(cell: StoredCell, draw: int) -> StoredCell:
    return _WithoutDraw(cell.path, cell.cell, cell.facts, cell.names, cell.samples_digest, cell, draw)


@dataclass(frozen=True)
class _WithoutDraw(StoredCell):
    """A cell as if one draw had not been made."""

    whole: StoredCell
    draw: int

    @property
    def samples(self) -> tuple[str, ...]:  # cached by the whole cell
        return self.whole.samples

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        return {name: np.delete(x, self.draw, axis=0) for name, x in self.whole.columns(names).items()}


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
