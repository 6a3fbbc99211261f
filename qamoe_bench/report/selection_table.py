"""The table of what choosing the epoch on the test split would add; a diagnosis, of which nothing else makes use."""

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.selection_gain import SelectionGain, half_width, selection_gains
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.report.table import Table, counted
from qamoe_bench.statistics.arrays import Values
from qamoe_bench.store.selection import CurveFiles

TITLE = "Diagnostic: what choosing the epoch on the test split would add (no result, rank or check uses it)"


def selection_table(analysis: Analysis, files: CurveFiles) -> Table | None:
    """The selected epoch's value of each metric and its change at epochs that the test split would choose.

    Args:
        analysis: The analysis of a section.
        files: Finds the curves; None is returned if there are none.
    """
    metrics = [scores.metric for scores in analysis.scores]
    rows: list[tuple[str, ...]] = []
    seeds = set()
    for row in analysis.section.rows:
        gains = selection_gains(row, analysis.dialect.name, [metric.name for metric in metrics], files)
        if gains:
            rows += _lines(row.name, metrics, gains)
            seeds.add(len(gains[0].per_metric))
    if not rows:
        return None
    counts = " or ".join(counted(n, "seed") for n in sorted(seeds))
    notes = (
        "first line: at the epoch that the validation split selected, mean over seeds and levels; best per metric: "
        "change if each metric had its own epoch with the best mean over levels on the test split; one epoch: change "
        "at the epoch with the lowest test MAE, in all metrics",
        f"±: half-width of the 95 % interval over trainings, paired by seed ({counts}); a best epoch is never worse on "
        "the split that chose it",
    )
    return Table(TITLE, ("model", *(metric.name for metric in metrics)), tuple(rows), notes)


def _lines(name: str, metrics: list[Metric], gains: list[SelectionGain]) -> list[tuple[str, ...]]:
    selected = [metric.show(gain.selected) for metric, gain in zip(metrics, gains, strict=True)]
    per_metric = [_change(metric, gain.per_metric) for metric, gain in zip(metrics, gains, strict=True)]
    one_epoch = [_change(metric, gain.one_epoch) for metric, gain in zip(metrics, gains, strict=True)]
    return [
        (name, *selected),
        (f"{name}, best per metric", *per_metric),
        (f"{name}, one epoch", *one_epoch),
    ]


def _change(metric: Metric, gains: Values) -> str:
    """The mean change with the half-width of its interval, where there are several seeds."""
    change = metric.show_change(float(gains.mean()))
    width = half_width(gains)
    return f"{change}±{metric.show(width).removeprefix('0')}" if np.isfinite(width) else change
