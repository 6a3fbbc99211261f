"""What is fed to the models whose cost is measured: a preset's data, batches and configurations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.cost.paper import TEXT_ENCODER, TextEncoder, paper_batch, paper_spec
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.run.presets import find_preset
from qamoe_bench.training.building import build_model

SPLIT = "test"
DATA = "synthetic"
BATCHES = {"quick": (1, 16, 64, 256), "paper": (1, 16)}
"""Batch sizes by preset, where none are asked for."""


@dataclass(frozen=True)
class Setting:
    """Data to measure on.

    Attributes:
        spec: What models are built for.
        batch: Samples, as many as asked for; repeated where the data have fewer.
        fields: Fields of models' configurations, by model name.
        extra: Networks beside the registered models, by name.
    """

    spec: DataSpec
    batch: Callable[[int], Batch]
    fields: Mapping[str, Mapping[str, Any]]
    extra: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)

    def build(self, name: str) -> nn.Module:
        """A model in evaluation mode, the same for the same name.

        Raises:
            BenchError: for a name that is not known, or a model that does not take these data.
        """
        if name in self.extra:
            return self.extra[name]().eval()
        base = name.partition(":")[0]
        if self.extra and base not in model_refs() and ":" not in name:
            raise unknown_name("model", name, [*model_refs(), *self.extra])
        ref = find_model(name)
        settings = {**self.fields.get(ref.base, {}), **ref.settings}
        return build_model(ref.builder(), settings, self.spec, 0, ref.name).eval()


def make_setting(preset: str, data: str | None) -> Setting:
    """The setting of a preset, on data of one's own where the preset has none.

    Raises:
        BenchError: for names that are not known, or data beside a preset that brings its own.
    """
    fields = find_preset(preset).models
    if preset == "paper":
        if data is not None:
            raise BenchError(
                f"--data {data!r}: expected none with --preset paper, which has inputs of its own; drop it"
            )
        return Setting(paper_spec(), paper_batch, fields, {TEXT_ENCODER: TextEncoder})
    found = open_dataset(data or DATA)
    samples = found.splits[SPLIT].batch()
    return Setting(found.spec, lambda size: samples.rows(torch.arange(size) % samples.size), fields)


def sizes(text: str | None, preset: str) -> tuple[int, ...]:
    """Batch sizes from words such as `16,64`, in order, and 1 for the latency; the preset's where none are given."""
    if text is None:
        return BATCHES[preset]
    words = text.split(",")
    if not all(w.strip().isdecimal() and int(w) > 0 for w in words):
        raise BenchError(f"--batch {text!r}: expected whole numbers from 1 with commas between, as in 1,16,64")
    return tuple(sorted({1, *(int(w) for w in words)}))
