"""Arithmetic that gives the same bits at every run: on one thread, and on a GPU as precise as on the CPU."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Room for cuBLAS in which it has one order of sums, see its documentation. It reads the variable at its first product.
_CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_WORKSPACE = ":4096:8"


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """A context in which a GPU computes float32 in full and sums in a fixed order; on the CPU nothing changes.

    Without it, cuDNN rounds the inputs of recurrences and convolutions to TF32, which has 10 bits of precision, and
    gradients of look-ups are added in the order in which threads arrive. An operation that has no implementation with
    a fixed order runs as it is.

    Args:
        device: Where the body computes.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault(_CUBLAS_VARIABLE, _CUBLAS_WORKSPACE)
    # Now, so that generators exist when `seeded` sets them.
    torch.cuda.init()  # type: ignore[no-untyped-call]
    tf32 = torch.backends.cudnn.allow_tf32
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing reads memory before it is written, so filling it would only take time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*deterministic", UserWarning)
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which torch computes on one thread, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
