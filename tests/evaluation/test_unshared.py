"""Models that change their input in place predict what they do of fresh inputs, and nobody else sees the change."""

import copy
from collections.abc import Mapping

import pytest
import torch
from illmannered import InPlaceStages, Manner, build
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.registry import find_model
from qamoe_bench.training.building import build_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN, SPECTRUM
from qamoe_bench.training.loop import train

CPU = torch.device("cpu")
SHORT = TrainConfig(epochs=2, selection_window=1, validation_samples=12)


class OnCopies(nn.Module):
    """A model that gets a copy of every input, so that it cannot change one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, batch: Batch) -> Output:
        """The inner model's prediction."""
        output: Output = self.inner(Batch(copies(batch.features), copies(batch.lengths)))
        return output


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {m: x.clone() for m, x in tensors.items()}


def tensors_of(data: Dataset) -> dict[str, Tensor]:
    tensors = {}
    for name, split in data.splits.items():
        tensors[f"{name}.target"] = split.target
        tensors |= {f"{name}.{m}": x for m, x in split.features.items()}
        tensors |= {f"{name}.{m}.lengths": x for m, x in split.lengths.items()}
    for m in data.spec.modalities:
        tensors |= {f"mean.{m}": data.reference.mean[m], f"std.{m}": data.reference.std[m]}
    return tensors


@pytest.mark.parametrize("protocol", ["fixed-missing", "quality-degradation"])
@pytest.mark.parametrize("stages", [False, True])
def test_a_sweep_hands_out_samples_that_may_be_changed(stages: bool, protocol: str, tiny: Dataset) -> None:
    torch.manual_seed(0)
    model = InPlaceStages(tiny.spec) if stages else build(tiny.spec)
    before = copies(tensors_of(tiny))
    test = TestSet(tiny, 1, CPU)
    conditions = load_protocol(protocol)
    fresh = sweep_model(OnCopies(copy.deepcopy(model)), test, conditions, batch_size=8)
    changing = sweep_model(model, test, conditions, batch_size=8)
    for name, column in fresh.columns.items():
        if column.dtype.kind == "f":
            torch.testing.assert_close(torch.from_numpy(changing.columns[name]), torch.from_numpy(column))
    for name, x in tensors_of(tiny).items():
        assert x.equal(before[name]), name


@pytest.mark.parametrize("manner", ["inplace", "spec"])
@pytest.mark.parametrize("kept", [0, 2**29])
def test_a_training_leaves_the_data_as_they_are(
    manner: str, kept: int, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copies(tensors_of(tiny))
    model = build_model(find_model("illmannered:build"), {"manner": manner}, tiny.spec, tiny.examples, 0)
    assert model.config == Manner(manner)
    if manner == "inplace" and not kept:  # too large to copy for `prepare`: a run refuses it
        monkeypatch.setattr(type(model), "prepare", lambda *_: None)
        monkeypatch.setattr("qamoe_bench.training.batches.KEPT_BYTES", kept)
    train(model, tiny, CLEAN if manner == "inplace" else SPECTRUM, 1, SHORT, CPU)
    for name, x in tensors_of(tiny).items():
        assert x.equal(before[name]), name
