"""The command line. Each command parses, makes one call and prints; heavy imports wait until they are needed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench import __version__, cli_cost, cli_data, cli_figures, cli_lists, cli_protocol, cli_results
from qamoe_bench.cli_results import DialectName, Results, parse_seeds, print_report, talk
from qamoe_bench.dialects import find_dialect
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.registry import model_refs
from qamoe_bench.store import Store

if TYPE_CHECKING:
    from qamoe_bench.plan import Plan
    from qamoe_bench.runner import Summary

app = typer.Typer(
    help="How robust is this multimodal sentiment model, compared with those, and can I trust the comparison?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


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
    data: Annotated[str, typer.Option("--data", help="`synthetic`, a data file or a folder.")] = "synthetic",
    seeds: Annotated[str, typer.Option("--seeds", help="Comma-separated.")] = "1111,1112,1113",
    regime: Annotated[
        list[str], typer.Option("--regime", help="clean, spectrum or matched. Repeatable. Default: spectrum.")
    ] = [],  # noqa: B006
    fine_tune: Annotated[
        str,
        typer.Option(
            "--fine-tune",
            help="A language model, by folder or name, that reads the data's raw text and is trained with the rest.",
        ),
    ] = "",
    preset: Annotated[
        str, typer.Option("--preset", help="quick, paper or fine-tune, the default with --fine-tune.")
    ] = "",
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
    preset = preset or ("fine-tune" if fine_tune else "quick")
    planned = plan(
        Request(tuple(protocol), models, data, parse_seeds(seeds), regimes, preset, device, checkpoint, fine_tune)
    )
    store = Store(results)
    _tell(planned, _execute(planned, store, jobs), store)
    keys = {c.key for c in planned.cells}
    print_report(store, dialect, [], "terminal", None, [c for c in store.cells() if c.cell.key in keys])


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


app.command()(cli_results.report)
app.command()(cli_results.check)
app.command()(cli_figures.figures)
app.command()(cli_cost.cost)
app.command(name="ls")(cli_lists.list_names)
app.add_typer(cli_protocol.app, name="protocol")
app.add_typer(cli_data.app, name="data")
