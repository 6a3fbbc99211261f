"""`qamoe-bench report` and `check`: what stored results say. Nothing here needs torch."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qamoe_bench.dialects import DIALECTS, find_dialect
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.store import Store, write_atomic

talk = Console(stderr=True)

Results = Annotated[Path, typer.Option("--results", help="Folder of the store; runs are kept in DIR/runs.")]
DialectName = Annotated[str, typer.Option("--dialect", help=f"Definitions of the metrics: {', '.join(DIALECTS)}.")]


def report(
    results: Results = Path("results"),
    dialect: DialectName = "mmsa",
    metric: Annotated[list[str], typer.Option("--metric", help="Which metrics to show. Repeatable.")] = [],  # noqa: B006
    format: Annotated[
        str, typer.Option("--format", help="terminal, markdown, latex, or json and csv for programs.")
    ] = "terminal",
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file instead of printing.")] = None,
    against: Annotated[
        str, typer.Option("--against", help="`published`: put published numbers beside the measured ones.")
    ] = "",
) -> None:
    """Print tables from everything that is stored; nothing is computed again but the metrics."""
    if against not in ("", "published"):
        raise unknown_name("--against", against, ("published",))
    print_report(Store(results), dialect, metric, format, output, None, against_published=bool(against))


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
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file too.")] = None,
) -> None:
    """Compare stored results with a reference: exit status 1 where something is surely worse, lost or changed."""
    from qamoe_bench.report import verdict as told
    from qamoe_bench.report.check import check as compare
    from qamoe_bench.report.findings import Limits
    from qamoe_bench.report.tables import shown_metrics
    from qamoe_bench.report.terminal import print_table, stdout

    named = find_dialect(dialect)
    expected = parse_seeds(seeds) if seeds else ()
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
    metrics: list[str],
    format: str,
    output: Path | None,
    keys: set[str] | None,
    *,
    against_published: bool = False,
) -> None:
    """Print the cells with these keys, or all."""
    from qamoe_bench.report.formats import OF_CHAPTERS, OF_RECORDS, check_format
    from qamoe_bench.report.tables import analyses, chapters

    check_format(format)
    cells = [c for c in store.cells() if keys is None or c.cell.key in keys]
    if not cells:
        raise BenchError(f"no finished cells in {store.runs}: expected a store; run 'qamoe-bench run' first")
    found = analyses(cells, find_dialect(dialect), metrics)
    if format in OF_RECORDS:
        _deliver(OF_RECORDS[format](found), output)
        return
    tables = chapters(found, store.manifests(), against_published=against_published)
    if format == "terminal" and output is None and sys.stdout.isatty():
        from qamoe_bench.report.terminal import print_chapters, stdout

        print_chapters(tables, stdout())
    else:
        _deliver(OF_CHAPTERS[format](tables), output)


def _deliver(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
    else:
        write_atomic(output, text.encode())
        talk.print(f"wrote {output}", highlight=False, soft_wrap=True)
