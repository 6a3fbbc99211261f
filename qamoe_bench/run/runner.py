"""Running plans: every job that has something left goes to an executor, and what failed is recorded.

Nothing depends on the order in which jobs are finished, nor on the clock: what is done is what is stored.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby

from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.progress import Tick, Watch, ignore
from qamoe_bench.provenance.environment import commit, machine
from qamoe_bench.run.executors.choice import Execution, Opened
from qamoe_bench.run.pending import Task, tasks_left, unfinished
from qamoe_bench.run.plan import Plan
from qamoe_bench.run.remote import meeting_point, packed
from qamoe_bench.run.worker import Outcome, failure_of, run_job
from qamoe_bench.store.failures import Failure, failures_folder, forget_failures, write_failures
from qamoe_bench.store.store import Store

SHOWN = 3


@dataclass(frozen=True)
class RunSummary:
    """What a run did: trainings and cells made, cells that were there already, seconds."""

    trained: int
    evaluated: int
    reused: int
    seconds: float


def run(
    plan: Plan, store: Store, jobs: int | None = None, progress: Watch = lambda _: nullcontext(ignore)
) -> RunSummary:
    """Finish every cell of a plan on this machine; see `run_all`."""
    return run_all([plan], store, Execution(jobs=jobs), progress)


def run_all(
    plans: Sequence[Plan], store: Store, execution: Execution, progress: Watch = lambda _: nullcontext(ignore)
) -> RunSummary:
    """Finish every cell of some plans.

    Args:
        plans: What to do.
        store: Where to keep it.
        execution: Where to compute it.
        progress: See `Watch`.

    Raises:
        BenchError: for what stops everything, as a store that cannot be written to.
        RunFailed: when cells failed, after all others were finished, or when the cluster was lost.
        KeyboardInterrupt: when interrupted; what was finished is stored.
    """
    start = time.perf_counter()
    for plan in plans:
        store.prepare(plan.run_id)
        store.write_manifest(plan.run_id, {**plan.manifest, "commit": commit(), "machine": machine()})
        forget_failures(store, plan.run_id)
    tasks = tasks_left(plans, store)
    reused = sum(len(plan.cells) for plan in plans) - sum(task.cells for task in tasks)
    device = tasks[0].job.device if tasks else ""
    with progress(sum(task.units for task in tasks)) as tick, execution.open(len(tasks), device, tick) as opened:
        outcomes = list(_finished(tasks, store, opened, tick))
    if failures := [failure for outcome in outcomes for failure in outcome.failures]:
        raise RunFailed(_told(failures, sum(len(plan.cells) for plan in plans), store))
    trained, evaluated = sum(o.trained for o in outcomes), sum(o.evaluated for o in outcomes)
    return RunSummary(trained, evaluated, reused, time.perf_counter() - start)


def _finished(tasks: Sequence[Task], store: Store, opened: Opened, tick: Tick) -> Iterator[Outcome]:
    """Outcomes as they come, with the failures recorded."""
    with ExitStack() as stack:
        futures = {}
        for run_id, of_run in groupby(tasks, lambda task: task.run_id):
            meeting = stack.enter_context(meeting_point(store, run_id)) if opened.elsewhere else None
            for task in of_run:
                call = (
                    packed(task.job, store, run_id, meeting)
                    if meeting
                    else (run_job, task.job, store, run_id, opened.tick or ignore)
                )
                futures[opened.executor.submit(*call)] = task
        for future in as_completed(futures):
            task = futures[future]
            outcome = _outcome(future, task, store)
            write_failures(store, task.run_id, list(outcome.failures))
            if opened.tick is None:
                tick(task.units)
            yield outcome


def _outcome(future: Future[Outcome], task: Task, store: Store) -> Outcome:
    """What a job did; one that ended in an exception, or with its worker, failed in all that it has not stored."""
    try:
        return future.result()
    except BenchError:
        raise
    except CancelledError as error:
        raise RunFailed(
            "the connection to the scheduler was lost: what was finished is stored; the same command goes on from there"
        ) from error
    except Exception as error:
        return Outcome(failures=tuple(failure_of(cell, error) for cell, _ in unfinished(task.job, store)))


def _told(failures: Sequence[Failure], cells: int, store: Store) -> str:
    by_reason: dict[str, list[str]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure.cell.label)
    reasons = _some([f"{_some(names, ', ')}: {reason}" for reason, names in by_reason.items()], "; ")
    return (
        f"{len(failures)} of {cells} cells ({reasons}); the others are stored. The reasons are kept in "
        f"{failures_folder(store, '<run>')}, and the same command tries these cells again"
    )


def _some(words: Sequence[str], between: str) -> str:
    """The first of them, and how many more there are."""
    more = [f"{len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return between.join([*words[:SHOWN], *more])
