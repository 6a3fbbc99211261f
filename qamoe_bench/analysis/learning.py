"""Learning curves: a metric of models that were trained on several numbers of samples of the same data.

Each number of training samples has a section of its own, with the same corrupted test samples. A curve joins them by
the data set that they are parts of, and the data set itself is the point of all its training samples.

Dimension legend: M rows of a section, K rows of a curve, Z sizes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import Section
from qamoe_bench.analysis.summaries import SweepSummary
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.shapes import Float
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.statistics.intervals import Estimate
from qamoe_bench.store.cell import ORACLE

_Key = tuple[str, str, str]
"""Model, regime and, where a section has several versions of a row, the beginning of its recipe."""


@dataclass(frozen=True)
class LearningPoint:
    """A section as a point of a learning curve.

    Attributes:
        dataset: Name of the data set with all its training samples.
        data_digest: Its digest.
        protocol: Name of the protocol.
        protocol_digest: Its digest.
        metric: The metric that decides the order of the rows.
        size: Number of training samples; 0 for the data set as it is read.
        whole: Number of training samples of the data set as it is read; 0 where the section does not say it.
        keys: Model, regime and version of each row.
        mean: The metric's mean over all conditions and seeds, (M,).
        reached: Share of the way from the floor to the oracle, (M,); None unless both are rows.
        seeds: Seeds of each row.
    """

    dataset: str
    data_digest: str
    protocol: str
    protocol_digest: str
    metric: Metric
    size: int
    whole: int
    keys: tuple[_Key, ...]
    mean: Estimate
    reached: Estimate | None
    seeds: tuple[tuple[int, ...], ...]

    @property
    def curve(self) -> tuple[str, str, str, str, str]:
        """What the points of one curve have in common."""
        return self.dataset, self.protocol, self.metric.name, self.data_digest, self.protocol_digest


@dataclass(frozen=True)
class Curves:
    """A quantity of every row by size; NaN where a row lacks the size.

    Attributes:
        value: (K, Z).
        low: Lower ends of 95 % intervals.
        high: Upper ends.
    """

    value: Float[Values, "K Z"]
    low: Float[Values, "K Z"]
    high: Float[Values, "K Z"]


@dataclass(frozen=True)
class LearningCurve:
    """The learning curves of all models under one protocol.

    Attributes:
        dataset: Name of the data set.
        protocol: Name of the protocol.
        metric: The metric.
        sizes: Numbers of training samples, rising; at least two.
        names: The rows that have at least two of the sizes, K.
        oracles: Those of them that are not trained, so that their curves are level.
        left_out: Names of rows with one size.
        mean: The metric, mean over all conditions and seeds.
        reached: Share of the way from the floor to the oracle; None unless both are rows.
        seeds: The numbers of seeds that points stand for, rising.
    """

    dataset: str
    protocol: str
    metric: Metric
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    oracles: tuple[str, ...]
    left_out: tuple[str, ...]
    mean: Curves
    reached: Curves | None
    seeds: tuple[int, ...]


def learning_point(section: Section, scores: Scores, summaries: Mapping[str, SweepSummary]) -> LearningPoint:
    """A section as a point, from its summaries of the metric of these scores."""
    cell = section.cells[0].cell
    size = section.train_size
    rows = section.rows
    versions = Counter((row.model, row.regime) for row in rows)
    keys = []
    for row in rows:
        is_unique = versions[row.model, row.regime] == 1
        keys.append((row.model, row.regime, "" if is_unique else row.cells[0].cell.recipe[:4]))
    reached = summaries.get("reached")
    return LearningPoint(
        dataset=size.get("base", section.dataset),
        data_digest=size.get("base_digest", cell.data_digest),
        protocol=section.protocol,
        protocol_digest=cell.protocol_digest,
        metric=scores.metric,
        size=size.get("samples", 0),
        whole=size.get("base_samples", 0),
        keys=tuple(keys),
        mean=summaries["mean"].estimate(),
        reached=None if reached is None else reached.estimate(),
        seeds=tuple(row.seeds for row in rows),
    )


def learning_curves(points: Iterable[LearningPoint]) -> list[LearningCurve]:
    """The curves that these points are of; a data set with one number of training samples has none."""
    groups: dict[tuple[str, ...], list[LearningPoint]] = {}
    for point in points:
        groups.setdefault(point.curve, []).append(point)
    curves = []
    for key in sorted(groups):
        # The data set itself does not say how many training samples it has; the parts of it do.
        whole = max(point.whole for point in groups[key])
        by_size = {point.size or whole: point for point in groups[key]}
        if len(by_size) > 1:
            curves.append(_curve({size: by_size[size] for size in sorted(by_size)}))
    return curves


def _curve(points: Mapping[int, LearningPoint]) -> LearningCurve:
    """The curve of some points by rising size."""
    sizes = Counter(key for point in points.values() for key in point.keys)
    keys = [key for key in sorted(sizes, key=lambda key: (key[0] == ORACLE, key)) if sizes[key] > 1]
    regimes = {regime for _, regime, _ in sizes if regime}
    names = [_name(key, len(regimes) > 1) for key in keys]
    alone = sorted(_name(key, len(regimes) > 1) for key, count in sizes.items() if count == 1)
    first, *_ = points.values()
    shares = [point.reached for point in points.values() if point.reached is not None]
    seeds = {len(of_row) for point in points.values() for of_row in point.seeds}
    return LearningCurve(
        dataset=first.dataset,
        protocol=first.protocol,
        metric=first.metric,
        sizes=tuple(points),
        names=tuple(names),
        oracles=tuple(name for name, key in zip(names, keys, strict=True) if key[0] == ORACLE),
        left_out=tuple(alone),
        mean=_curves(keys, points, [point.mean for point in points.values()]),
        reached=_curves(keys, points, [point.reached for point in points.values()]) if shares else None,
        seeds=tuple(sorted(seeds)),
    )


def _name(key: _Key, has_regimes: bool) -> str:
    model, regime, version = key
    name = f"{model} ({regime})" if regime and has_regimes else model
    return f"{name} #{version}" if version else name


def _curves(keys: Sequence[_Key], points: Mapping[int, LearningPoint], estimates: Sequence[Estimate | None]) -> Curves:
    """One quantity of some rows, from its estimate at each point."""
    table = np.full((3, len(keys), len(points)), np.nan)  # value, low and high
    for z, (point, estimate) in enumerate(zip(points.values(), estimates, strict=True)):
        if estimate is None:
            continue
        low, high = estimate.interval()
        for k, key in enumerate(keys):
            if key in point.keys:
                row = point.keys.index(key)
                table[:, k, z] = estimate.value[row], low[row], high[row]
    return Curves(*table)
