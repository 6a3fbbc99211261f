"""Presets: named settings of the training loop and of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qamoe_bench.errors import unknown_name
from qamoe_bench.training.loop import TrainConfig


@dataclass(frozen=True)
class Preset:
    """Settings of the training loop, and fields of models' configurations by model name."""

    training: TrainConfig
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


PRESETS: Mapping[str, Preset] = {
    # Minutes on two cores; widths are the models' defaults.
    "quick": Preset(TrainConfig()),
    # The published setting as far as it is known: batch 64, rate 1e-4, decay 1e-4, width 128, λ and η per batch.
    # All of these but the last are inferred.
    "paper": Preset(
        TrainConfig(epochs=50, learning_rate=1e-4, weight_decay=1e-4, levels_per="batch"),
        models={"qa-moe": {"width": 128, "expert_hidden": 256}, "late-fusion": {"width": 128}},
    ),
    # With a pretrained language model inside, for which a few passes are enough; of five settings that were tried, all
    # alike, one of the two with the lowest error on the validation split of CMU-MOSI.
    "fine-tune": Preset(
        TrainConfig(epochs=8, batch_size=32, learning_rate=1e-3, language_rate=1e-4, warm_up=0.1, selection_window=1)
    ),
}


def find_preset(name: str) -> Preset:
    """A preset by name."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]
