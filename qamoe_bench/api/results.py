"""Analysis, comparison and plots of evaluations and of stored results. Nothing here needs torch."""

from __future__ import annotations  # keeps the signatures that help() shows short

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qamoe_bench.analysis.check.check import Expected, Verdict, compare_stores
from qamoe_bench.analysis.check.findings import Limits
from qamoe_bench.analysis.clusters import cluster_rule
from qamoe_bench.api.evaluation import Evaluation
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.store.agreement import distinct
from qamoe_bench.store.store import Store, StoredCell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qamoe_bench.analysis.analyse import Analysis

Part = Store | Evaluation | Path | str
Results = Part | Iterable[StoredCell | Part]
"""A store or its folder, an evaluation, or several of these, or of their cells."""


def analyse(
    results: Results,
    dialect: str = "",
    metrics: Sequence[str] = (),
    cluster: str = "auto",
) -> list[Analysis]:
    """Compute metrics with confidence intervals, ranks, and differences between models.

    Args:
        results: A store or its folder, an evaluation, or several of these or of their cells, which are compared with
            each other where they share data and protocol.
        dialect: Name of the metric dialect; empty for the default one of the task, `mmsa` for labels on a scale.
        metrics: Metrics to compute; empty for the main metrics of the dialect.
        cluster: Test samples that are alike, as `--cluster` takes it: `auto` reads their videos or dialogues from their
            ids, `none` takes all for independent, and a CSV file with a column `id` names them.

    Returns:
        One analysis per data set and protocol. Each may take up to 100 MB for a large study; analyse a part of its
        cells at a time if that is too much.

    Raises:
        BenchError: If there are no finished cells, two of one key hold different results, the dialect or a metric
            does not exist, or the clusters cannot be read.

    Examples:
        >>> evaluation = qamoe_bench.evaluate(qamoe_bench.load_model("mean"))
        >>> (analysis,) = qamoe_bench.analyse(evaluation, metrics=["mae"])
        >>> [row.name for row in analysis.section.rows]
        ['Mean']
        >>> analysis.section.levels.labels[:3]
        ('η=0', '0.1', '0.2')
    """
    # Imported here, because a comparison needs a small part of it.
    from qamoe_bench.report.tables import analyses

    choice = chosen(dialect, metrics)
    return list(analyses(_cells(results), choice.dialect, choice.metrics, cluster_rule(cluster)))


def _cells(results: Results) -> list[StoredCell]:
    """The cells of any kind of results, each once."""
    parts = [results] if isinstance(results, Part) else results
    cells: list[StoredCell] = []
    for part in parts:
        if isinstance(part, StoredCell):
            cells.append(part)
        else:
            cells += part.cells if isinstance(part, Evaluation) else as_store(part).require_cells()
    if not cells:
        raise BenchError("no finished cells: expected cells or evaluations to analyse, got none; pass at least one")
    return distinct(cells)


def as_store(results: Store | Path | str) -> Store:
    """A store, or the one in a folder."""
    return results if isinstance(results, Store) else Store(results)


def compare(
    reference: Store | Path | str,
    results: Store | Path | str,
    dialect: str = "",
    metrics: Sequence[str] = (),
    *,
    tolerance: float = 0.01,
    slowdown: float = 2.0,
    seeds: Sequence[int] = (),
    protocols: Sequence[str] = (),
    models: Sequence[str] = (),
    cluster: str = "auto",
) -> Verdict:
    """Compare results with a reference, as `qamoe-bench check` does.

    Args:
        reference: A store or its folder, known to be good.
        results: A store or its folder; models that the reference lacks are ignored.
        dialect: Name of the metric dialect; empty for the default one of the task, `mmsa` for labels on a scale.
        metrics: Metrics to compare; empty for the main metrics of the dialect.
        tolerance: Loss in a metric that is tolerated, in the unit of the metric: .01 is one point of accuracy.
        slowdown: Tolerated factor between the time of a model, relative to the control model, and its reference.
        seeds: Seeds of the reference to expect; empty for all.
        protocols: Protocols of the reference to expect; `*` matches any text; empty for all.
        models: Models of the reference to expect, in addition to late-fusion, mean and oracle; `*` matches any text;
            empty for all.
        cluster: Test samples that are alike, see `analyse`.

    Returns:
        The findings, of which `regressions` lists significant losses, and missing or changed cells.

    Raises:
        BenchError: If a store is empty, the reference holds two versions of a model or nothing that is expected, or if
            the dialect or a metric does not exist.

    Examples:
        >>> evaluation = qamoe_bench.evaluate(qamoe_bench.load_model("mean"))
        >>> reference = evaluation.save("reference")
        >>> results = evaluation.save("results")
        >>> qamoe_bench.compare(reference, results).regressions
        ()
    """
    return compare_stores(
        as_store(reference),
        as_store(results),
        chosen(dialect, metrics),
        Limits(tolerance, slowdown),
        Expected(seeds, protocols, models),
        cluster_rule(cluster),
    )


def plot_curve(analysis: Analysis, metric: str = "mae", width: float = 7.0) -> "Figure":
    """Plot a metric over the levels of a protocol: one line per model, with a band of the 95 % interval.

    Args:
        analysis: An analysis whose protocol sweeps an axis.
        metric: One of the metrics of the analysis.
        width: Width of the figure in inches.

    Returns:
        A matplotlib figure, which a notebook shows and `savefig` writes.

    Raises:
        BenchError: If the analysis lacks the metric, or if the protocol has fewer than two numeric levels.

    Examples:
        >>> evaluation = qamoe_bench.evaluate(qamoe_bench.load_model("mean"))
        >>> (analysis,) = qamoe_bench.analyse(evaluation, metrics=["mae"])
        >>> figure = qamoe_bench.plot_curve(analysis, "mae")
        >>> len(figure.axes[0].lines)  # one model
        1
    """
    # Imported here because `analyse` and `compare` work without matplotlib, which is slow to import.
    from qamoe_bench.figures.curves import curve_figures
    from qamoe_bench.figures.style import styled

    chosen = [scores for scores in analysis.scores if scores.metric.name == metric]
    if not chosen:
        raise unknown_name("metric of this analysis", metric, [scores.metric.name for scores in analysis.scores])
    with styled():  # independent of the user's matplotlib settings, as in the figures of the command line
        # Only the chosen metric: the figures of the others would be drawn and thrown away.
        drawings = list(curve_figures(replace(analysis, scores=chosen), width))
    if not drawings:
        raise BenchError(
            f"protocol {analysis.section.protocol}: expected two or more numeric levels to plot a curve; use "
            "'qamoe-bench figures --kind points'"
        )
    return drawings[0].figure
