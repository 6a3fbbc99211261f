"""The setting in which costs are measured: a preset's data, batches and configurations of models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from qamoe_bench.contract import Batch, DataSpec
from qamoe_bench.cost.paper import TEXT_ENCODER, TextEncoder, paper_batch, paper_spec
from qamoe_bench.cost.stages import Prefixes
from qamoe_bench.data.dataset import EXAMPLES
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import DEFAULT_READING, ReadingOptions
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.registry import find_model, model_refs
from qamoe_bench.run.presets import find_preset
from qamoe_bench.training.building import build_model

SPLIT = "test"
DATA = "synthetic"
BATCHES = {"quick": (1, 16, 64, 256), "paper": (1, 16)}
"""Default batch sizes, by preset."""


@dataclass(frozen=True)
class Setting:
    """Data to measure on.

    Attributes:
        spec: Specification of the data that models are built for.
        batch: Function from a number of samples to a batch of that size; samples repeat if the data have fewer.
        preset: Name of the preset whose fields of models' configurations apply.
        extra: Builders of networks that are measured in addition to the registered models, by name.
    """

    spec: DataSpec
    batch: Callable[[int], Batch]
    preset: str
    extra: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)

    def build(self, name: str) -> nn.Module:
        """A model in evaluation mode; equal names give equal weights.

        Raises:
            BenchError: If the name is unknown, or the model does not accept these data.
        """
        if name in self.extra:
            return self.extra[name]().eval()
        base = name.partition(":")[0]
        # `find_model` would not suggest the extra networks.
        if self.extra and base not in model_refs() and ":" not in name:
            raise unknown_name("model", name, [*model_refs(), *self.extra])
        ref = find_model(name)
        settings = {**ref.card().presets.get(self.preset, {}), **ref.settings}
        return build_model(ref, settings, self.spec, self.batch(EXAMPLES), 0).eval()

    def stages(self, name: str) -> Prefixes:
        """Prefixes of the stages that the model's card declares."""
        return {} if name in self.extra else find_model(name).card().stages


def make_setting(preset: str, data: str | None, options: ReadingOptions = DEFAULT_READING) -> Setting:
    """The setting of a preset.

    Args:
        preset: Name of the preset; `paper` has data of its own.
        data: Name or path of the data for the other presets; None for the embedded data.
        options: How a data file is read.

    Raises:
        BenchError: If a name is unknown, or data are given with a preset that has its own.
    """
    find_preset(preset)  # raises an error for an unknown name
    if preset == "paper":
        if data is not None:
            raise BenchError(
                f"--data {data!r}: expected none with --preset paper, which has inputs of its own; drop it"
            )
        return Setting(paper_spec(), paper_batch, preset, {TEXT_ENCODER: TextEncoder})
    dataset = open_dataset(data or DATA, options=options)
    samples = dataset.splits[SPLIT].batch()
    return Setting(dataset.spec, lambda size: samples.rows(torch.arange(size) % samples.size), preset)


def sizes(text: str | None, preset: str) -> tuple[int, ...]:
    """Batch sizes in ascending order, always with 1, which the latency needs.

    Args:
        text: Comma-separated sizes such as `16,64`; None for those of the preset.
        preset: Name of the preset.

    Raises:
        BenchError: If the text is not a list of positive whole numbers.
    """
    if text is None:
        return BATCHES[preset]
    words = text.split(",")
    if not all(w.strip().isdecimal() and int(w) > 0 for w in words):
        raise BenchError(f"--batch {text!r}: expected whole numbers from 1 with commas between, as in 1,16,64")
    return tuple(sorted({1, *(int(w) for w in words)}))
