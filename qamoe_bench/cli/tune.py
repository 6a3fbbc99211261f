"""`qamoe-bench tune`: settings of models, chosen by the validation error with the same budget for every model."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qamoe_bench.cli.console import log, plain_file, print_chapters_as, stderr
from qamoe_bench.cli.options import (
    AcceptUnknownTokens,
    ClassNames,
    DropBadLabels,
    LabelRange,
    Results,
    TaskKind,
    parse_classes,
    parse_seeds,
    parse_train_sizes,
)
from qamoe_bench.cli.run import (
    CellTimeout,
    Data,
    Device,
    FineTune,
    Jobs,
    Models,
    PresetName,
    Seeds,
    Study,
    TrainSizes,
    named_data,
)
from qamoe_bench.errors import RunFailed
from qamoe_bench.report.table import Chapter, Table, counted

if TYPE_CHECKING:
    from qamoe_bench.run.executors.choice import Execution
    from qamoe_bench.run.request import LocatedRequest
    from qamoe_bench.store.tuning import TunedModel
    from qamoe_bench.tuning.tuner import TuningOutcome, TuningPlan

PROTOCOLS = ("random-missing", "quality-degradation")
"""Protocols of the written study, if none is named; the search needs none."""

Protocols = Annotated[
    list[str],
    typer.Option(
        "--protocol",
        help=f"Of the written study: name, or path of a TOML file. Repeatable. Default: {' and '.join(PROTOCOLS)}.",
    ),
]
Regimes = Annotated[list[str], typer.Option("--regime", help="clean or spectrum. Repeatable. Default: spectrum.")]
TrialCount = Annotated[
    int, typer.Option("--trials", min=1, help="Trainings per model and draw; the first has the default settings.")
]
DrawCount = Annotated[
    int,
    typer.Option(
        "--draws",
        min=1,
        help="Repetitions of each search with other seeds, and with fresh samples of embedded data. The best settings "
        "of each are compared on all.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE.toml", help="Where to write the study file. Default: tuning/tuned.toml in --results."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be searched; train and write nothing.")]


# As in `run`, an option that the user does not give is None or empty, so that it replaces no key of a study file.
def tune_models(
    study: Study = None,
    model: Models = [],  # noqa: B006
    data: Data = None,
    trials: TrialCount = 30,
    draws: DrawCount = 3,
    label_range: LabelRange = None,
    drop_bad_labels: DropBadLabels = False,
    task: TaskKind = "",
    classes: ClassNames = "",
    train_size: TrainSizes = None,
    regime: Regimes = [],  # noqa: B006
    fine_tune: FineTune = None,
    accept_unknown_tokens: AcceptUnknownTokens = False,
    preset: PresetName = None,
    protocol: Protocols = [],  # noqa: B006
    seeds: Seeds = "",
    device: Device = None,
    jobs: Jobs = None,
    cell_timeout: CellTimeout = None,
    dry_run: DryRun = False,
    output: Output = None,
    results: Results = Path("results"),
) -> None:
    """Choose settings of models by their validation error, and write a study that tests them beside the defaults."""
    stderr.print("qamoe-bench tune: reading data and checking the request ...", highlight=False)
    # These import torch, which takes seconds: the line above and errors of usage come first.
    from qamoe_bench.run.executors.choice import Execution
    from qamoe_bench.run.grid import Grid
    from qamoe_bench.run.study import load_study
    from qamoe_bench.tuning.tuner import tuning_plans

    target = plain_file(output or results / "tuning" / "tuned.toml")
    options = Grid(
        protocols=tuple(protocol) or (() if study else PROTOCOLS),
        models=tuple(model),
        data=named_data(data),
        seeds=parse_seeds(seeds) if seeds else (),
        regimes=tuple(regime),
        preset=preset,
        device=device,
        fine_tune=fine_tune,
        label_range=label_range or (),
        drop_bad_labels=drop_bad_labels or None,
        accept_unknown_tokens=accept_unknown_tokens or None,
        task=task or None,
        classes=parse_classes(classes),
        train_sizes=parse_train_sizes(train_size),
    )
    requests = load_study(study, options) if study else options.expand()
    _check_seeds(requests, draws)
    plans = tuning_plans(requests, results, trials, draws, cell_timeout)
    if dry_run:
        print_chapters_as([_dry_run_chapter(plans, trials, draws)], "terminal", None)
        return
    outcome = _run(plans, Execution(jobs=jobs))
    _write(outcome, target)
    if outcome.failures:
        raise RunFailed(f"{'; '.join(outcome.failures)}; the others are tuned, and the same command tries these again")


def _check_seeds(requests: "Sequence[LocatedRequest]", draws: int) -> None:
    """Name seeds of the evaluation that trials are trained with as well."""
    shared = sorted({seed for located in requests for seed in located.request.seeds if 1 <= seed <= draws})
    if shared:
        names = ", ".join(map(str, shared))
        log(f"note: seeds {names} of the evaluation are those of draws; settings may suit these trainings by chance")


def _run(plans: "Sequence[TuningPlan]", execution: "Execution") -> "TuningOutcome":
    from qamoe_bench.run.progress import progress_display
    from qamoe_bench.tuning.tuner import run_tuning

    try:
        return run_tuning(plans, execution, progress_display(stderr, "epochs"))
    except KeyboardInterrupt:
        total = sum(search.trials for plan in plans for search in plan.searches)
        stored = total - sum(plan.pending for plan in plans)
        log(f"stopped: {stored} of {total} trials are stored; the same command continues from there")
        sys.exit(130)  # 128 + SIGINT, as shells report it


def _write(outcome: "TuningOutcome", target: Path) -> None:
    from qamoe_bench.store.atomic import write_atomic
    from qamoe_bench.tuning.study_text import study_text

    if not outcome.tuned:
        return
    write_atomic(target, study_text(outcome.tuned).encode(errors="replace"))
    print_chapters_as([_chapter(outcome)], "terminal", None)
    log(f"wrote {target}; test these settings beside the defaults with: qamoe-bench run {target}")


def _chapter(outcome: "TuningOutcome") -> Chapter:
    rows = []
    for plan, tuned in outcome.tuned:
        settings = tuned.tuned.removeprefix(tuned.model).lstrip(":,").replace(",", ", ") or "the defaults"
        rows.append((tuned.model, plan.dataset, tuned.regime, *_errors(tuned), settings))
    head = ("model", "data", "regime", "default", "tuned", "change", "chosen settings")
    trials = counted(outcome.tuned[0][1].trials, "trial")
    draws = counted(len(outcome.tuned[0][1].default_errors), "draw")
    note = (
        f"{trials} on {draws} for each model; error on the validation split, by which the epoch is chosen as well: "
        "that of the chosen settings is too low, since they are the best of many"
    )
    return Chapter("Validation errors", (note,), (Table("Mean over draws", head, tuple(rows)),))


def _errors(tuned: "TunedModel") -> tuple[str, str, str]:
    """Error of the defaults and of the chosen settings, and the change."""
    default = sum(tuned.default_errors) / len(tuned.default_errors)
    chosen = sum(tuned.tuned_errors) / len(tuned.tuned_errors)
    return f"{default:.4f}", f"{chosen:.4f}", f"{100 * (chosen / default - 1):+.1f} %"


def _dry_run_chapter(plans: "Sequence[TuningPlan]", trials: int, draws: int) -> Chapter:
    rows = []
    for plan in plans:
        for number, dimension in enumerate(plan.searches[0].space):
            about = (plan.subject.model, plan.dataset, plan.subject.regime, str(plan.pending))
            rows.append((*(about if not number else ("", "", "", "")), dimension.phrase))
    head = ("model", "data", "regime", "pending trials", "searched")
    line = f"{counted(trials, 'trial')} on {counted(draws, 'draw')} for each model."
    return Chapter("Searches", (line,), (Table("Models", head, tuple(rows)),))
