"""The stages of a model, by the names of its submodules.

A submodule belongs to the stage with the longest prefix of its name, among the conventions below and the prefixes that
the model's card declares (see `qamoe_bench.registry.card`). A submodule without any of these prefixes belongs to the
fusion: gates, quality scores and attention between modalities, for example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from qamoe_bench.registry.card import STAGES

TEXT, OTHERS, FUSION, EXPERTS, HEADS = STAGES

Prefixes = Mapping[str, Sequence[str]]
"""Prefixes of names of submodules, by stage."""

CONVENTIONS: Prefixes = {
    TEXT: ("encoders.text", "encoder"),  # `encoder`, without a modality, is that of a model with only one
    OTHERS: ("encoders",),
    EXPERTS: ("experts",),
    HEADS: ("head", "predict"),
}
"""Names that several models share."""


def stage_of(module: str, declared: Prefixes | None = None) -> str:
    """The stage of a submodule, or of a parameter, by its name.

    Args:
        module: Dotted name, as in `nn.Module.named_modules`.
        declared: Prefixes of the model's card, which win over equal ones of the conventions.
    """
    stages: dict[str, str] = {}  # by prefix
    for source in (CONVENTIONS, declared or {}):
        for stage, prefixes in source.items():
            stages.update(dict.fromkeys(prefixes, stage))
    # The dots keep `heading` out of `head`.
    matches = [prefix for prefix in stages if f"{module}.".startswith(f"{prefix}.")]
    return stages[max(matches, key=len)] if matches else FUSION


def by_stage(counts: Mapping[str, int], declared: Prefixes | None = None) -> dict[str, int]:
    """Counts by submodule, summed by stage; stages without a submodule count 0."""
    sums = dict.fromkeys(STAGES, 0)
    for module, count in counts.items():
        sums[stage_of(module, declared)] += count
    return sums


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters a model has.

    Attributes:
        all: All parameters; an embedding table counts in full.
        active: Parameters that compute the prediction of one sample: k of N experts count k/N.
    """

    all: int
    active: int


def count_parameters(
    model: nn.Module, routing: Mapping[str, Tensor], declared: Prefixes | None = None
) -> ParameterCount:
    """Parameters of a model whose `Output` has this routing.

    Args:
        model: Any model.
        routing: Gate weights (B, N) per modality; 0 for an expert that is not routed to.
        declared: Prefixes of the model's card.
    """
    total = 0
    in_experts = 0
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if stage_of(name, declared) == EXPERTS:
            in_experts += parameter.numel()
    idle = round(in_experts * (1 - _routed_share(routing)))
    return ParameterCount(total, total - idle)


def _routed_share(routing: Mapping[str, Tensor]) -> float:
    """k/N, with k the most experts that any sample is routed to for a modality; 1 without experts."""
    shares = [int((w > 0).sum(1).max()) / w.shape[1] for w in routing.values() if w.numel()]
    return max(shares, default=1.0)
