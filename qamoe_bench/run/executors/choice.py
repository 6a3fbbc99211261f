"""Which executor computes the calls of a run."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.progress import Tick
from qamoe_bench.provenance.environment import usable_cores
from qamoe_bench.run.executors.cluster import on_cluster
from qamoe_bench.run.executors.processes import ProcessesExecutor, send_tick
from qamoe_bench.run.executors.serial import SerialExecutor

NAMES = ("local", "processes", "dask")


@dataclass(frozen=True)
class Opened:
    """An executor at work.

    Attributes:
        executor: It.
        tick: What a call reports its progress with, to be sent along; None where it cannot.
        elsewhere: Whether calls may be computed on other machines, which may see other files and versions.
    """

    executor: Executor
    tick: Tick | None
    elsewhere: bool = False


@dataclass(frozen=True)
class Execution:
    """Where a run computes.

    Attributes:
        name: `local` is this process, `processes` are several on this machine, `dask` is a cluster. Empty: processes
            where more than one would have work, else this one.
        jobs: How many processes; by default one per usable core, and never more than there are calls.
        scheduler: Address of the cluster's scheduler, or the path of its `.json` file.
    """

    name: str = ""
    jobs: int | None = None
    scheduler: str = ""

    def __post_init__(self) -> None:
        if self.name and self.name not in NAMES:
            raise unknown_name("executor", self.name, NAMES)
        if (self.name == "dask") != bool(self.scheduler):
            raise BenchError(
                "--executor dask: expected --scheduler with the address of its scheduler, or the path of its file"
                if self.name == "dask"
                else f"--scheduler {self.scheduler!r}: expected --executor dask with it"
            )
        if self.jobs is not None and self.name in ("local", "dask"):
            raise BenchError(
                f"--executor {self.name} with --jobs: --jobs counts processes of this machine; leave it out"
            )

    def workers(self, calls: int) -> int:
        """How many processes of this machine would compute so many calls; 1 for this one alone."""
        return 1 if self.name == "local" else max(1, min(self.jobs or usable_cores(), calls))

    @contextmanager
    def open(self, calls: int, device: str, tick: Tick) -> Iterator[Opened]:
        """Start it for so many calls; when left by an exception it ends at once."""
        if self.name == "dask":
            with on_cluster(self.scheduler, device) as executor:
                yield Opened(executor, None, elsewhere=True)
        elif self.name == "processes" or self.workers(calls) > 1:
            with ProcessesExecutor(self.workers(calls), tick) as processes:
                try:
                    yield Opened(processes, send_tick)
                except BaseException:
                    processes.kill()
                    raise
        else:
            with SerialExecutor() as executor:
                yield Opened(executor, tick)
