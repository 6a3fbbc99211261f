"""Dask distributed as the executor for several machines, however its scheduler and workers were started.

Dask sends each call to a free worker, and to another one when a worker dies; after some deaths (its setting
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
"""Name of the Dask resource of which each call on `cuda` takes one unit."""

CONNECT_TIMEOUT_S = 30
ADDRESS = re.compile(r"^(tcp|tls|ucx|wss?|inproc|gateway)://|^[^/]+:\d+$")


class ClusterExecutor(Executor):
    """Dask's own executor, except that a call which Dask gave up raises `RunFailed`."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that raises `RunFailed` if several workers died during the call."""
        future: Future[Any] = Future()
        inner = self._inner.submit(fn, *args, **kwargs)
        inner.add_done_callback(lambda done: _copy_result(done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for all calls, or withdraw those that no worker has started."""
        # Dask's own executor has no `cancel_futures`; without `wait` it cancels.
        self._inner.shutdown(wait and not cancel_futures)


def _copy_result(done: Future[Any], future: Future[Any]) -> None:
    from distributed import KilledWorker  # optional dependency

    if done.cancelled():
        # The scheduler was lost: Dask cancels every call.
        future.cancel()
        future.set_running_or_notify_cancel()  # wakes threads that wait for the future
        return
    error = done.exception()
    if error is None:
        future.set_result(done.result())
    elif isinstance(error, KilledWorker):
        future.set_exception(RunFailed(f"its worker died {error.allowed_failures + 1} times; see the workers' logs"))
    else:
        future.set_exception(error)


@contextmanager
def on_cluster(scheduler: str, device: str) -> Iterator[Executor]:
    """An executor on a running cluster; an exception inside the context withdraws calls that no worker has started.

    Args:
        scheduler: Address of the scheduler, or the path of the `.json` file that it wrote.
        device: On `cuda`, each call occupies one GPU of a worker.

    Raises:
        BenchError: where distributed is not installed or the scheduler cannot be reached.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise BenchError("--executor dask needs Dask distributed: pip install 'qamoe-bench[dask]'") from error
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # the runner reports a lost scheduler
    try:
        client = Client(**_client_arguments(scheduler), timeout=CONNECT_TIMEOUT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise _unreachable(scheduler, str(error).partition("\n")[0]) from error
    resources = {GPU: 1} if device == "cuda" else None
    # Not pure: Dask would otherwise reuse the result of an equal call that it still holds.
    inner = client.get_executor(pure=False, resources=resources)  # type: ignore[no-untyped-call]
    with client, ClusterExecutor(inner) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)
            raise


def _client_arguments(scheduler: str) -> dict[str, str]:
    """The keyword of Dask's client that takes this address or file."""
    if scheduler.endswith(".json"):
        if not Path(scheduler).is_file():
            # Dask itself would wait for the file until the time limit.
            raise _unreachable(scheduler, "no such file")
        return {"scheduler_file": scheduler}
    if not ADDRESS.search(scheduler):
        raise _unreachable(scheduler, "not an address")
    return {"address": scheduler}


def _unreachable(scheduler: str, reason: str) -> BenchError:
    return BenchError(
        f"no Dask scheduler at {scheduler!r} ({reason}); expected an address such as tcp://host:8786, or the file that "
        "'dask scheduler --scheduler-file' wrote"
    )
