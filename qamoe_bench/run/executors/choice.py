"""Selection of the executor that computes the calls of a run."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.provenance.environment import usable_cores
from qamoe_bench.run.executors.cluster import on_cluster
from qamoe_bench.run.executors.processes import ProcessesExecutor, send_progress
from qamoe_bench.run.executors.serial import SerialExecutor
from qamoe_bench.run.progress import Advance

NAMES = ("local", "processes", "dask")


@dataclass(frozen=True)
class OpenExecutor:
    """An executor that accepts calls.

    Attributes:
        executor: The executor.
        advance: Callback for the calls to report their progress with, passed to them as an argument; None where
            progress cannot be sent back.
        remote: Whether calls may be computed on other machines, which may see other files and versions.
    """

    executor: Executor
    advance: Advance | None
    remote: bool = False


@dataclass(frozen=True)
class Execution:
    """Where a run computes.

    Attributes:
        name: `local` for this process, `processes` for several on this machine, `dask` for a cluster. If empty,
            processes where more than one would have work or models are the user's own, else this one.
        jobs: Number of processes; by default one per usable core, and never more than there are calls.
        scheduler: Address of the cluster's scheduler, or the path of its `.json` file.
    """

    name: str = ""
    jobs: int | None = None
    scheduler: str = ""

    def __post_init__(self) -> None:
        if self.name and self.name not in NAMES:
            raise unknown_name("executor", self.name, NAMES)
        if self.name == "dask" and not self.scheduler:
            raise BenchError(
                "--executor dask: expected --scheduler with the address of its scheduler, or the path of its file"
            )
        if self.scheduler and self.name != "dask":
            raise BenchError(f"--scheduler {self.scheduler!r}: expected --executor dask with it")
        if self.jobs is not None and self.name in ("local", "dask"):
            raise BenchError(
                f"--executor {self.name} with --jobs: --jobs counts processes of this machine; leave it out"
            )

    @property
    def remote(self) -> bool:
        """Whether calls may be computed on other machines."""
        return self.name == "dask"

    def workers(self, calls: int) -> int:
        """Number of processes of this machine for a number of calls; 1 for this process alone."""
        if self.name == "local":
            return 1
        return max(1, min(self.jobs or usable_cores(), calls))  # 1 even without calls

    @contextmanager
    def open(self, calls: int, device: str, advance: Advance, has_own_models: bool = False) -> Iterator[OpenExecutor]:
        """Start the executor; an exception inside the context ends it without waiting for its calls.

        Args:
            calls: Number of calls that will be submitted.
            device: `cpu` or `cuda`, of all calls.
            advance: Receives the progress that calls report.
            has_own_models: Whether a call runs code of the user, which may end its process: unless `local` is named,
                it then gets one other than this.
        """
        if self.name == "dask":
            with on_cluster(self.scheduler, device) as executor:
                yield OpenExecutor(executor, None, remote=True)
        elif self.name == "processes" or self.workers(calls) > 1 or (has_own_models and self.name != "local"):
            with ProcessesExecutor(self.workers(calls), advance) as processes:
                try:
                    yield OpenExecutor(processes, send_progress)
                except BaseException:  # Ctrl-C included
                    processes.kill()
                    raise
        else:
            with SerialExecutor() as serial:
                yield OpenExecutor(serial, advance)
