"""Which jobs of a run are being computed and how many are done, for the progress display."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from qamoe_bench.run.plan import Job

MAX_NAMED = 3  # jobs that a line names


class Activity:
    """The state of all jobs of a run; `status` is called from the thread of the display."""

    def __init__(self, total: int) -> None:
        """Watch so many jobs."""
        self._total = total
        self._submitting = ""
        self._names: dict[Future[Any], str] = {}

    @contextmanager
    def submitting(self, job: Job) -> Iterator[None]:
        """Mark a job as running: an executor without processes computes it while it is submitted."""
        self._submitting = job_name(job)
        try:
            yield
        finally:
            self._submitting = ""

    def watch(self, future: Future[Any], job: Job) -> None:
        """Follow a job that was submitted."""
        self._names[future] = job_name(job)

    def status(self) -> str:
        """How many jobs are done and the names of those that run, in one line."""
        names = dict(self._names)  # a copy, because jobs are added meanwhile
        done = sum(future.done() for future in names)
        running = [name for future, name in names.items() if future.running()]
        if self._submitting:
            running.append(self._submitting)
        line = f"{done} of {self._total} models done"
        if not running:  # a cluster does not say what runs
            return line
        more = f" and {len(running) - MAX_NAMED} more" if len(running) > MAX_NAMED else ""
        return f"{line}; now {', '.join(running[:MAX_NAMED])}{more}"


def job_name(job: Job) -> str:
    """Model and seed, which distinguish most jobs of a run."""
    return f"{job.cells[0][0].model} with seed {job.seed}"
