"""Multiply-adds of a forward pass, counted while it runs.

See `qamoe_bench.cost.operations` for the operations that count. Computed padding counts; experts that no token is
routed to do not. Kernels that hide their products (a fused recurrence or attention) cannot be counted, so a pass is
counted on the CPU in float32 and evaluation mode, where such kernels can be switched off and every layer decomposes
into products.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from qamoe_bench.cost.operations import multiply_adds_of


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate it
    """Adds the multiply-adds of every operation inside the context to those of the owner at that time."""

    def __init__(self, owner: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owner = owner
        self.counts = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self.counts[self._owner()] += multiply_adds_of(func, args, output)
        return output


@contextmanager
def _inside(model: nn.Module) -> Iterator[list[str]]:
    """A stack of the names of the modules that are running, the innermost last; the model's own name is empty."""
    running = [""]
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            # The default argument binds the name of this iteration. A hook must return None, or it replaces the output.
            enter = module.register_forward_pre_hook(lambda *_, name=name: running.append(name))
            leave = module.register_forward_hook(lambda *_: _drop(running), always_call=True)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield running


def _drop(running: list[str]) -> None:
    running.pop()


@contextmanager
def unfused() -> Iterator[None]:
    """Make recurrences, Transformer layers and attention decompose into products on the CPU."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # MKLDNN warns whenever it is switched
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def count(model: nn.Module, *inputs: Any) -> tuple[Mapping[str, int], Any]:
    """Multiply-adds by the name of the innermost module that ran them, and the model's output.

    The model is put into evaluation mode; it and its inputs must be on the CPU.

    Raises:
        RunFailed: If an operation cannot be counted; see `multiply_adds_of`.
    """
    # Not in inference mode, in which linear maps and attention do not decompose.
    with torch.no_grad(), unfused(), _inside(model.eval()) as running, _Counting(lambda: running[-1]) as counting:
        output = model(*inputs)
    return dict(counting.counts), output
