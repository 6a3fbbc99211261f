"""Multiply-adds of a forward pass, counted while it runs.

What is counted and what not is said in `qamoe_bench.cost.operations`. Padding that is computed is counted, and experts
that are not asked are not. A kernel that hides its products (a fused recurrence or attention) cannot be counted; hence
a pass is counted on the CPU in float32 and evaluation mode, where such kernels can be switched off and every layer
comes apart into products.
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
    """Adds up the multiply-adds of all that runs inside, under the owner at that time."""

    def __init__(self, owner: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owner = owner
        self.counts = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        self.counts[self._owner()] += multiply_adds_of(func, args, answer)
        return answer


@contextmanager
def _inside(model: nn.Module) -> Iterator[list[str]]:
    """Names of the modules that are running, the innermost last; the model itself is the empty name."""
    running = [""]
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            enter = module.register_forward_pre_hook(lambda *_, name=name: running.append(name))
            leave = module.register_forward_hook(lambda *_: _drop(running), always_call=True)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield running


def _drop(running: list[str]) -> None:
    running.pop()


@contextmanager
def unfused() -> Iterator[None]:
    """Recurrences, Transformer layers and attention come apart into products on the CPU."""
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
    """Multiply-adds by the name of the innermost module that ran them, and the model's answer.

    The model is put into evaluation mode; it and its inputs are on the CPU.

    Raises:
        RunFailed: see `multiply_adds_of`.
    """
    # Not in inference mode, in which linear maps and attention do not come apart.
    with torch.no_grad(), unfused(), _inside(model.eval()) as running, _Counting(lambda: running[-1]) as counting:
        answer = model(*inputs)
    return dict(counting.counts), answer
