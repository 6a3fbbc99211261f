"""Exported samples are those that models get in a sweep, to the bit, and a program without this package reads them."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from process import bench, refused
from tinydata import make_dataset, mmsa_content
from torch import nn

import qamoe_bench
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.exchange.export import export_samples
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.registry import find_model
from qamoe_bench.training.building import build_model
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import SPECTRUM
from qamoe_bench.training.loop import train

CPU = torch.device("cpu")
# One of each family: whole modalities, frames, added noise, both, moved frames, replaced values, published ones.
FAMILIES = (
    "random-missing", "frame-missing", "quality-degradation", "utterance-noise", "temporal-shift", "salt-and-pepper",
    "lnln-missing", "imder-missing", "mplmm-missing", "msa-robustness", "token-substitution",
)  # fmt: skip
# The loader as another program runs it: from the folder, where this package cannot be imported.
READ = """
import sys; sys.modules["qamoe_bench"] = None; sys.modules["torch"] = None
sys.path.insert(0, sys.argv[1])
import load, pickle
print(load.__file__)
with open(sys.argv[2], "wb") as file:
    pickle.dump(list(load.cases(sys.argv[1])), file)
"""


def reduced(name: str) -> Any:
    """A protocol with at most three conditions, the last of which is the worst, so that tests are short."""
    protocol = load_protocol(name)
    axes = {axis: (levels[0], levels[len(levels) // 2], levels[-1]) for axis, levels in protocol.axes.items()}
    points = dict(list(protocol.points.items())[-3:])
    return replace(protocol, axes={axis: tuple(dict.fromkeys(levels)) for axis, levels in axes.items()}, points=points)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "tiny.pkl"
    path.write_bytes(pickle.dumps(mmsa_content()))
    return path


@pytest.fixture(scope="module")
def data(source: Path) -> Dataset:
    return qamoe_bench.load_data(source)


@pytest.fixture(scope="module", params=["sam-lml", "late-fusion"])
def model(request: pytest.FixtureRequest, data: Dataset) -> tuple[str, nn.Module]:
    """A trained model: one that takes whole batches, and one whose encodings a sweep reuses."""
    module = build_model(find_model(request.param), {}, data.spec, data.examples, 1)
    config = TrainConfig(epochs=3, selection_window=1, validation_samples=12)
    train(module, data, SPECTRUM, 1, config, CPU, lambda: None)
    return request.param, module.eval()


def read(folder: Path, tmp_path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The cases of an export, as its own loader gives them in a process without this package."""
    result = tmp_path / "cases.pkl"
    command = [sys.executable, "-I", "-W", "error", "-c", READ, str(folder), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "load.py")
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = pickle.loads(result.read_bytes())
    return cases


@pytest.mark.parametrize("name", FAMILIES)
def test_predictions_of_files_that_are_read_back_are_those_of_the_sweep(
    name: str, model: tuple[str, nn.Module], data: Dataset, tmp_path: Path
) -> None:
    protocol = reduced(name)
    manifest = export_samples(tmp_path / "out", protocol, data, (1, 2), layout="mmsa")
    model_name, module = model
    for seed in (1, 2):
        test = TestSet(data, seed, CPU)
        # Reused encodings are computed in other batches, so they may differ in the last bits.
        whole = sweep_model(module, test, protocol, encode_once=False, permutations=0).columns["prediction"]
        swept = sweep_model(module, test, protocol, permutations=0).columns["prediction"]
        cases = [case for case in manifest["cases"] if case["seed"] == seed]
        parts = []
        for case in cases:
            exported = qamoe_bench.load_data(tmp_path / "out" / case["file"])
            assert not [note for note in exported.notes if "Not read" in note or "cut" in note]
            rebuilt = build_model(find_model(model_name), {}, exported.spec, exported.examples, 9)
            rebuilt.load_state_dict(module.state_dict())
            clean = sweep_model(rebuilt.eval(), TestSet(exported, 5, CPU), load_protocol("clean"), permutations=0)
            parts.append(clean.columns["prediction"])
        read_back = np.concatenate(parts)
        assert np.array_equal(read_back, whole)
        assert np.array_equal(read_back, swept) or model_name == "late-fusion"
        np.testing.assert_allclose(read_back, swept, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["mmsa", "npz"])
def test_a_program_without_this_package_reads_the_samples_of_every_case(
    layout: str, data: Dataset, tmp_path: Path
) -> None:
    protocol = replace(reduced("mixed"), draws=2)
    export_samples(tmp_path / "out", protocol, data, (3,), layout=layout)
    test = TestSet(data, 3, CPU)
    cases = read(tmp_path / "out", tmp_path)
    expected = [(draw, condition) for draw in range(2) for condition in protocol.conditions]
    assert len(cases) == len(expected) == 18
    for (case, samples), (draw, condition) in zip(cases, expected, strict=True):
        assert (case["seed"], case["draw"], case["condition"]) == (3, draw, condition.name)
        assert protocol.digest.startswith(case["protocol_digest"])
        assert data.digest.startswith(case["data_digest"])
        corrupted = test.corrupted(condition, draw=draw).batch
        assert tuple(samples["id"]) == test.ids
        assert np.array_equal(samples["regression_labels"], test.target)
        for m in corrupted.modalities:
            assert samples[m].dtype == np.float32
            assert samples[m].tobytes() == corrupted.features[m].numpy().tobytes()
            assert np.array_equal(samples[f"{m}_lengths"], corrupted.lengths[m])


def describable(name: str) -> bool:
    effects = [CORRUPTION_KINDS[step["kind"]].effects for step in load_protocol(name).corruptions]
    return all(part <= {"erases", "adds"} for part in effects)


@pytest.mark.parametrize("name", [name for name in protocol_names() if describable(name)])
def test_masks_and_noise_corrupt_clean_features_as_the_protocol_does(
    name: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = reduced(name)
    export_samples(tmp_path / "out", protocol, data, (4,), layout="masks")
    monkeypatch.syspath_prepend(tmp_path / "out")
    monkeypatch.delitem(sys.modules, "load", raising=False)
    import load  # type: ignore[import-not-found]

    test = TestSet(data, 4, CPU)
    conditions = protocol.conditions * protocol.draws
    for (case, masks), condition in zip(load.cases(), conditions, strict=True):
        corrupted = test.corrupted(condition, draw=case["draw"])
        assert tuple(masks["id"]) == test.ids
        for m in test.clean.modalities:
            made = load.corrupted(test.clean.features[m].numpy(), masks, m)
            expected = corrupted.batch.features[m].numpy()
            if corrupted.noise[m].any():  # the multiplication and the addition are rounded once or twice
                np.testing.assert_allclose(made, expected, rtol=0, atol=1e-6)
            else:
                assert made.tobytes() == expected.tobytes()
            assert np.array_equal((made == 0).all(2), (expected == 0).all(2))
    monkeypatch.delitem(sys.modules, "load")


@pytest.mark.parametrize("name", [name for name in protocol_names() if not describable(name)])
def test_masks_of_corruptions_that_are_more_than_that_are_refused(name: str, tmp_path: Path) -> None:
    done = bench("export", "--protocol", name, "--output", "out", "--as", "masks", "--seeds", "1", cwd=tmp_path)
    assert "use --as npz" in refused_after_reading(done)
    assert not list(tmp_path.iterdir())


def refused_after_reading(done: subprocess.CompletedProcess[str]) -> str:
    """The error line of a refused export; `reading ...` comes before it."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("reading ")]
    return refused(subprocess.CompletedProcess(done.args, done.returncode, done.stdout, "\n".join(lines)))


def test_masks_take_a_bit_per_frame(tmp_path: Path) -> None:
    manifest = export_samples(tmp_path / "out", "random-missing", "synthetic", layout="masks")
    assert len(manifest["cases"]) == 24
    assert sum(file["bytes"] for file in manifest["files"].values()) < 500_000


def test_the_manifest_states_what_was_written_and_what_it_did(data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    manifest = export_samples(folder, "random-missing", data, (1, 2, 1), layout="npz")
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8")) == manifest
    assert sorted([*manifest["files"], "manifest.json"]) == sorted(path.name for path in folder.iterdir())
    for name, about in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (about["bytes"], about["sha256"])
    protocol = load_protocol("random-missing")
    assert manifest["seeds"] == [1, 2]  # a repeated one once
    assert manifest["protocol"]["digest"] == protocol.digest
    assert manifest["data"]["digest"] == data.digest
    assert [c["name"] for c in manifest["conditions"]] == [c.name for c in protocol.conditions]
    for case in manifest["cases"]:
        condition = next(c for c in protocol.conditions if c.name == case["condition"])
        corrupted = TestSet(data, case["seed"], CPU).corrupted(condition)
        for m in data.spec.modalities:
            assert case["missing"][m] == pytest.approx(float(corrupted.missing(m).mean()))


def test_the_same_export_is_the_same_bytes(data: Dataset, tmp_path: Path) -> None:
    for layout in ("mmsa", "npz", "masks"):
        first = export_samples(tmp_path / f"{layout}-1", "mixed", data, (1,), layout=layout)
        second = export_samples(tmp_path / f"{layout}-2", "mixed", data, (1,), layout=layout)
        assert first["files"] == second["files"]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_other_splits_are_corrupted_as_corrupt_does(split: str, data: Dataset, tmp_path: Path) -> None:
    manifest = export_samples(tmp_path / "out", "random-missing", data, (1,), split, "npz")
    assert "facts.npz" not in manifest["files"]  # predictions of them cannot be imported
    for case in manifest["cases"]:
        batch = qamoe_bench.corrupt(data, ("random-missing", case["condition"]), split, seed=1)
        with np.load(tmp_path / "out" / case["file"]) as archive:
            assert np.array_equal(archive["text"], batch.features["text"])


def with_texts(content: dict[str, dict[str, Any]]) -> None:
    for part in content.values():
        count = len(part["id"])
        part["raw_text"] = [f"secret {i}" for i in range(count)]
        part["text_bert"] = np.ones((count, 3, 4), np.float32)


def test_texts_and_token_ids_of_corrupted_samples_are_left_out(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    data = qamoe_bench.load_data(write_pickle(with_texts))
    manifest = export_samples(tmp_path / "out", "random-missing", data, (1,))
    clean, *others = manifest["cases"]
    for case in (clean, *others):
        content = pickle.loads((tmp_path / "out" / case["file"]).read_bytes())
        assert "text_bert" in content["train"]
        assert content["train"]["raw_text"][0] == "secret 0"
        assert (content["test"]["raw_text"][0] == "secret 0") == (case is clean)
        assert ("text_bert" in content["test"]) == (case is clean)


def test_labels_of_another_scale_are_read_back_with_the_option_that_is_named(
    write_pickle: Callable[..., Path], tmp_path: Path
) -> None:
    def rescale(content: dict[str, dict[str, Any]]) -> None:
        for part in content.values():
            part["regression_labels"] = (part["regression_labels"] + 3) * 4 / 6 + 1  # from 1 to 5

    path = write_pickle(rescale)
    done = bench(
        "export", "--protocol", "clean", "--data", str(path), "--label-range", "1", "5", "--output", "out", cwd=tmp_path
    )
    assert "to read these files as data, add --label-range -2 2" in done.stderr
    original = qamoe_bench.load_data(path, label_range=(1, 5))
    (file,) = {path.name for path in (tmp_path / "out").glob("1111*.pkl")}
    exported = qamoe_bench.load_data(tmp_path / "out" / file, label_range=(-2, 2))
    assert exported.label_range == original.label_range
    assert torch.equal(exported.splits["test"].target, original.splits["test"].target)


def test_features_in_half_precision_and_unequal_lengths_are_read_back_alike(tmp_path: Path) -> None:
    tiny = make_dataset()
    halved = {}
    for name, split in tiny.splits.items():
        halved[name] = replace(split, features={m: x.half() for m, x in split.features.items()})
    data = replace(tiny, splits=halved)
    manifest = export_samples(tmp_path / "out", "clean", data, (1,))
    exported = qamoe_bench.load_data(tmp_path / "out" / manifest["cases"][0]["file"])
    for m in data.spec.modalities:
        assert torch.equal(exported.spec.feature_std[m], data.spec.feature_std[m])
        assert torch.equal(exported.splits["test"].features[m], data.splits["test"].features[m].float())
        assert exported.splits["train"].features[m].dtype == torch.float16


REFUSED = (
    (("--protocol", "random-mising"), "did you mean 'random-missing'"),
    (("--split", "tset"), "did you mean 'test'"),
    (("--as", "pickle"), "expected one of masks, mmsa, npz"),
    (("--data", "none.pkl"), "no such file"),
    (("--seeds", "1,x"), "expected whole numbers with commas between"),
    (("--output", "full"), "expected a new or empty folder, got an existing one"),
    (("--output", "full/file"), "expected a new or empty folder, got an existing one"),
    (("--output", "full/file/below"), "cannot write full/file/below"),
)


@pytest.mark.parametrize(("changed", "words"), REFUSED, ids=lambda value: " ".join(value) if value[0] == "-" else "")
def test_mistakes_are_one_line_and_leave_nothing(changed: tuple[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine", encoding="utf-8")
    options = {"--protocol": "random-missing", "--output": "out", "--data": "synthetic"} | dict([changed])
    arguments = [part for option in options.items() for part in option]
    done = bench("export", *arguments, cwd=tmp_path)
    assert words in refused_after_reading(done)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "file"]


def test_a_failure_in_the_middle_leaves_no_folder(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def fail(_: int) -> None:
        written.append(1)
        if len(written) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_samples(tmp_path / "out", "random-missing", data, tick=fail)
    assert not list(tmp_path.iterdir())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(BenchError, match=r"GB of free space for 24 cases.*--as npz, fewer seeds"):
        export_samples(tmp_path / "out", "random-missing", data)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = bench("export", "--protocol", "clean", "--output", "out", cwd=tmp_path, file_limit=100_000)
    assert "cannot write out" in refused_after_reading(done)
    assert not list(tmp_path.iterdir())


def test_token_ids_of_a_language_model_are_refused(tmp_path: Path) -> None:
    data = replace(make_dataset(), token_ids={"text": 100})
    with pytest.raises(BenchError, match="token ids of a language model"):
        export_samples(tmp_path / "out", "random-missing", data)
