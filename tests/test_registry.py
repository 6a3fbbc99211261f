"""Names of models, and the settings that follow them."""

import sys
from pathlib import Path

import pytest

from qamoe_bench.errors import BenchError
from qamoe_bench.registry import ModelRef, find_model, model_refs


def test_settings_follow_a_name() -> None:
    ref = find_model("qa-moe:-quality-gate,k=2,train.levels_per=batch,renormalise_gate=False,encoder=gru")
    assert ref.settings == {"quality": "none", "k": 2, "renormalise_gate": False, "encoder": "gru"}
    assert ref.training == {"levels_per": "batch"}
    assert ref.base == "qa-moe"
    assert ref.name.startswith("qa-moe:-quality-gate,k=2")
    assert find_model("qa-moe").settings == {}


def test_settings_follow_a_module_and_function() -> None:
    ref = find_model("qamoe_baselines.late_fusion:build:width=8")
    assert (ref.target, ref.settings) == ("qamoe_baselines.late_fusion:build", {"width": 8})
    assert ref.base == "qamoe_baselines.late_fusion:build:width=8"


def test_an_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="unknown variant of qa-moe '-quality'.*did you mean '-quality-gate'"):
        find_model("qa-moe:-quality")


def test_every_ablation_of_qa_moe_has_a_name() -> None:
    names = {"-quality-gate", "-fallback", "-experts", "-nll", "label-nll", "feature-nll"}
    assert names <= set(model_refs()["qa-moe"].variants())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "guestpackage"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "model.py").write_text("import json\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.startswith("guestpackage")]:
        del sys.modules[name]
    return folder


def test_variants_are_read_without_importing_and_must_be_written_out(package: Path) -> None:
    ref = ModelRef("guestpackage.model:build", "guestpackage.model:build")
    assert ref.variants() == {}
    (package / "model.py").write_text('VARIANTS: dict = {"small": {"width": 2}}\nraise RuntimeError\n', "utf-8")
    assert ref.variants() == {"small": {"width": 2}}
    (package / "model.py").write_text("VARIANTS = make()\n", encoding="utf-8")
    with pytest.raises(BenchError, match="VARIANTS in guestpackage.model to be a dictionary"):
        ref.variants()


def test_settings_of_the_evaluation_do_not_change_the_weights() -> None:
    ref = find_model("qa-moe:k=2,bfloat16")
    assert ref.evaluation == {"precision": "bfloat16"}
    assert ref.settings == {"k": 2}
    assert ref.trained_name == find_model("qa-moe:eval.precision=bfloat16,k=2").trained_name == "qa-moe:k=2"
    assert find_model("qa-moe:bfloat16").trained_name == "qa-moe"
    mine = find_model("qamoe_baselines.late_fusion:build:eval.precision=bfloat16")
    assert mine.trained_name == "qamoe_baselines.late_fusion:build"
