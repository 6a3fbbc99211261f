"""`qamoe-bench figures`: stored results as figures for print. Nothing here needs torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench.cli.report import DialectName, OnlyModels, OnlyProtocols, Results, finished
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import find_dialect
from qamoe_bench.store.store import Store


def figures(
    results: Results = Path("results"),
    output: Annotated[Path, typer.Option("--output", help="Folder for the files.")] = Path("figures"),
    kind: Annotated[
        list[str],
        typer.Option(
            "--kind", help="curves, points, landscape, differences, quality or pareto. Repeatable. Default: all."
        ),
    ] = [],  # noqa: B006
    width: Annotated[
        list[str], typer.Option("--width", help="one or two columns: 3.3 or 7 inches. Repeatable. Default: one.")
    ] = [],  # noqa: B006
    type: Annotated[list[str], typer.Option("--type", help="png, pdf or svg. Repeatable. Default: png.")] = [],  # noqa: B006
    metric: Annotated[list[str], typer.Option("--metric", help="Which metrics to draw. Repeatable.")] = [],  # noqa: B006
    protocol: OnlyProtocols = [],  # noqa: B006
    model: OnlyModels = [],  # noqa: B006
    costs: Annotated[
        Path | None,
        typer.Option("--costs", help="What `cost --json` printed: multiply-adds, not parameters, are the cost then."),
    ] = None,
    dialect: DialectName = "mmsa",
) -> None:
    """Draw what is stored, and print the paths; the same results give the same bytes."""
    from qamoe_bench.analysis.selection import select
    from qamoe_bench.figures.gallery import Choice, write_figures
    from qamoe_bench.report.tables import analyses

    choice = Choice(kind, width or ["one"], type or ["png"], None if costs is None else _multiply_adds(costs))
    named, store = find_dialect(dialect), Store(results)
    cells = select(finished(store), protocol, model)
    drawn = 0
    for path in write_figures(analyses(cells, named, metric), choice, output):
        print(path)
        drawn += 1
    if not drawn:
        asked = f" of --kind {', '.join(kind)}" if kind else ""
        raise BenchError(
            f"nothing to draw{asked} in {store.runs}: expected other kinds, protocols or models; ask for less"
        )


def _multiply_adds(path: Path) -> Mapping[str, float]:
    """By model, in G per sample."""
    try:
        return {record["model"]: float(record["gmacs"]) for record in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchError(f"--costs {path}: expected what 'qamoe-bench cost --json' prints, got {error!r}") from error
