"""An executor that computes each call immediately, in the process that submits it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class SerialExecutor(Executor):
    """Finishes each call before `submit` returns; Ctrl-C interrupts the current call."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # not BaseException: KeyboardInterrupt has to end the run at once
            future.set_exception(error)
        return future
