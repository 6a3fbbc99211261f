"""Dask distributed as the executor for several machines: whatever started its scheduler and workers.

It sends each call to a free worker, and to another one when a worker dies; after some deaths (its setting
`distributed.scheduler.allowed-failures`) it gives the call up.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from qamoe_bench.errors import BenchError

GPU = "GPU"
"""The worker resource that a call on `cuda` takes one of."""

PATIENCE_S = 30


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
    where = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    try:
        client = Client(**where, timeout=PATIENCE_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BenchError(
            f"no Dask scheduler at {scheduler!r} ({reason}); expected an address such as tcp://host:8786, or the file "
            "that 'dask scheduler --scheduler-file' wrote"
        ) from error
    resources = {GPU: 1} if device == "cuda" else None
    with client, client.get_executor(pure=False, resources=resources) as executor:  # type: ignore[no-untyped-call]
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)
            raise
