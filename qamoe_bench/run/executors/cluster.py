"""Dask distributed as the executor for several machines: whatever started its scheduler and workers.

It sends each call to a free worker, and to another one when a worker dies; after some deaths (its setting
`distributed.scheduler.allowed-failures`) it gives the call up.
"""

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError, RunFailed

GPU = "GPU"
"""The worker resource that a call on `cuda` takes one of."""

PATIENCE_S = 30


class ClusterExecutor(Executor):
    """Dask's own, but for the words in which it says that it gave a call up."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that raises `RunFailed` when the call's workers died."""
        future: Future[Any] = Future()
        self._inner.submit(fn, *args, **kwargs).add_done_callback(lambda done: _pass_on(done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for all calls, or withdraw those that no worker has begun."""
        self._inner.shutdown(wait and not cancel_futures)


def _pass_on(done: Future[Any], future: Future[Any]) -> None:
    from distributed import KilledWorker

    if done.cancelled():
        future.cancel()
        future.set_running_or_notify_cancel()  # wakes up who waits
    elif (error := done.exception()) is None:
        future.set_result(done.result())
    elif isinstance(error, KilledWorker):
        future.set_exception(RunFailed(f"its worker died {error.allowed_failures + 1} times; see the workers' logs"))
    else:
        future.set_exception(error)


@contextmanager
def on_cluster(scheduler: str, device: str) -> Iterator[Executor]:
    """An executor on a running cluster; when left early, calls that no worker has begun are withdrawn.

    Args:
        scheduler: Address of the scheduler, or the path of the `.json` file that it wrote.
        device: On `cuda` each call takes a GPU of a worker.

    Raises:
        BenchError: where distributed is not installed or the scheduler cannot be reached.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise BenchError("--executor dask needs Dask distributed: pip install 'qamoe-bench[dask]'") from error
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # the loss of a scheduler is told once, by us
    try:
        client = Client(**_place(scheduler), timeout=PATIENCE_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise _unreachable(scheduler, str(error).partition("\n")[0]) from error
    resources = {GPU: 1} if device == "cuda" else None
    inner = client.get_executor(pure=False, resources=resources)  # type: ignore[no-untyped-call]
    with client, ClusterExecutor(inner) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)
            raise


def _place(scheduler: str) -> dict[str, str]:
    if scheduler.endswith(".json"):
        if not Path(scheduler).is_file():
            raise _unreachable(scheduler, "no such file")
        return {"scheduler_file": scheduler}
    if not re.search(r"^(tcp|tls|ucx|wss?|inproc|gateway)://|^[^/]+:\d+$", scheduler):
        raise _unreachable(scheduler, "not an address")
    return {"address": scheduler}


def _unreachable(scheduler: str, reason: str) -> BenchError:
    return BenchError(
        f"no Dask scheduler at {scheduler!r} ({reason}); expected an address such as tcp://host:8786, or the file that "
        "'dask scheduler --scheduler-file' wrote"
    )
