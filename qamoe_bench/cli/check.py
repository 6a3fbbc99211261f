"""`qamoe-bench check`: compare stored results with a reference. Nothing here needs torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench.cli.characters import ERRORS, showable_table
from qamoe_bench.cli.console import name_ignored, plain_file
from qamoe_bench.cli.options import Cluster, DialectName, Metrics, Results, parse_seeds

if TYPE_CHECKING:
    from qamoe_bench.analysis.check.check import Verdict

Reference = Annotated[
    Path, typer.Option("--reference", metavar="DIR", help="Results folder to compare with, known to be good.")
]

# Limits of a regression. A metric must exceed its tolerance significantly, not only on average.
Tolerance = Annotated[
    float, typer.Option("--tolerance", min=0, help="Tolerated loss in a metric; .01 is one point of accuracy.")
]
Slowdown = Annotated[
    float,
    typer.Option("--slowdown", min=1, help="Tolerated slowdown, a factor, relative to the control late-fusion."),
]

# The part of the reference that must be present in the results. Everything else that is missing is no regression.
ExpectedSeeds = Annotated[
    str, typer.Option("--seeds", help="Comma-separated seeds of the reference to expect. Default: all.")
]
ExpectedProtocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Protocols of the reference to expect; * matches any text. Repeatable. Default: all.",
    ),
]
ExpectedModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Models of the reference to expect, in addition to late-fusion, mean and oracle; * matches any text. "
        "Repeatable. Default: all.",
    ),
]
JUnitFile = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Also write the result as JUnit XML to this file.")
]


def check_results(
    reference: Reference,
    results: Results = Path("results"),
    dialect: DialectName = "",
    metric: Metrics = None,
    tolerance: Tolerance = 0.01,
    slowdown: Slowdown = 2.0,
    seeds: ExpectedSeeds = "",
    protocol: ExpectedProtocols = None,
    model: ExpectedModels = None,
    junit: JUnitFile = None,
    cluster: Cluster = "auto",
) -> None:
    """Compare results with a reference; exit status 1 if anything is significantly worse, missing or changed."""
    from qamoe_bench.api.results import compare
    from qamoe_bench.store.store import Store

    for store in (reference, results):
        name_ignored(Store(store))
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
        cluster=cluster,
    )
    _print_verdict(verdict)
    if junit is not None:
        _write_junit(verdict, junit)
    if verdict.regressions:
        raise typer.Exit(1)


def _print_verdict(verdict: "Verdict") -> None:
    from qamoe_bench.report.escaping import escaped
    from qamoe_bench.report.formats.terminal import print_table, stdout
    from qamoe_bench.report.verdict import annotations, summary, verdict_table

    print(summary(verdict))  # first: it is what the exit status says
    table = verdict_table(verdict)
    if table is not None:  # None if nothing moved
        print_table(showable_table(table), stdout())
    for note in verdict.notes:
        print(f"note: {escaped(note)}")
    # GitHub sets this variable, and shows lines of this form next to the change that is tested.
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(annotations(verdict)))


def _write_junit(verdict: "Verdict", path: Path) -> None:
    from qamoe_bench.report.verdict import junit
    from qamoe_bench.store.atomic import write_atomic

    write_atomic(plain_file(path), junit(verdict).encode(errors=ERRORS))
