"""Models of the MMSA package: the same numbers as the package's own, and one line for what cannot be done.

Tests that need the package are skipped where it is not installed.
"""

import builtins
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import bench
from tinydata import make_dataset, training_batch
from torch import nn

from qamoe_bench.adapters.mmsa import MODELS, REFUSED
from qamoe_bench.contract import HasLoss
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import find_model
from qamoe_bench.store.store import Store
from qamoe_bench.training.building import build_model
from qamoe_bench.training.phases import loss_of

needs_package = pytest.mark.skipif(find_spec("MMSA") is None, reason="needs the extra [mmsa]")
every_model = pytest.mark.parametrize("name", MODELS)
SMALL = {"mult": "nlevels=1,conv1d_kernel_size_l=1,conv1d_kernel_size_a=1,conv1d_kernel_size_v=1"}
"""Settings that the model needs for sequences of four frames."""


def built(name: str, data: Dataset) -> nn.Module:
    ref = find_model(":".join(filter(None, ("mmsa", name, SMALL.get(name, "")))))
    return build_model(ref, ref.settings, data.spec, data.examples, seed=1)


def aligned(data: Dataset) -> Dataset:
    """The same data with as many frames in every modality."""
    splits = {}
    for name, split in data.splits.items():
        features = {m: x[:, :4].contiguous() for m, x in split.features.items()}
        lengths = {m: n.clamp(max=4) for m, n in split.lengths.items()}
        splits[name] = replace(split, features=features, lengths=lengths)
    return replace(data, splits=splits, digest="aligned")


@needs_package
@every_model
@pytest.mark.parametrize("change", [lambda data: data, aligned], ids=["unaligned", "aligned"])
def test_predictions_and_loss_are_those_of_the_package(
    name: str, change: Callable[[Dataset], Dataset], tiny: Dataset
) -> None:
    data = change(tiny)
    model = built(name, data).eval()
    batch = training_batch(data.splits["test"])
    inputs = dict(batch.features)
    from MMSA.config import get_config_regression

    if get_config_regression(name, "mosi").get("need_normalized"):
        for m in ("audio", "vision"):
            inputs[m] = inputs[m].mean(dim=1, keepdim=True)  # as its loader does
    with torch.no_grad():
        expected = model.inner(*inputs.values())["M"]  # type: ignore[operator]
        output = model(batch)
        torch.testing.assert_close(output.prediction, expected[:, 0])
        torch.testing.assert_close(loss_of(model, output, batch), nn.L1Loss()(expected, batch.target[:, None]))
        single = model(batch.rows(slice(0, 1))).prediction
    assert not isinstance(model, HasLoss)
    torch.testing.assert_close(single, output.prediction[:1])


@needs_package
@every_model
def test_a_step_reaches_what_the_package_trains(name: str, tiny: Dataset) -> None:
    model = built(name, tiny)
    batch = training_batch(tiny.splits["train"])
    loss_of(model, model(batch), batch).backward()  # type: ignore[no-untyped-call]
    without = {n for n, p in model.named_parameters() if p.grad is None}
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert without == frozen
    assert all("output_" in n if name == "tfn" else "fusion_networks" in n for n in frozen)
    assert bool(frozen) == (name in ("tfn", "graph_mfn"))


@needs_package
@every_model
def test_a_checkpoint_holds_all_that_determines_the_predictions(name: str, tiny: Dataset) -> None:
    ref = find_model(":".join(filter(None, ("mmsa", name, SMALL.get(name, "")))))
    models = [build_model(ref, ref.settings, tiny.spec, tiny.examples, seed).eval() for seed in (1, 2)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.inference_mode():
        first, second = (model(tiny.splits["test"].batch()).prediction for model in models)
    assert torch.equal(first, second)


@needs_package
def test_settings_and_the_other_configuration(tiny: Dataset) -> None:
    sizes: dict[str, Any] = {}
    for name in ("lmf", "lmf:rank=5", "lmf:config=mosei"):
        ref = find_model(f"mmsa:{name}")
        model = build_model(ref, ref.settings, tiny.spec, tiny.examples, 1)
        sizes[name] = model.get_submodule("inner.Model").rank
    assert sizes == {"lmf": 3, "lmf:rank=5": 5, "lmf:config=mosei": 4}
    assert find_model("mmsa:lmf").code().versions["MMSA"]


@needs_package
def test_the_output_of_tfn_reaches_a_wider_scale(tiny: Dataset) -> None:
    wide = built("tfn", replace(tiny, label_range=(-5.0, 5.0), digest="wide"))
    assert wide.get_parameter("inner.Model.output_range").item() == 10
    assert wide.get_parameter("inner.Model.output_shift").item() == -5
    assert built("tfn", tiny).get_parameter("inner.Model.output_range").item() == 6


@needs_package
def test_a_run_trains_evaluates_and_reports_one(
    write_pickle: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("run", "--protocol", "random-missing", "--data", write_pickle(), "--seeds", "1", "--executor", "local")
    done = bench((*command, "--model", "mmsa:lmf:train.epochs=6", "--model", "mean"), capsys, monkeypatch)
    assert done.code == 0, done.err
    assert "mmsa:lmf:train.epochs=6" in done.out
    assert {stored.cell.model for stored in Store(tmp_path / "results").cells()} == {"mmsa:lmf:train.epochs=6", "mean"}


REFUSALS: Mapping[str, tuple[str, str]] = {
    "unknown": ("lfm", "unknown model of MMSA 'lfm'.*did you mean 'lmf'"),
    "field of the trainer": ("lmf:learning_rate=0.1", "got 'learning_rate', which only MMSA's own trainer reads"),
    "unknown field": ("lmf:ranks=4", "unknown setting of mmsa:lmf 'ranks'.*did you mean 'rank'"),
    "wrong type": ("lmf:rank=big", "expected a whole number for 'rank', got 'big'"),
    "fraction": ("lmf:rank=2.5", "expected a whole number for 'rank', got 2.5"),
    "unknown configuration": ("lmf:config=sims", "unknown config of mmsa:lmf 'sims'.*mosei, mosi"),
    "short sequences": ("mult", "got 4 of text; set conv1d_kernel_size_l=4 after the model's name"),
}


@needs_package
@pytest.mark.parametrize("case", REFUSALS)
def test_a_wrong_name_or_setting_is_one_line(case: str, tiny: Dataset) -> None:
    name, words = REFUSALS[case]
    ref = find_model(f"mmsa:{name}")
    with pytest.raises(BenchError, match=words):
        build_model(ref, ref.settings, tiny.spec, tiny.examples, seed=1)


@needs_package
def test_the_advice_for_short_sequences_works(tiny: Dataset) -> None:
    ref = find_model("mmsa:mult:conv1d_kernel_size_l=4")
    assert build_model(ref, ref.settings, tiny.spec, tiny.examples, seed=1)


@needs_package
def test_data_without_a_modality_are_refused() -> None:
    with pytest.raises(BenchError, match="expected data with features of text, audio and vision, got text, audio"):
        built("lmf", make_dataset(("text", "audio")))


@pytest.mark.parametrize("name", REFUSED)
def test_models_with_trainers_of_their_own_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(BenchError) as raised:
        find_model(f"mmsa:{name}").builder()
    assert REFUSED[name] in str(raised.value)
    assert "choose one of lmf, tfn" in str(raised.value)


def test_without_the_package_one_line_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.partition(".")[0] == "MMSA":
            raise ModuleNotFoundError("No module named 'MMSA'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    done = bench(("run", "--protocol", "clean", "--model", "mmsa:lmf", "--results", tmp_path), capsys, monkeypatch)
    assert done.refusal() == (
        "error: model 'mmsa:lmf': expected the MMSA package, got ModuleNotFoundError: No module named 'MMSA'; run pip "
        "install 'qamoe-bench[mmsa]'"
    )
