"""`qamoe-bench report` and `check`: what stored results say. Nothing here needs torch."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.metrics.dialects import DIALECTS, find_dialect
from qamoe_bench.store.store import Store, StoredCell, write_atomic

if TYPE_CHECKING:
    from qamoe_bench.report.table import Chapter

talk = Console(stderr=True)

Results = Annotated[Path, typer.Option("--results", help="Folder of the store; runs are kept in DIR/runs.")]
DialectName = Annotated[str, typer.Option("--dialect", help=f"Definitions of the metrics: {', '.join(DIALECTS)}.")]

OnlyProtocols = Annotated[list[str], typer.Option("--protocol", help="Only these; * stands for anything. Repeatable.")]
OnlyModels = Annotated[
    list[str],
    typer.Option("--model", help="Only these, late-fusion, mean and oracle; * stands for anything. Repeatable."),
]


def report(
    results: Results = Path("results"),
    dialect: DialectName = "mmsa",
    metric: Annotated[list[str], typer.Option("--metric", help="Which metrics to show. Repeatable.")] = [],  # noqa: B006
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="terminal, markdown, latex, html (one page with charts that needs nothing else), or json and csv for "
            "programs.",
        ),
    ] = "terminal",
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file instead of printing.")] = None,
    against: Annotated[
        str, typer.Option("--against", help="`published`: put published numbers beside the measured ones.")
    ] = "",
    protocol: OnlyProtocols = [],  # noqa: B006
    model: OnlyModels = [],  # noqa: B006
    overview: Annotated[
        bool, typer.Option("--overview", help="One page: a line per protocol and per model, in one metric (mae).")
    ] = False,
    texts: Annotated[
        Path | None,
        typer.Option("--texts", help="With html: the data file whose raw texts are shown beside single samples."),
    ] = None,
) -> None:
    """Print tables from everything that is stored; nothing is computed again but the metrics."""
    if against not in ("", "published"):
        raise unknown_name("--against", against, ("published",))
    from qamoe_bench.analysis.selection import select
    from qamoe_bench.report.formats.choice import PAGE, check_format

    check_format(format, of_tables=overview)
    store = Store(results)
    cells = select(finished(store), protocol, model)
    if texts is not None and format != PAGE:
        raise BenchError(f"--texts with --format {format}: only the page shows single samples; add --format {PAGE}")
    if overview:
        _print_overview(cells, dialect, metric, format, output)
    elif format == PAGE:
        _write_page(store, dialect, metric, output, cells, texts)
    else:
        print_report(store, dialect, metric, format, output, cells, against_published=bool(against))


def check(
    reference: Annotated[Path, typer.Option("--reference", help="Store to compare with.")],
    results: Results = Path("results"),
    dialect: DialectName = "mmsa",
    metric: Annotated[list[str], typer.Option("--metric", help="Which metrics to judge. Repeatable.")] = [],  # noqa: B006
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="How much worse is no regression: .01 is a point of accuracy.")
    ] = 0.01,
    slowdown: Annotated[
        float, typer.Option("--slowdown", min=1, help="How many times the control's time a model may gain.")
    ] = 2.0,
    seeds: Annotated[str, typer.Option("--seeds", help="Which seeds of the reference to expect. Default: all.")] = "",
    protocol: Annotated[
        list[str],
        typer.Option("--protocol", help="Which protocols of it to expect; * is anything. Repeatable."),
    ] = [],  # noqa: B006
    model: Annotated[
        list[str],
        typer.Option(
            "--model", help="Which models of it to expect beside late-fusion, mean and oracle; * too. Repeatable."
        ),
    ] = [],  # noqa: B006
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file too.")] = None,
) -> None:
    """Compare stored results with a reference: exit status 1 where something is surely worse, lost or changed."""
    from qamoe_bench.analysis.check.check import Expected
    from qamoe_bench.analysis.check.check import compare_stores as compare
    from qamoe_bench.analysis.check.findings import Limits
    from qamoe_bench.report import verdict as told
    from qamoe_bench.report.formats.terminal import print_table, stdout
    from qamoe_bench.report.tables import shown_metrics

    named = find_dialect(dialect)
    expected = Expected(parse_seeds(seeds) if seeds else (), protocol, model)
    limits = Limits(tolerance, slowdown)
    found = compare(Store(reference), Store(results), named, shown_metrics(named, metric), limits, expected)
    if (table := told.verdict_table(found)) is not None:
        print_table(table, stdout())
    print("\n".join([told.summary(found), *(f"note: {note}" for note in found.notes)]))
    if junit is not None:
        write_atomic(junit, told.junit(found).encode())
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(told.annotations(found)))
    if found.regressions:
        raise typer.Exit(1)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as options give them."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise BenchError(f"--seeds {text!r}: expected whole numbers with commas between, as in 1111,1112") from error


def print_report(
    store: Store,
    dialect: str,
    metrics: Sequence[str],
    format: str,
    output: Path | None,
    cells: Sequence[StoredCell],
    *,
    against_published: bool = False,
) -> None:
    """Print all that is known of these cells of a store."""
    from qamoe_bench.report.formats.choice import OF_RECORDS
    from qamoe_bench.report.tables import analyses, chapters

    found = analyses(cells, find_dialect(dialect), metrics)
    if format in OF_RECORDS:
        _deliver(OF_RECORDS[format](found), output)
    else:
        _print_chapters(chapters(found, store.manifests(), against_published=against_published), format, output)


def _print_overview(
    cells: Sequence[StoredCell], dialect: str, metrics: Sequence[str], format: str, output: Path | None
) -> None:
    from qamoe_bench.report.overview import overview
    from qamoe_bench.report.tables import shown_metrics

    if len(metrics) > 1:
        raise BenchError(f"--overview shows one metric, got --metric {', '.join(metrics)}; name one of them")
    named = find_dialect(dialect)
    (metric,) = shown_metrics(named, metrics or ("mae",))
    _print_chapters([overview(cells, named, metric)], format, output)


def finished(store: Store) -> list[StoredCell]:
    """Its cells; none is the user's mistake."""
    if not (cells := store.cells()):
        raise BenchError(f"no finished cells in {store.runs}: expected a store; run 'qamoe-bench run' first")
    return cells


def _print_chapters(found: "Sequence[Chapter]", format: str, output: Path | None) -> None:
    from qamoe_bench.report.formats.choice import OF_CHAPTERS

    if format == "terminal" and output is None and sys.stdout.isatty():
        from qamoe_bench.report.formats.terminal import print_chapters, stdout

        print_chapters(found, stdout())
    else:
        _deliver(OF_CHAPTERS[format](found), output)


def _write_page(
    store: Store,
    dialect: str,
    metrics: Sequence[str],
    output: Path | None,
    cells: Sequence[StoredCell],
    texts: Path | None,
) -> None:
    if output is None and sys.stdout.isatty():
        raise BenchError("--format html writes megabytes: expected a file or a pipe; add --output page.html")
    try:
        from qamoe_bench.page.page import page
    except ModuleNotFoundError as error:
        raise BenchError(
            f"--format html needs {error.name}, which is not installed; run: pip install 'qamoe-bench[page]'"
        ) from error
    _deliver(page(cells, store.manifests(), find_dialect(dialect), metrics, texts), output)


def _deliver(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
    else:
        write_atomic(output, text.encode())
        talk.print(f"wrote {output}", highlight=False, soft_wrap=True)
