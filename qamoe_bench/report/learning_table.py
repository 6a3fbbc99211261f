"""Tables of learning curves: a metric, and the share of the way to the oracle, by number of training samples."""

from collections.abc import Callable, Iterable

import numpy as np

from qamoe_bench.analysis.learning import Curves, LearningCurve, LearningPoint, learning_curves
from qamoe_bench.analysis.section import MEAN
from qamoe_bench.report.metric_tables import percent_sign
from qamoe_bench.report.table import Chapter, Table, fitted, shown, sorted_by


def learning_chapters(points: Iterable[LearningPoint]) -> list[Chapter]:
    """A chapter for each data set and protocol with several numbers of training samples."""
    return [_chapter(curve) for curve in learning_curves(points)]


def _chapter(curve: LearningCurve) -> Chapter:
    metric = curve.metric
    title = (
        f"{metric.name}{percent_sign(metric)} by number of training samples ({metric.better} is better: {metric.title})"
    )
    tables = [_table(curve, title, curve.mean, metric.show, _left_out(curve))]
    if curve.reached is not None:
        gap = f"Share of the way from {MEAN} to oracle by number of training samples, %"
        tables.append(_table(curve, gap, curve.reached, _percent, ()))
    line = (
        "Trained on n samples, of which larger sets contain the smaller ones; tested on the same corrupted samples. "
        f"Mean over all levels of the protocol and over {counted_seeds(curve)} ± half of the "
        "95 % interval. Models of different n are neither ranked nor tested against each other."
    )
    return Chapter(f"Learning curves: {curve.protocol} on {curve.dataset}", (line,), tuple(tables))


def _table(
    curve: LearningCurve, title: str, curves: Curves, show: Callable[[float], str], notes: tuple[str, ...]
) -> Table:
    first, *others = curve.sizes
    rows = []
    for k, name in enumerate(curve.names):
        cells = [_cell(show, *ends) for ends in zip(curves.value[k], curves.low[k], curves.high[k], strict=True)]
        rows.append((name, *cells))
    head = ("model", f"n={first}", *map(str, others))
    table = Table(title, head, tuple(rows), notes, curve.oracles)
    return fitted(sorted_by(_order(curve), table))


def _cell(show: Callable[[float], str], value: float, low: float, high: float) -> str:
    """A value with the half-width of its interval; without one where it has none, as the oracle's own share."""
    if not np.isfinite(value):
        return "–"
    half_width = show((high - low) / 2)
    return f"{show(value)}±{half_width.removeprefix('0')}" if high > low else show(value)


def _percent(share: float) -> str:
    return shown(100 * share, ".1f")


def _order(curve: LearningCurve) -> list[str]:
    """Names of the rows: best at the largest number of samples first, the oracle last."""
    last = curve.metric.sign * curve.mean.value[:, -1]

    def place(k: int) -> tuple[bool, float]:
        return curve.names[k] in curve.oracles, -last[k] if np.isfinite(last[k]) else np.inf

    return [curve.names[k] for k in sorted(range(len(curve.names)), key=place)]


def _left_out(curve: LearningCurve) -> tuple[str, ...]:
    """A note on rows with one number of training samples."""
    if not curve.left_out:
        return ()
    few = ", ".join(curve.left_out[:3])
    more = f" and {len(curve.left_out) - 3} more" if len(curve.left_out) > 3 else ""
    return (f"left out, with one number of training samples: {few}{more}",)


def counted_seeds(curve: LearningCurve) -> str:
    """The numbers of seeds of a curve's points, as in `2 or 3 seeds`."""
    seeds = " or ".join(map(str, curve.seeds))
    return f"{seeds} seed{'' if curve.seeds == (1,) else 's'}"
