"""The command line. Each command parses, makes one call and prints; heavy imports wait until they are needed."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qamoe_bench import __version__, cli_cost, cli_protocol
from qamoe_bench.dialects import DIALECTS, find_dialect
from qamoe_bench.errors import BenchError, RunFailed, unknown_name
from qamoe_bench.metrics import METRICS
from qamoe_bench.protocol_file import load_protocol, protocol_names
from qamoe_bench.registry import model_refs
from qamoe_bench.store import Store, write_atomic

if TYPE_CHECKING:
    from qamoe_bench.plan import Plan
    from qamoe_bench.runner import Summary

app = typer.Typer(
    help="How robust is this multimodal sentiment model, compared with those, and can I trust the comparison?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(cli_protocol.app, name="protocol")
app.command()(cli_cost.cost)
talk = Console(stderr=True)

Results = Annotated[Path, typer.Option("--results", help="Folder of the store; runs are kept in DIR/runs.")]
DialectName = Annotated[str, typer.Option("--dialect", help=f"Definitions of the metrics: {', '.join(DIALECTS)}.")]


def main() -> None:
    """Run a command; a user's mistake is one line and exit status 2, a failed run one line and 1."""
    sys.path.insert(0, "")  # `--model package.module:build` may lie in the folder that one stands in
    try:
        app()
    except BenchError as error:
        talk.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except RunFailed as error:
        talk.print(f"failed: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def run(
    protocol: Annotated[list[str], typer.Option("--protocol", help="Name, or path of a TOML file. Repeatable.")],
    model: Annotated[
        list[str],
        typer.Option(
            "--model", help="Name or package.module:build, with :variant,field=value behind. Repeatable. Default: all."
        ),
    ] = [],  # noqa: B006
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="Safetensors file with trained weights of the one --model.")
    ] = "",
    data: Annotated[str, typer.Option("--data", help="`synthetic` or a data file.")] = "synthetic",
    seeds: Annotated[str, typer.Option("--seeds", help="Comma-separated.")] = "1111,1112,1113",
    regime: Annotated[
        list[str], typer.Option("--regime", help="clean, spectrum or matched. Repeatable. Default: spectrum.")
    ] = [],  # noqa: B006
    preset: Annotated[str, typer.Option("--preset", help="quick or paper.")] = "quick",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes. Default: one per core.")] = None,
    results: Results = Path("results"),
    dialect: DialectName = "mmsa",
) -> None:
    """Train models, sweep them through protocols, store the predictions and print the tables."""
    find_dialect(dialect)
    talk.print(f"qamoe-bench {__version__}: reading data and checking the request ...", highlight=False)
    from qamoe_bench.plan import Request, plan

    models = tuple(model) or tuple(model_refs())
    if checkpoint and regime:
        raise BenchError("--checkpoint with --regime: weights that you bring are not trained here; leave one out")
    regimes = tuple(regime) or ("spectrum",)
    planned = plan(Request(tuple(protocol), models, data, _seeds(seeds), regimes, preset, device, checkpoint))
    store = Store(results)
    _tell(planned, _execute(planned, store, jobs), store)
    _print_report(store, dialect, [], "terminal", None, {c.key for c in planned.cells})


@app.command()
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
    _print_report(Store(results), dialect, metric, format, output, None, against_published=bool(against))


@app.command()
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
    from qamoe_bench.report.check import Limits
    from qamoe_bench.report.check import check as compare
    from qamoe_bench.report.tables import shown_metrics
    from qamoe_bench.report.terminal import print_table, stdout

    named = find_dialect(dialect)
    expected = _seeds(seeds) if seeds else ()
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


@app.command(name="ls")
def list_names(
    what: Annotated[str, typer.Argument(help="models, protocols, datasets, metrics or runs")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects with `name`.")] = False,
    results: Results = Path("results"),
) -> None:
    """List what there is, by name."""
    lists: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "models": _models, "protocols": _protocols, "datasets": _datasets, "metrics": _metrics,
        "runs": lambda: _runs(Store(results)),
    }  # fmt: skip
    if what not in lists:
        raise unknown_name("list", what, lists)
    rows = lists[what]()
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        _print_rows(rows)
    else:
        talk.print(f"no {what} yet", highlight=False)


def _models() -> list[dict[str, Any]]:
    return [
        {"name": name, "summary": ref.summary(), "variants": ", ".join(ref.variants()), "builder": ref.target}
        for name, ref in model_refs().items()
    ]


def _protocols() -> list[dict[str, Any]]:
    found = [load_protocol(name) for name in protocol_names()]
    return [{"name": p.name, "title": p.title, "conditions": len(p.conditions), "digest": p.digest[:12]} for p in found]


def _datasets() -> list[dict[str, Any]]:
    return [{"name": "synthetic", "summary": "embedded, of known law: 1284/229/686 samples, with an oracle"}]


def _metrics() -> list[dict[str, Any]]:
    return [
        {"name": m.name, "better": m.better, "title": m.title,
         "dialects": ", ".join(d.name for d in DIALECTS.values() if m.name in d.definitions)}
        for m in METRICS.values()
    ]  # fmt: skip


def _runs(store: Store) -> list[dict[str, Any]]:
    done = {c.cell.key for c in store.cells()}
    return [
        {"name": run["run"], "data": run["data"]["name"], "protocols": ", ".join(run["protocols"]),
         "cells": f"{len(done.intersection(run['cells']))}/{len(run['cells'])}"}
        for run in store.manifests()
    ]  # fmt: skip


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from qamoe_bench.report.terminal import stdout

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, no_wrap=name == "name")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    stdout().print(table, markup=False, highlight=False)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise BenchError(f"--seeds {text!r}: expected whole numbers with commas between, as in 1111,1112") from error


def _execute(planned: "Plan", store: Store, jobs: int | None) -> "Summary":
    from qamoe_bench.progress import showing
    from qamoe_bench.runner import run as run_plan

    try:
        return run_plan(planned, store, jobs, showing(talk))
    except KeyboardInterrupt:
        done = sum(store.find_cell(cell) is not None for cell in planned.cells)
        talk.print(f"stopped: {done} of {len(planned.cells)} cells are stored; the same command goes on from there")
        sys.exit(130)


def _tell(planned: "Plan", summary: "Summary", store: Store) -> None:
    where = store.runs / planned.run_id
    if not summary.evaluated:
        line = f"nothing to do: all {summary.reused} cells are stored already; trained 0, evaluated 0 ({where})"
    else:
        line = (
            f"trained {summary.trained} models, evaluated {summary.evaluated} cells, reused {summary.reused}, in "
            f"{summary.seconds:.0f} s ({where})"
        )
    talk.print(line, highlight=False, soft_wrap=True)


def _print_report(
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
    from qamoe_bench.report.terminal import print_chapters, stdout

    check_format(format)
    cells = [c for c in store.cells() if keys is None or c.cell.key in keys]
    if not cells:
        raise BenchError(f"no finished cells in {store.runs}: expected a store; run 'qamoe-bench run' first")
    found = analyses(cells, find_dialect(dialect), metrics)
    if format in OF_RECORDS:
        _deliver(OF_RECORDS[format](found), output)
        return
    tables = chapters(found, store.manifests(), against_published=against_published)
    if format == "terminal" and output is None and stdout().is_terminal:
        print_chapters(tables, stdout())
    else:
        _deliver(OF_CHAPTERS[format](tables), output)


def _deliver(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
    else:
        write_atomic(output, text.encode())
        talk.print(f"wrote {output}", highlight=False, soft_wrap=True)
