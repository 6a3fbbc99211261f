"""`qamoe-bench run`: train, sweep and store, and print the tables."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qamoe_bench import __version__
from qamoe_bench.cli.console import stderr
from qamoe_bench.cli.options import DialectName, Results, parse_seeds
from qamoe_bench.cli.report import print_report
from qamoe_bench.metrics.dialects import find_dialect
from qamoe_bench.store.store import Store

if TYPE_CHECKING:
    from qamoe_bench.run.executors.choice import Execution
    from qamoe_bench.run.plan import Plan
    from qamoe_bench.run.runner import RunSummary


def run(
    study: Annotated[
        Path | None, typer.Argument(help="TOML file of a study. Options that describe the runs replace its keys.")
    ] = None,
    protocol: Annotated[list[str], typer.Option("--protocol", help="Name, or path of a TOML file. Repeatable.")] = [],  # noqa: B006
    model: Annotated[
        list[str],
        typer.Option(
            "--model", help="Name or package.module:build, with :variant,field=value behind. Repeatable. Default: all."
        ),
    ] = [],  # noqa: B006
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="Safetensors file with trained weights of the one --model.")
    ] = "",
    data: Annotated[str, typer.Option("--data", help="`synthetic`, a data file or a folder. Default: synthetic.")] = "",
    seeds: Annotated[str, typer.Option("--seeds", help="Comma-separated. Default: 1111,1112,1113.")] = "",
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
        str,
        typer.Option("--preset", help="quick, paper or fine-tune. Default: quick, or fine-tune with --fine-tune."),
    ] = "",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda. Default: auto.")] = "",
    executor: Annotated[
        str, typer.Option("--executor", help="local (this process), processes or dask. Default: by what is to do.")
    ] = "",
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes. Default: one per core.")] = None,
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="Address of a Dask scheduler, or the .json file that it wrote.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done and what it would take; write nothing.")
    ] = False,
    results: Results = Path("results"),
    dialect: DialectName = "mmsa",
) -> None:
    """Train models, sweep them through protocols, store the predictions and print the tables."""
    find_dialect(dialect)
    options: dict[str, Any] = {
        "protocols": protocol, "models": model, "checkpoint": checkpoint, "data": data and [data],
        "seeds": seeds and parse_seeds(seeds), "regimes": regime, "fine_tune": fine_tune,
        "preset": preset, "device": device,
    }  # fmt: skip
    stderr.print(f"qamoe-bench {__version__}: reading data and checking the request ...", highlight=False)
    from qamoe_bench.run.executors.choice import Execution
    from qamoe_bench.run.study import ask, load_study, plan_all

    execution = Execution(executor, jobs, scheduler)
    given = {key: value for key, value in options.items() if value}
    asked = load_study(study, given) if study else ask("", given)
    plans, store = plan_all(asked, elsewhere=executor == "dask"), Store(results, keeps_index=not dry_run)
    _tell_uncovered(plans)
    if dry_run:
        _print_plan(plans, store, execution)
        return
    _tell(plans, _execute(plans, store, execution), store)
    keys = {cell.key for plan in plans for cell in plan.cells}
    print_report(store, dialect, [], "terminal", None, [c for c in store.cells() if c.cell.key in keys])


def _tell_uncovered(plans: "Sequence[Plan]") -> None:
    """Code of a model that keys of results cannot identify: after an edit there, old results would be reused."""
    models = {name: about["uncovered"] for plan in plans for name, about in plan.manifest["models"].items()}
    for name, uncovered in models.items():
        for phrase in uncovered:
            line = f"note: model {name}: {phrase}; after a change to that code, use another --results folder"
            stderr.print(line, highlight=False, markup=False, soft_wrap=True)


def _execute(plans: "Sequence[Plan]", store: Store, execution: "Execution") -> "RunSummary":
    from qamoe_bench.progress import showing
    from qamoe_bench.run.runner import run_all

    try:
        return run_all(plans, store, execution, showing(stderr))
    except KeyboardInterrupt:
        cells = [cell for plan in plans for cell in plan.cells]
        done = sum(store.find_cell(cell) is not None for cell in cells)
        stderr.print(f"stopped: {done} of {len(cells)} cells are stored; the same command goes on from there")
        sys.exit(130)


def _tell(plans: "Sequence[Plan]", summary: "RunSummary", store: Store) -> None:
    where = ", ".join(str(store.runs / plan.run_id) for plan in plans)
    if not summary.evaluated:
        line = f"nothing to do: all {summary.reused} cells are stored already; trained 0, evaluated 0 ({where})"
    else:
        line = (
            f"trained {summary.trained} models, evaluated {summary.evaluated} cells, reused {summary.reused}, in "
            f"{summary.seconds:.0f} s ({where})"
        )
    stderr.print(line, highlight=False, soft_wrap=True)


def _print_plan(plans: "Sequence[Plan]", store: Store, execution: "Execution") -> None:
    from qamoe_bench.report.formats.terminal import print_rows
    from qamoe_bench.run import dry_run as preview
    from qamoe_bench.run.forecast import forecast

    jobs = [job for plan in plans for job in plan.jobs]
    print_rows(preview.rows(jobs, store))
    found = forecast(jobs, store, store.cells())
    print("\n" + "\n".join(preview.sentences(sum(len(job.cells) for job in jobs), found, execution)))
