"""The optimiser and the schedule of its learning rates."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from qamoe_bench.contract import ParameterGroup
from qamoe_bench.nn.language import language_parameters
from qamoe_bench.training.config import TrainConfig


def make_optimiser(model: nn.Module, groups: Sequence[ParameterGroup], config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over groups of a model's parameters, with a separate learning rate for those of language models."""
    language = set(language_parameters(model))
    options: list[dict[str, Any]] = []
    pretrained: list[nn.Parameter] = []
    for group in groups:
        own = [p for p in group.parameters if p not in language]
        options.append({"params": own, "lr": group.rate * config.learning_rate})
        pretrained += [p for p in group.parameters if p in language]
    if pretrained:
        options.append({"params": pretrained, "lr": config.language_rate})
    # Fused: one pass over each parameter, which for small models saves a tenth of the training.
    return torch.optim.AdamW(options, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def make_schedule(
    optimiser: torch.optim.Optimizer, config: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """One cosine from 1 to 0 over all steps, times a linear rise to 1 over the warm-up."""
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    warm_up_steps = round(config.warm_up * steps)
    if not warm_up_steps:
        return cosine
    # The rise starts one step above zero, because a rate of 0 would waste the first step.
    rise = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / (warm_up_steps + 1), total_iters=warm_up_steps)
    return torch.optim.lr_scheduler.ChainedScheduler([cosine, rise])
