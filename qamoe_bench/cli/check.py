"""`qamoe-bench check`: compare stored results with a reference. Nothing here needs torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench.cli.options import DialectName, Metrics, Results, parse_seeds
from qamoe_bench.store.atomic import write_atomic

if TYPE_CHECKING:
    from qamoe_bench.analysis.check.check import Verdict


def check_results(
    reference: Annotated[
        Path, typer.Option("--reference", metavar="DIR", help="Results folder to compare with, known to be good.")
    ],
    results: Results = Path("results"),
    dialect: DialectName = "mmsa",
    metric: Metrics = None,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", min=0, help="Loss in a metric that is tolerated; .01 is one point of accuracy."),
    ] = 0.01,
    slowdown: Annotated[
        float,
        typer.Option("--slowdown", min=1, help="Slowdown relative to the control model that is tolerated, a factor."),
    ] = 2.0,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Comma-separated seeds of the reference to expect. Default: all.")
    ] = "",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Protocols of the reference to expect; * matches any text. Repeatable. Default: all.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Models of the reference to expect, in addition to late-fusion, mean and oracle; * matches any text. "
            "Repeatable. Default: all.",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the result as JUnit XML to this file.")
    ] = None,
) -> None:
    """Compare results with a reference; exit status 1 if anything is significantly worse, missing or changed."""
    from qamoe_bench.api.results import compare

    verdict = compare(
        reference,
        results,
        dialect,
        metric or (),
        tolerance=tolerance,
        slowdown=slowdown,
        seeds=parse_seeds(seeds) if seeds else (),
        protocols=protocol or (),
        models=model or (),
    )
    _print_verdict(verdict, junit)
    if verdict.regressions:
        raise typer.Exit(1)


def _print_verdict(verdict: "Verdict", junit_file: Path | None) -> None:
    from qamoe_bench.report.formats.terminal import print_table, stdout
    from qamoe_bench.report.verdict import annotations, junit, summary, verdict_table

    table = verdict_table(verdict)
    if table is not None:
        print_table(table, stdout())
    print(summary(verdict))
    for note in verdict.notes:
        print(f"note: {note}")
    if junit_file is not None:
        write_atomic(junit_file, junit(verdict).encode())
    if os.environ.get("GITHUB_ACTIONS") == "true":  # GitHub shows lines in this form next to the change
        print("\n".join(annotations(verdict)))
