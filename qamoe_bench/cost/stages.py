"""The stages of a model, told by the names of its modules.

A module belongs to the stage with the longest prefix that its name has in `STAGES`, and to the fusion where there is
none: gates, quality scores and attention between modalities among them. Models of others are split in the same way, as
far as they use these names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

TEXT, OTHERS, FUSION, EXPERTS, HEADS = "text encoder", "other encoders", "fusion", "experts", "heads"

STAGES: Mapping[str, tuple[str, ...]] = {
    # `encoder`, without a modality, is that of a model which has one only.
    TEXT: ("encoders.text", "branches.text", "frame.text", "encoder"),
    OTHERS: ("encoders", "branches", "frame"),
    FUSION: (),
    EXPERTS: ("experts",),
    HEADS: ("head", "predict", "log_variance", "evidence", "decoder", "multimodal"),
}
"""Prefixes of module names, by stage."""


def stage_of(module: str) -> str:
    """The stage of a module, or of a parameter, by its name."""
    fits = {p: s for s, prefixes in STAGES.items() for p in prefixes if f"{module}.".startswith(f"{p}.")}
    return fits[max(fits, key=len)] if fits else FUSION


def by_stage(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by module added up by stage; every stage is there."""
    found = dict.fromkeys(STAGES, 0)
    for module, count in counts.items():
        found[stage_of(module)] += count
    return found


@dataclass(frozen=True)
class Parameters:
    """How many numbers a model learns.

    Attributes:
        all: All of them; a look-up table counts whole.
        active: Those that a sample is answered with: of N experts of which k are asked, k/N.
    """

    all: int
    active: int


def parameters(model: nn.Module, routing: Mapping[str, Tensor]) -> Parameters:
    """Parameters of a model whose `Output` has this routing."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    of_experts = sum(size for name, size in sizes.items() if stage_of(name) == EXPERTS)
    everything = sum(sizes.values())
    return Parameters(everything, everything - round(of_experts * (1 - _asked(routing))))


def _asked(routing: Mapping[str, Tensor]) -> float:
    """k/N, with k the most experts that any sample asks for a modality; 1 without experts."""
    return max((int((w > 0).sum(1).max()) / w.shape[1] for w in routing.values() if w.numel()), default=1.0)
