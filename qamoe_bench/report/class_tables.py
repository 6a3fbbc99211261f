"""Tables of tasks with classes or labels: how well each is recognised, and what it is taken for.

Dimension legend: C conditions, L levels, K classes or labels.
"""

from collections.abc import Iterator

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.scores import over_conditions
from qamoe_bench.analysis.section import Row
from qamoe_bench.report.metric_tables import oracle_rows
from qamoe_bench.report.table import Table, fitted, shown


def class_tables(analysis: Analysis) -> Iterator[Table]:
    """F1 by class, and the confusions of the best row; nothing for regression."""
    if analysis.section.task.is_regression:
        return
    yield class_table(analysis)
    row = _best_row(analysis)
    if row is not None and analysis.class_results[row.name].confusion is not None:
        yield confusion_table(analysis, row)


def class_table(analysis: Analysis) -> Table:
    """F1 of each class, mean over levels, and its change from the first to the last level."""
    section = analysis.section
    levels = section.levels
    rows = []
    for name, results in analysis.class_results.items():
        by_level = levels.means(results.f1.T)  # (K, C) -> (K, L)
        means = [f"{100 * value:.1f}" for value in results.f1.mean(0)]
        changes = [f"{100 * (last - first):+.1f}" for first, last in zip(by_level[:, 0], by_level[:, -1], strict=True)]
        rows.append((name, *means, *changes))
    names = section.task.names
    head = ("model", *names, *(f"Δ {name}" for name in names))
    what = "class" if section.task.kind == "classes" else "label"
    note = f"mean over levels and seeds; Δ: at {levels.labels[-1]} minus at {levels.labels[0]}, in points"
    return fitted(Table(f"F1 by {what}, %", head, tuple(rows), (note,), oracle_rows(section)))


def confusion_table(analysis: Analysis, row: Row) -> Table:
    """What the samples of each class are taken for, at the first and at the last level."""
    section = analysis.section
    levels = section.levels
    confusion = analysis.class_results[row.name].confusion
    assert confusion is not None
    by_level = levels.means(confusion.transpose(1, 2, 0))  # (K, K, C) -> (K, K, L)
    names = section.task.names
    rows = []
    for k, name in enumerate(names):
        cells = [f"{shown(100 * x[0], '.0f')} → {shown(100 * x[-1], '.0f')}" for x in by_level[k]]
        rows.append((name, *cells))
    note = (
        "each row is a true class and each column what its samples are taken for, in % of them: at "
        f"{levels.labels[0]} → at {levels.labels[-1]}"
    )
    return fitted(Table(f"Confusions of {row.name}", ("true class", *names), tuple(rows), (note,)))


def _best_row(analysis: Analysis) -> Row | None:
    """The model with the best mean of the metric that decides the order."""
    scores = analysis.headline
    means = scores.metric.sign * scores.means(over_conditions)
    rows = [(float(mean), row) for mean, row in zip(means, analysis.section.rows, strict=True)]
    finite = [(mean, row) for mean, row in rows if mean == mean and not row.is_limit]
    return max(finite, key=lambda pair: pair[0])[1] if finite else None
