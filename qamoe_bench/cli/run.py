"""`qamoe-bench run`: train, sweep and store, and print the tables."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench import __version__
from qamoe_bench.cli.console import log, name_damaged, stderr
from qamoe_bench.cli.options import (
    AcceptUnknownTokens,
    ClassNames,
    DialectName,
    DropBadLabels,
    LabelRange,
    Results,
    TaskKind,
    parse_classes,
    parse_seeds,
    parse_train_sizes,
)
from qamoe_bench.cli.report import log_more, print_report
from qamoe_bench.data.embedded import DATA_CHOICES, EXPECTED_DATA
from qamoe_bench.errors import BenchError

if TYPE_CHECKING:
    from qamoe_bench.run.executors.choice import Execution
    from qamoe_bench.run.plan import Plan
    from qamoe_bench.run.request import LocatedRequest
    from qamoe_bench.run.runner import RunSummary
    from qamoe_bench.store.store import Store

Study = Annotated[
    Path | None, typer.Argument(help="TOML file of a study. Options that describe the runs replace its keys.")
]
Protocols = Annotated[
    list[str],
    typer.Option("--protocol", help="Name, or path of a TOML file. Repeatable. Needed, unless a study names some."),
]
Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        help="Name, group (@quick, @paper, @clean, @all, @limits), package.module:build, file.py:Class or mmsa:NAME, "
        "then optionally :variant,field=value. Repeatable. Default: @paper.",
    ),
]
Checkpoint = Annotated[
    str | None, typer.Option("--checkpoint", help="Safetensors file with trained weights of the one --model.")
]
Data = Annotated[str | None, typer.Option("--data", help=f"{DATA_CHOICES}. Default: synthetic.")]
Seeds = Annotated[str, typer.Option("--seeds", help="Comma-separated. Default: 1111,1112,1113.")]
Regimes = Annotated[
    list[str], typer.Option("--regime", help="clean, spectrum, sweep or matched. Repeatable. Default: spectrum.")
]
TrainSizes = Annotated[
    str | None,
    typer.Option(
        "--train-size",
        metavar="N,N,...",
        help="Numbers of training samples, for a learning curve: nested parts of the training split, or of embedded "
        "data any number. Validation and test split stay. Default: all.",
    ),
]
FineTune = Annotated[
    str | None,
    typer.Option(
        "--fine-tune",
        help="A language model, by folder or name, that reads the data's raw text and is trained with the rest.",
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option("--preset", help="quick, paper or fine-tune. Default: quick, or fine-tune with --fine-tune."),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda. Default: auto.")]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        help="local (this process), processes or dask. Default: processes where several have work or models are yours.",
    ),
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes. Default: one per core.")]
Scheduler = Annotated[
    str, typer.Option("--scheduler", help="Address of a Dask scheduler, or the .json file that it wrote.")
]
CellTimeout = Annotated[
    float | None,
    typer.Option(
        "--cell-timeout",
        metavar="SECONDS",
        min=0.0,
        help="Longest time of a cell, training included; 0 for none. Default: 6 hours for your own models, no limit "
        "for built-in ones.",
    ),
]
DiagnoseSelection = Annotated[
    bool,
    typer.Option(
        "--diagnose-selection",
        help="Also record the test metrics of every epoch, apart from the results, to report what choosing the epoch "
        "on the test split would add. Nothing else changes.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the cells to compute and the estimated time; write nothing.")
]


# An option that the user does not give is None or empty, so that it replaces no key of a study file.
def run(
    study: Study = None,
    protocol: Protocols = [],  # noqa: B006
    model: Models = [],  # noqa: B006
    checkpoint: Checkpoint = None,
    data: Data = None,
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    train_size: TrainSizes = None,
    seeds: Seeds = "",
    regime: Regimes = [],  # noqa: B006
    fine_tune: FineTune = None,
    accept_unknown_tokens: AcceptUnknownTokens = False,
    preset: PresetName = None,
    device: Device = None,
    executor: ExecutorName = "",
    jobs: Jobs = None,
    scheduler: Scheduler = "",
    cell_timeout: CellTimeout = None,
    diagnose_selection: DiagnoseSelection = False,
    dry_run: DryRun = False,
    results: Results = Path("results"),
    dialect: DialectName = "",
) -> None:
    """Train models, sweep them through protocols, store the predictions and print a summary."""
    from qamoe_bench.metrics.choice import chosen

    chosen(dialect)  # raises for an unknown one, before any work
    stderr.print(f"qamoe-bench {__version__}: reading data and checking the request ...", highlight=False)
    # These import torch, which takes seconds: the line above and errors of usage come first.
    from qamoe_bench.run.executors.choice import Execution
    from qamoe_bench.run.grid import Grid
    from qamoe_bench.run.study import load_study
    from qamoe_bench.store.store import Store

    execution = Execution(executor, jobs, scheduler)
    options = Grid(
        protocols=tuple(protocol),
        models=tuple(model),
        data=named_data(data),
        seeds=parse_seeds(seeds) if seeds else (),
        regimes=tuple(regime),
        preset=preset,
        device=device,
        checkpoint=checkpoint,
        fine_tune=fine_tune,
        label_range=label_range or (),
        drop_bad_labels=drop_bad_labels or None,
        accept_unknown_tokens=accept_unknown_tokens or None,
        task=task or None,
        classes=parse_classes(classes),
        train_sizes=parse_train_sizes(train_size),
    )
    requests = load_study(study, options) if study else options.expand()
    plans = _planned(requests, execution.remote, cell_timeout, diagnose_selection)
    store = Store(results, keeps_index=not dry_run)
    _print_notes(plans)
    if dry_run:
        _print_dry_run(plans, store, execution)
        return
    summary = _execute(plans, store, execution)
    _print_summary(plans, summary, store)
    _print_tables(plans, store, dialect)


def _planned(
    requests: "Sequence[LocatedRequest]", remote: bool, cell_timeout: float | None, diagnose: bool
) -> "list[Plan]":
    """The plans of all requests, with the diagnosis of the selection if it is asked for."""
    from qamoe_bench.run.plan import with_diagnosis
    from qamoe_bench.run.planner import plan_all

    if diagnose:
        _check_trained(requests)
    plans = plan_all(requests, remote=remote, cell_timeout=cell_timeout)
    return [with_diagnosis(plan) for plan in plans] if diagnose else plans


def named_data(data: str | None) -> tuple[str, ...]:
    """The value of `--data` as a grid takes it; none if it is not given.

    Raises:
        BenchError: For an empty text.
    """
    if data is None:
        return ()
    if not data.strip():  # as of an empty variable of the shell
        raise BenchError(f"--data: expected {EXPECTED_DATA}, got an empty text; name one")
    return (data,)


def _check_trained(requests: "Sequence[LocatedRequest]") -> None:
    for located in requests:
        if located.request.checkpoint:
            raise BenchError(
                "--diagnose-selection: expected a model that is trained here, got the weights "
                f"{located.request.checkpoint!r}; leave one of the two out"
            )


def _print_notes(plans: "Sequence[Plan]") -> None:
    """Print what was decided about data, models and protocols, because it bears on every number that follows."""
    for plan in plans:
        data = plan.manifest["data"]
        for note in data["notes"]:
            log(f"note: data {data['name']}: {note}")
        for note in plan.notes:
            log(f"note: {note}")
    # Once, although every data set has a plan of its own.
    calls = {
        f"note: model {name} {about['call']}"
        for plan in plans
        for name, about in plan.manifest["models"].items()
        if "call" in about
    }
    for line in sorted(calls):
        log(line)
    for plan in plans:
        for name, about in plan.manifest["protocols"].items():
            for sentence in about.get("recorded", ()):
                log(f"note: protocol {name} on {plan.manifest['data']['name']}: {sentence}")
    _warn_uncovered(plans)


def _warn_uncovered(plans: "Sequence[Plan]") -> None:
    """Name code of models that result keys cannot cover: after a change to it, old results would be reused."""
    uncovered: dict[str, list[str]] = {}
    for plan in plans:
        for name, about in plan.manifest["models"].items():
            uncovered[name] = about["uncovered"]  # the same in every plan
            if changed := about.get("changed"):
                log(f"note: model {name}: its import changed {', '.join(changed)}; restored")
    for name, phrases in uncovered.items():
        for phrase in phrases:
            line = f"note: model {name}: {phrase}; after a change to that code, use another --results folder"
            stderr.print(line, highlight=False, markup=False, soft_wrap=True)


def _execute(plans: "Sequence[Plan]", store: "Store", execution: "Execution") -> "RunSummary":
    from qamoe_bench.run.progress import progress_display
    from qamoe_bench.run.runner import run_plans

    try:
        return run_plans(plans, store, execution, progress_display(stderr), log)
    except KeyboardInterrupt:
        cells = [cell for plan in plans for cell in plan.cells]
        stored = sum(map(bool, map(store.listed().find_cell, cells)))
        log(f"stopped: {stored} of {len(cells)} cells are stored; the same command continues from there")
        sys.exit(130)  # 128 + SIGINT, as shells report it


def _print_summary(plans: "Sequence[Plan]", summary: "RunSummary", store: "Store") -> None:
    folders = ", ".join(str(store.runs / plan.run_id) for plan in plans)
    curves = f"recorded {summary.curves} curves of test metrics, " if summary.curves else ""
    if not summary.evaluated and not summary.curves:
        line = f"nothing to do: all {summary.reused} cells are stored already; trained 0, evaluated 0 ({folders})"
    else:
        line = (
            f"trained {summary.trained} models, evaluated {summary.evaluated} cells, reused {summary.reused}, "
            f"{curves}in {summary.seconds:.0f} s ({folders})"
        )
    log(line)


def _print_tables(plans: "Sequence[Plan]", store: "Store", dialect: str) -> None:
    """Print the report of the cells of these plans, whichever run stored them."""
    # By name: a folder on a network may not list yet what a worker has written, nor may all of it be readable.
    distinct = {cell.key: cell for plan in plans for cell in plan.cells}
    cells = [stored for stored in map(store.listed().read_cell, distinct.values()) if stored is not None]
    manifests = store.manifests(plan.run_id for plan in plans)
    print_report(manifests, dialect, [], "terminal", None, sorted(cells, key=lambda stored: stored.path))
    log_more([store.root])


def _print_dry_run(plans: "Sequence[Plan]", store: "Store", execution: "Execution") -> None:
    from qamoe_bench.report.formats.terminal import print_rows
    from qamoe_bench.run.dry_run import forecast_lines, plan_table
    from qamoe_bench.run.forecast import forecast

    jobs = [job for plan in plans for job in plan.jobs]
    store = store.listed()
    print_rows(plan_table(jobs, store))
    cells = sum(len(job.cells) for job in jobs)
    contents = store.contents()
    name_damaged(contents.damaged)
    lines = forecast_lines(cells, forecast(jobs, store, contents.cells), execution)
    print("\n" + "\n".join(lines))
