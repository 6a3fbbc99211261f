"""Where the time of a training goes, and whether several seeds at once are faster; run by `make benchmark`.

First the shares of a training in the regime `spectrum` that the model's own forward passes and losses, backward passes
and optimiser steps take; the rest is corruption, validation batches and bookkeeping. Then one training step of three
models that differ in their seed: one after another, and as one model whose parameters are stacked (torch.func.vmap),
with the greatest difference between the gradients of the two. A result counts as equal only if that is zero.
"""

import argparse
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from wall_time import seconds_of

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.registry import find_model
from qamoe_bench.training import loop, phases
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import SPECTRUM

MODELS = ("late-fusion", "qa-moe", "c-mib")
SEEDS = 3
TURNS = 7
BATCH = 64


def build(name: str, data: Dataset, seed: int) -> nn.Module:
    """A fresh model with its default settings."""
    ref = find_model(name)
    torch.manual_seed(seed)
    model = ref.builder()(data.spec, **ref.settings)
    assert isinstance(model, nn.Module)
    return model


@contextmanager
def timed(seconds: dict[str, float], part: str, owner: Any, attribute: str) -> Iterator[None]:
    """Add the time of every call of a function to a part."""
    original = getattr(owner, attribute)

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = original(*args, **kwargs)
        seconds[part] += time.perf_counter() - start
        return result

    with mock.patch.object(owner, attribute, call):
        yield


def print_shares(name: str, data: Dataset, epochs: int) -> None:
    """Print the shares of a training."""
    # The first training of a process loads parts of PyTorch, which takes a second.
    loop.train(build(name, data, 1), data, SPECTRUM, 1, TrainConfig(epochs=1, selection_window=1), torch.device("cpu"))
    model = build(name, data, 1)
    seconds = defaultdict[str, float](float)
    # Forward passes and losses of training steps and of validations.
    with (
        timed(seconds, "forward", type(model), "forward"),
        timed(seconds, "forward", phases, "loss_of"),
        timed(seconds, "forward", loop, "prediction_loss"),
        timed(seconds, "backward", torch.autograd, "backward"),
        timed(seconds, "step", torch.optim.AdamW, "step"),
        timed(seconds, "step", nn.utils, "clip_grad_norm_"),
    ):
        trained = loop.train(model, data, SPECTRUM, 1, TrainConfig(epochs=epochs), torch.device("cpu"))
    shares = {part: spent / trained.seconds for part, spent in seconds.items()}
    parts = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares.items())
    print(  # noqa: T201
        f"training of {name} on {data.name}, {epochs} epochs: {trained.seconds:.1f} s; {parts}, "
        f"outside of these {100 * (1 - sum(shares.values())):.0f} %"
    )


def gradients(model: nn.Module, batch: Batch, target: Tensor) -> dict[str, Tensor]:
    """Gradients of the mean absolute error of a model."""
    model.zero_grad(set_to_none=True)
    (model(batch).prediction - target).abs().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def stacked(models: list[nn.Module], batch: Batch, target: Tensor) -> Callable[[], dict[str, Tensor]]:
    """A function that returns the gradients of all models at once, stacked."""
    parameters, buffers = torch.func.stack_module_state(models)
    skeleton = models[0]

    def error(values: dict[str, Tensor], fixed: dict[str, Tensor]) -> Tensor:
        output = torch.func.functional_call(skeleton, (values, fixed), (batch,))
        mean_error: Tensor = (output.prediction - target).abs().mean()
        return mean_error

    gradient = torch.func.vmap(torch.func.grad(error))
    return lambda: dict(gradient(parameters, buffers))


def print_seeds_at_once(name: str, data: Dataset) -> None:
    """Print the time of a step of several seeds at once over that of one after another, and whether they are equal."""
    split = data.splits["train"]
    batch = split.batch().rows(torch.arange(BATCH))
    target = split.target[:BATCH]
    # In evaluation mode, because the random numbers of dropout would differ.
    models = [build(name, data, seed).eval() for seed in range(SEEDS)]

    def one_by_one() -> list[dict[str, Tensor]]:
        return [gradients(model, batch, target) for model in models]

    try:
        together = stacked(models, batch, target)
        at_once = together()
    except (RuntimeError, ValueError) as error:
        print(f"{SEEDS} seeds of {name} at once: not possible ({str(error).splitlines()[0]:.120})")  # noqa: T201
        return
    apart = one_by_one()
    gaps = [(at_once[k][i] - g).abs().max().item() for i, of_seed in enumerate(apart) for k, g in of_seed.items()]
    ratios = [seconds_of(together) / seconds_of(one_by_one) for _ in range(TURNS)]
    print(  # noqa: T201
        f"{SEEDS} seeds of {name} on {data.name} at once, forward and backward: {statistics.median(ratios):.2f} of the "
        f"time of one after another ({min(ratios):.2f} to {max(ratios):.2f}); greatest difference of a gradient "
        f"{max(gaps):.1e}"
    )


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="*", default=["synthetic"], help="data sets or files")
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    parser.add_argument("--models", nargs="*", default=MODELS, help="whose shares to print")
    parser.add_argument("--shares-only", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="There is a performance drop")  # of vmap; it is what is measured
    for name in options.data:
        data = open_dataset(name)
        for model in options.models:
            print_shares(model, data, options.epochs)
        for model in () if options.shares_only else MODELS:
            print_seeds_at_once(model, data)


if __name__ == "__main__":
    main()
