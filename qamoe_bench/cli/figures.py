"""`qamoe-bench figures`: figures for print from stored results. Nothing here needs torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from qamoe_bench.cli.console import cells_in, open_stores
from qamoe_bench.cli.options import Cluster, DialectName, Metrics, OnlyModels, OnlyProtocols, SeveralResults
from qamoe_bench.errors import BenchError

# Kinds of figures are those of `qamoe_bench.figures.gallery`, which is not imported here because it needs matplotlib.
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="NAME",
        help="curves, points, landscape, differences, quality, pareto, learning or value. Repeatable. Default: all.",
    ),
]
Costs = Annotated[
    Path | None,
    typer.Option(
        "--costs",
        metavar="FILE",
        help="Output of `cost --json`: the cost of a model is then its multiply-adds, not its parameters.",
    ),
]

# Every figure is drawn in every width and written as every type of file.
Widths = Annotated[
    list[str] | None,
    typer.Option("--width", metavar="NAME", help="one or two columns: 3.3 or 7 inches. Repeatable. Default: one."),
]
FileTypes = Annotated[
    list[str] | None, typer.Option("--type", metavar="NAME", help="png, pdf or svg. Repeatable. Default: png.")
]
OutputFolder = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for the files.")]


def draw_figures(
    results: SeveralResults = None,
    output: OutputFolder = Path("figures"),
    kind: Kinds = None,
    width: Widths = None,
    type: FileTypes = None,
    metric: Metrics = None,
    protocol: OnlyProtocols = None,
    model: OnlyModels = None,
    costs: Costs = None,
    dialect: DialectName = "",
    cluster: Cluster = "auto",
) -> None:
    """Draw figures of stored results and print their paths; equal results give identical files."""
    from qamoe_bench.analysis.clusters import cluster_rule
    from qamoe_bench.analysis.selection import select
    from qamoe_bench.figures.gallery import Choice, write_figures
    from qamoe_bench.metrics.choice import chosen
    from qamoe_bench.report.tables import analyses

    multiply_adds = None if costs is None else _read_multiply_adds(costs)
    choice = Choice(kind or (), width or ["one"], type or ["png"], multiply_adds)
    definitions = chosen(dialect).dialect
    rule = cluster_rule(cluster)
    stores = open_stores(results)
    cells = select(cells_in(stores), protocol or (), model or ())
    drawn = 0
    # Both are iterators: one analysis is drawn and released before the next is computed.
    for path in write_figures(analyses(cells, definitions, metric or (), rule), choice, output):
        print(path)  # as soon as each file exists, because a large store takes minutes
        drawn += 1
    if not drawn:
        kinds = f" of --kind {', '.join(kind)}" if kind else ""
        places = ", ".join(str(store.runs) for store in stores)
        raise BenchError(
            f"nothing to draw{kinds} in {places}: expected other kinds, protocols or models; relax the selection"
        )


def _read_multiply_adds(path: Path) -> Mapping[str, float]:
    """Multiply-adds per sample in billions (G), by model."""
    try:
        # From bytes, because shells of Windows redirect output in UTF-16 or with a byte-order mark.
        records = json.loads(path.read_bytes())
        return {record["model"]: float(record["gmacs"]) for record in records}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchError(f"--costs {path}: expected the output of 'qamoe-bench cost --json', got {error!r}") from error
