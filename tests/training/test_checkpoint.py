"""Files of weights: what their numbers may be."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from qamoe_bench.training.checkpoint import DamagedCheckpoint, load_weights, save_weights


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool])
def test_whole_numbers_are_not_taken_as_weights(tmp_path: Path, kind: torch.dtype) -> None:
    model = nn.Linear(3, 2)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    path = tmp_path / "cast.safetensors"
    save_file({name: x.to(kind) for name, x in before.items()}, path)
    with pytest.raises(DamagedCheckpoint, match=r"(weight|bias) is of type (int8|int64|bool) instead of float32"):
        load_weights(model, path, named=False)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_counts_of_a_model_stay_whole_numbers(tmp_path: Path) -> None:
    model = nn.BatchNorm1d(3)
    path = tmp_path / "a.safetensors"
    save_weights(model, {}, path)
    load_weights(model, path)
    save_file({name: x.double() for name, x in model.state_dict().items()}, path)
    with pytest.raises(DamagedCheckpoint, match="num_batches_tracked is of type float64 instead of int64"):
        load_weights(model, path, named=False)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_weights_of_another_precision_are_converted(tmp_path: Path, kind: torch.dtype) -> None:
    model = nn.Linear(3, 2)
    path = tmp_path / "other.safetensors"
    save_file({name: x.detach().to(kind) for name, x in model.state_dict().items()}, path)
    expected = model.weight.detach().to(kind).float()
    load_weights(model, path, named=False)
    assert torch.equal(model.weight, expected)
