"""Running plans: submit every job with pending cells to an executor, and record the cells that failed.

Results depend neither on the order in which jobs finish nor on the clock: a cell is done when it is stored.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.provenance.environment import commit, machine
from qamoe_bench.run.activity import Activity
from qamoe_bench.run.executors.choice import Execution, OpenExecutor
from qamoe_bench.run.pending import PendingJob, pending_cells, pending_jobs
from qamoe_bench.run.plan import Plan
from qamoe_bench.run.progress import Advance, ProgressDisplay, ignore_progress, no_display
from qamoe_bench.run.remote import pack_call, store_marker
from qamoe_bench.run.worker import Outcome, failure_of, run_job
from qamoe_bench.store.failures import Failure, failures_folder, forget_failures, write_failures
from qamoe_bench.store.store import Store

SHOWN = 3
"""Cells per reason, and reasons, that an error message lists."""


@dataclass(frozen=True)
class RunSummary:
    """Result of a run.

    Attributes:
        trained: Number of trainings.
        evaluated: Number of cells that were computed.
        reused: Number of cells that were stored before.
        seconds: Wall-clock time.
        curves: Number of curves of test metrics that were recorded, see `qamoe_bench.store.selection`.
    """

    trained: int
    evaluated: int
    reused: int
    seconds: float
    curves: int = 0


def run_plan(
    plan: Plan,
    store: Store,
    jobs: int | None = None,
    display: ProgressDisplay = no_display,
) -> RunSummary:
    """Compute every pending cell of a plan on this machine, with `jobs` processes; see `run_plans`."""
    return run_plans([plan], store, Execution(jobs=jobs), display)


def run_plans(
    plans: Sequence[Plan],
    store: Store,
    execution: Execution,
    display: ProgressDisplay = no_display,
    note: Callable[[str], None] = lambda _: None,
) -> RunSummary:
    """Compute every pending cell of some plans.

    Args:
        plans: The plans.
        store: Where results are looked up and stored.
        execution: Where to compute.
        display: Progress display; by default none.
        note: Is called with lines about what models did beyond their cells, each once.

    Raises:
        BenchError: for errors that stop everything, such as a store that cannot be written to.
        RunFailed: when cells failed or models were refused, after all others were finished, or when the cluster was
            lost.
        KeyboardInterrupt: when interrupted; finished cells are stored.
    """
    start = time.perf_counter()
    # Before the display starts, because a store that cannot be written to ends the command here.
    _prepare(plans, store)
    outcomes = _compute(plans, store, execution, display, note)
    cells = sum(len(plan.cells) for plan in plans)
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    refused = {name: reason for plan in plans for name, reason in plan.refused.items()}
    if failures or refused:
        raise RunFailed(_failure_message(failures, refused, cells, store))
    evaluated = sum(outcome.evaluated for outcome in outcomes)
    return RunSummary(
        trained=sum(outcome.trained for outcome in outcomes),
        evaluated=evaluated,
        reused=cells - evaluated,  # without failures, every cell was either computed or stored
        seconds=time.perf_counter() - start,
        curves=sum(outcome.curves for outcome in outcomes),
    )


def _compute(
    plans: Sequence[Plan],
    store: Store,
    execution: Execution,
    display: ProgressDisplay,
    note: Callable[[str], None],
) -> list[Outcome]:
    """The outcomes of all jobs that have something to compute, with progress and each note once."""
    jobs = pending_jobs(plans, store)
    units = sum(pending.units for pending in jobs)
    device = jobs[0].job.device if jobs else ""  # the same for all jobs of a command
    has_own_models = any(pending.job.has_own_model for pending in jobs)
    activity = Activity(len(jobs))
    noted: set[str] = set()
    outcomes = []
    with (
        display(units, activity.status) as advance,
        execution.open(len(jobs), device, advance, has_own_models) as opened,
    ):
        for pending, outcome in _outcomes(jobs, store, opened, advance, activity):
            outcomes.append(outcome)
            for line in _notes(pending, outcome):
                if line not in noted:
                    noted.add(line)
                    note(line)
    return outcomes


def _prepare(plans: Sequence[Plan], store: Store) -> None:
    """Make the folder of every run with its manifest, and remove the failure records of earlier attempts."""
    for plan in plans:
        if not plan.jobs:  # every model was refused
            continue
        store.prepare(plan.run_id)
        store.write_manifest(plan.run_id, {**plan.manifest, "commit": commit(), "machine": machine()})
        forget_failures(store, plan.run_id)


def _outcomes(
    jobs: Sequence[PendingJob], store: Store, opened: OpenExecutor, advance: Advance, activity: Activity
) -> Iterator[tuple[PendingJob, Outcome]]:
    """Outcomes in the order in which the jobs finish; failures are recorded before they are yielded."""
    with ExitStack() as markers:
        futures = _submit(jobs, store, opened, markers, activity)
        # In the order of completion, so that a failure is on disk even if the run is interrupted afterwards.
        for future in as_completed(futures):
            pending = futures[future]
            outcome = _outcome(future, pending, store)
            write_failures(store, pending.run_id, list(outcome.failures))
            if opened.advance is None:  # the calls could not report their progress themselves
                advance(pending.units)
            yield pending, outcome


def _submit(
    jobs: Sequence[PendingJob], store: Store, opened: OpenExecutor, markers: ExitStack, activity: Activity
) -> dict[Future[Outcome], PendingJob]:
    """Submit all jobs; the markers of their runs stay in place until the stack is closed."""
    futures: dict[Future[Outcome], PendingJob] = {}
    # Tasks are in the order of their plans, so those of a run are adjacent.
    for run_id, jobs_of_run in groupby(jobs, lambda pending: pending.run_id):
        marker = markers.enter_context(store_marker(store, run_id)) if opened.remote else None
        # One user's code after the other, since each needs a process of its own.
        for pending in sorted(jobs_of_run, key=lambda pending: pending.job.owner):
            with activity.submitting(pending.job):
                if marker is None:
                    report = opened.advance or ignore_progress
                    future = opened.executor.submit(run_job, pending.job, store, run_id, report)
                else:
                    function, *arguments = pack_call(pending.job, store, run_id, marker)
                    future = opened.executor.submit(function, *arguments)
            activity.watch(future, pending.job)
            futures[future] = pending
    return futures


def _outcome(future: Future[Outcome], pending: PendingJob, store: Store) -> Outcome:
    """Outcome of a job; if it raised, or its worker died, all cells that it has not stored failed."""
    try:
        return future.result()
    except BenchError:  # concerns every job
        raise
    except CancelledError as error:  # by Dask, when it loses its scheduler
        raise RunFailed(
            "the connection to the scheduler was lost; finished cells are stored, and the same command continues from "
            "there"
        ) from error
    except Exception as error:
        return Outcome(failures=tuple(failure_of(cell, error) for cell, _ in pending_cells(pending.job, store)))


def _notes(pending: PendingJob, outcome: Outcome) -> list[str]:
    """What a job did beyond its cells, in lines: what its model changed for others, and which files were not used."""
    lines = [f"note: {sentence}" for sentence in outcome.notes]
    recipe = pending.job.recipe
    if recipe is not None and outcome.changed:
        changed = ", ".join(outcome.changed)
        lines.append(f"note: model {recipe.model.name} changed {changed} while it ran; restored after each cell")
    return lines


def _failure_message(failures: Sequence[Failure], refused: Mapping[str, str], cells: int, store: Store) -> str:
    of_models = _first_few([f"model {name!r}: {reason}" for name, reason in refused.items()], "; ")
    if not failures:
        return f"{of_models}; {'the others are stored' if cells else 'nothing else was requested'}"
    of_cells = _cells_message(failures, cells, store)
    return f"{of_models}; {of_cells}" if refused else of_cells


def _cells_message(failures: Sequence[Failure], cells: int, store: Store) -> str:
    # Cells often fail for the same reason, so each reason is shown once.
    by_reason: dict[str, list[str]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure.cell.label)
    groups = [f"{_first_few(names, ', ')}: {reason}" for reason, names in by_reason.items()]
    return (
        f"{len(failures)} of {cells} cells ({_first_few(groups, '; ')}); the others are stored. The reasons are kept "
        f"in {failures_folder(store, '<run>')}, and the same command tries these cells again"
    )


def _first_few(phrases: Sequence[str], separator: str) -> str:
    """The first phrases, and the number of the others."""
    shown = list(phrases[:SHOWN])
    if len(phrases) > SHOWN:
        shown.append(f"{len(phrases) - SHOWN} more")
    return separator.join(shown)
