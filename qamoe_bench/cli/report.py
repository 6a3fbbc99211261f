"""`qamoe-bench report`: tables, records or a page from stored results. Nothing here needs torch."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qamoe_bench.cli.console import (
    cells_in,
    log,
    open_stores,
    print_chapters_as,
    print_document_or_write,
    print_or_write,
    showable_json,
)
from qamoe_bench.cli.options import Cluster, DialectName, Metrics, OnlyModels, OnlyProtocols, SeveralResults
from qamoe_bench.cli.paging import paged
from qamoe_bench.errors import BenchError, unknown_name

if TYPE_CHECKING:
    from qamoe_bench.analysis.clusters import ClusterRule
    from qamoe_bench.store.store import Store
    from qamoe_bench.store.stored_cell import StoredCell

# How the report looks, and where it goes.
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="terminal, markdown, latex, html (one self-contained page with charts), or json and csv for programs. "
        "Default: by the ending of --output, else terminal.",
    ),
]
OutputFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write to this file instead of standard output.")
]
Overview = Annotated[
    bool,
    typer.Option("--overview", help="Show one line per protocol and per model, in one metric."),
]
All = Annotated[
    bool, typer.Option("--all", help="Show every table, not only the summary. Other formats always have all.")
]
Pager = Annotated[
    bool, typer.Option("--pager", help="On a terminal, show page by page with $PAGER, or less. Leave it with q.")
]

# Additions to the stored results.
Against = Annotated[
    str,
    typer.Option("--against", metavar="NAME", help="`published`: show published numbers next to the measured ones."),
]
WithStability = Annotated[
    bool,
    typer.Option(
        "--stability", help="Add which comparisons change with the dialect, or without one draw, seed or level."
    ),
]
Texts = Annotated[
    Path | None,
    typer.Option(
        "--texts", metavar="FILE", help="With html: data file whose raw texts are shown next to single samples."
    ),
]


def report(
    results: SeveralResults = None,
    dialect: DialectName = "",
    metric: Metrics = None,
    format: FormatName = "",
    output: OutputFile = None,
    all: All = False,
    overview: Overview = False,
    pager: Pager = False,
    protocol: OnlyProtocols = None,
    model: OnlyModels = None,
    against: Against = "",
    texts: Texts = None,
    stability: WithStability = False,
    cluster: Cluster = "auto",
) -> None:
    """Print a summary of all stored results: which model is most robust, how sure that is, and what it costs.

    Metrics are computed from the stored predictions.
    """
    # Options are checked before the store is read, which may take seconds.
    if against not in ("", "published"):
        raise unknown_name("--against", against, ("published",))
    from qamoe_bench.analysis.clusters import cluster_rule
    from qamoe_bench.analysis.selection import select
    from qamoe_bench.report.formats.choice import PAGE, check_format, format_by_ending
    from qamoe_bench.store.store import manifests_of

    if format:
        check_format(format, of_tables=overview)
    format = format_by_ending(output, format)
    check_format(format, of_tables=overview)  # again, since the name of the file may decide it
    _check_together(format, output, all=all, overview=overview, pager=pager, stability=stability, texts=texts)
    rule = cluster_rule(cluster)
    stores = open_stores(results)
    cells = select(cells_in(stores), protocol or (), model or ())
    metrics = metric or ()
    with paged(pager):
        if overview:
            _print_overview(cells, dialect, metrics, format, output, rule)
        elif format == PAGE:
            _write_page(stores, dialect, metrics, output, cells, texts, rule)
        else:
            # Documents are complete; a terminal shows the answer first.
            print_report(
                manifests_of(stores), dialect, metrics, format, output, cells, rule,
                complete=all or format != "terminal", against_published=bool(against), with_stability=stability,
            )  # fmt: skip
    if format == "terminal" and not all:
        log_more(results)


def _check_together(
    format: str,
    output: Path | None,
    *,
    all: bool,
    overview: bool,
    pager: bool,
    stability: bool,
    texts: Path | None,
) -> None:
    """Refuse options that exclude each other."""
    from qamoe_bench.report.formats.choice import OF_CHAPTERS, PAGE

    if stability and (overview or format not in OF_CHAPTERS):
        given = "--overview" if overview else f"--format {format}"
        formats = ", ".join(OF_CHAPTERS)
        raise BenchError(f"--stability with {given}: expected tables of a report ({formats}); leave out {given}")
    if texts is not None and format != PAGE:
        raise BenchError(f"--texts with --format {format}: only the page shows single samples; add --format {PAGE}")
    if all and overview:
        raise BenchError("--all with --overview: expected all tables or one line per protocol; leave out one")
    if pager and (output is not None or format != "terminal"):
        given = f"--output {output}" if output is not None else f"--format {format}"
        raise BenchError(f"--pager with {given}: expected text for a terminal; leave out --pager")


def log_more(results: Sequence[Path] | None) -> None:
    """Say on standard error how to see the rest of a report."""
    places = "".join(f" --results {folder}" for folder in results or () if folder != Path("results"))
    log(f"more: qamoe-bench report{places} --all (all tables), --output page.html (charts)")


def print_report(
    manifests: Sequence[Mapping[str, Any]],
    dialect: str,
    metrics: Sequence[str],
    format: str,
    output: Path | None,
    cells: "Sequence[StoredCell]",
    rule: "ClusterRule | None" = None,
    *,
    complete: bool = False,
    against_published: bool = False,
    with_stability: bool = False,
) -> None:
    """Print or write the report of some cells, as tables or as records.

    Args:
        manifests: Manifests of the runs of the cells, which describe their protocols.
        dialect: Name of the metric dialect; empty for the default one of each task.
        metrics: Metrics to show; empty for the main metrics of the dialect.
        format: A format of tables or of records.
        output: A file to write to instead of standard output.
        cells: The cells to report.
        rule: How test samples are assigned to clusters; by their ids if None.
        complete: Whether to show all tables, and not only a summary.
        against_published: Whether to add published numbers.
        with_stability: Whether to add which comparisons depend on a choice; for tables only.

    Raises:
        BenchError: If the dialect or a metric does not exist, or the file cannot be written.
    """
    from qamoe_bench.analysis.clusters import BY_IDS
    from qamoe_bench.metrics.choice import chosen
    from qamoe_bench.report.formats.choice import OF_RECORDS
    from qamoe_bench.report.tables import analyses, chapters

    # An iterator: a large store has more analyses than fit into memory at once.
    sections = analyses(cells, chosen(dialect).dialect, metrics, rule or BY_IDS, audits=complete)
    if format in OF_RECORDS:
        text = OF_RECORDS[format](sections)
        print_or_write(showable_json(text) if format == "json" and output is None else text, output)
        return
    tables = chapters(
        sections, manifests,
        complete=complete, against_published=against_published, with_stability=with_stability,
    )  # fmt: skip
    print_chapters_as(tables, format, output)


def _print_overview(
    cells: "Sequence[StoredCell]",
    dialect: str,
    metrics: Sequence[str],
    format: str,
    output: Path | None,
    rule: "ClusterRule",
) -> None:
    from qamoe_bench.metrics.choice import chosen
    from qamoe_bench.report.overview import overviews

    if len(metrics) > 1:
        raise BenchError(f"--overview shows one metric, got --metric {', '.join(metrics)}; name one of them")
    print_chapters_as(overviews(cells, chosen(dialect, metrics), rule), format, output)


def _write_page(
    stores: "Sequence[Store]",
    dialect: str,
    metrics: Sequence[str],
    output: Path | None,
    cells: "Sequence[StoredCell]",
    texts: Path | None,
    rule: "ClusterRule",
) -> None:
    if output is None and sys.stdout.isatty():  # before minutes of work
        raise BenchError("--format html writes megabytes: expected a file or a pipe; add --output page.html")
    from qamoe_bench.api.sharing import page_of
    from qamoe_bench.store.store import manifests_of

    text = page_of(cells, manifests_of(stores), dialect, metrics, texts, rule)
    print_document_or_write(text, output)
