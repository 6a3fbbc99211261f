"""Protocols whose levels are data files, from the TOML file to the report."""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Done, bench
from tinydata import FRAMES, make_dataset, mmsa_content

import qamoe_bench
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.store.store import Store

Content = dict[str, dict[str, Any]]
CPU = torch.device("cpu")
HEAD = 'schema = 1\ntitle = "Noise in files"\nsource = "A test"\ndefinition = "Audio and vision with added noise."\n'
PROTOCOL = f"""{HEAD}
[axes]
noise = [0.0, 0.1, 0.3]

[[corruption]]
kind = "files"
level = "noise"
files = {{0.1 = "noise-0.1.pkl", 0.3 = "noise-0.3.pkl"}}
modalities = ["audio", "vision"]
"""


def noisy(level: float) -> Content:
    """The tiny data with noise of this size on every frame of audio and vision, and the first frame of audio lost."""
    content = mmsa_content()
    random = np.random.default_rng(1)
    for split in content.values():
        for m in ("audio", "vision"):
            mask = np.arange(FRAMES[m]) < split[f"{m}_lengths"][:, None]
            noise = random.standard_normal(split[m].shape) * mask[..., None]
            split[m] = split[m] + level * noise.astype(np.float32)
        split["audio"][:, 0] = 0
    return content


def save(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the clean data and a protocol with two levels in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "clean.pkl", mmsa_content())
    (tmp_path / "p").mkdir()
    for level in (0.1, 0.3):
        save(tmp_path / "p" / f"noise-{level}.pkl", noisy(level))
    (tmp_path / "p" / "recorded.toml").write_text(PROTOCOL, encoding="utf-8")
    return tmp_path


def test_set() -> TestSet:
    return TestSet(open_dataset("clean.pkl"), 1, CPU)


test_set.__test__ = False  # type: ignore[attr-defined]


def test_the_frames_of_a_level_are_those_of_its_file(folder: Path) -> None:
    protocol = load_protocol("p/recorded.toml")
    test = test_set()
    assert [condition.name for condition in protocol.conditions] == ["noise=0", "noise=0.1", "noise=0.3"]
    for condition, content in zip(protocol.conditions, (mmsa_content(), noisy(0.1), noisy(0.3)), strict=True):
        for rows in (slice(None), slice(3, 7)):
            features = test.corrupted(condition, rows).batch.features
            for m in features:
                assert torch.equal(features[m], torch.tensor(content["test"][m][rows]))
    batch = qamoe_bench.corrupt(open_dataset("clean.pkl"), (protocol, "noise=0.3"), split="train")
    assert torch.equal(batch.features["vision"], torch.tensor(noisy(0.3)["train"]["vision"]))


def test_what_happened_is_measured_from_the_difference(folder: Path) -> None:
    test = test_set()
    corrupted = test.corrupted(load_protocol("p/recorded.toml").conditions[2])
    lengths = corrupted.batch.lengths["audio"]
    assert torch.equal(corrupted.missing("audio"), 1 / lengths)  # the first frame
    assert not corrupted.missing("vision").any()
    assert not corrupted.noise["text"].any()
    std = test.reference.std["vision"]
    change = (corrupted.batch.features["vision"] - test.clean.features["vision"]) / std
    frames = corrupted.batch.lengths["vision"]
    expected = (change.square().mean(2).sum(1) / frames).sqrt()
    torch.testing.assert_close(corrupted.noise["vision"], expected)
    lost = corrupted.batch.features["audio"][:, 0] - test.clean.features["audio"][:, 0]
    assert lost.any()  # but counts as lost, not as noise
    assert corrupted.noise["audio"][lengths == 1].eq(0).all()


def run(
    capsys: pytest.CaptureFixture[str],
    patch: pytest.MonkeyPatch,
    *arguments: object,
    protocol: str = "p/recorded.toml",
) -> Done:
    command = ("run", "--protocol", protocol, "--data", "clean.pkl", "--seeds", "1", "--executor", "local")
    return bench((*command, "--model", "late-fusion:train.epochs=6", *arguments), capsys, patch)


def test_a_run_evaluates_reports_and_notices_another_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(capsys, monkeypatch, "--model", "mean")
    assert done.code == 0, done.err
    (note,) = [line for line in done.err.splitlines() if "level 0.3, noise-0.3.pkl" in line and "vision" in line]
    assert note.startswith("note: protocol recorded on clean: ")
    assert "100.0% of the frames of vision differ from the clean data, 0.0% are zero" in note
    assert "Noise in files" in done.out
    shown = bench(("report", "--format", "json"), capsys, monkeypatch)
    records = json.loads(shown.out)
    assert {record["condition"] for record in records} >= {"noise=0", "noise=0.1", "noise=0.3"}
    cell = next(stored for stored in Store("results").cells() if stored.cell.model.startswith("late"))
    noise = cell.predictions.groupby("condition", observed=True)["noise_vision"].mean()
    assert noise["noise=0"] == 0
    assert 2.5 < noise["noise=0.3"] / noise["noise=0.1"] < 3.5
    assert "nothing to do" in run(capsys, monkeypatch, "--model", "mean").err
    # A file that moves is the same protocol, another content is another one.
    (folder / "q").mkdir()
    for path in (folder / "p").iterdir():
        path.rename(folder / "q" / path.name)
    before = load_protocol("q/recorded.toml").digest
    moved = run(capsys, monkeypatch, "--model", "mean", protocol="q/recorded.toml")
    assert "nothing to do" in moved.err
    save(folder / "q" / "noise-0.3.pkl", noisy(0.2))
    assert load_protocol("q/recorded.toml").digest != before


def test_protocol_show_measures_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bench(("protocol", "show", "p/recorded.toml", "--data", "clean.pkl"), capsys, monkeypatch)
    assert done.code == 0, done.err
    assert "noise-0.1.pkl" in done.out.replace("\n", "").replace(" ", "")
    assert "not possible, since its levels are files" in " ".join(done.out.split())


def front_padded(content: Content) -> Content:
    for split in content.values():
        for m in FRAMES:
            for row, length in enumerate(split[f"{m}_lengths"]):
                split[m][row] = np.roll(split[m][row], FRAMES[m] - length, axis=0)
            del split[f"{m}_lengths"]
    return content


def shuffled(content: Content) -> Content:
    for split in content.values():
        for key, value in split.items():
            split[key] = value[::-1] if isinstance(value, list) else value[::-1].copy()
    return content


def more_padding(content: Content) -> Content:
    for split in content.values():
        for m in FRAMES:
            split[m] = np.pad(split[m], ((0, 0), (0, 3), (0, 0)))
            del split[f"{m}_lengths"]
    return content


def without_text(content: Content) -> Content:
    for split in content.values():
        del split["text"], split["text_lengths"]
    return content


def in_float64(content: Content) -> Content:
    for split in content.values():
        split |= {m: split[m].astype(float) for m in FRAMES}
    return content


SAME: Mapping[str, Callable[[Content], Content]] = {
    "as it is": lambda content: content,
    "padded at the front": front_padded,
    "in another order": shuffled,
    "with more padding": more_padding,
    "without the other modality": without_text,
    "samples in other splits": lambda content: dict(zip(content, reversed(content.values()), strict=True)),
    "float64": in_float64,
}


@pytest.mark.parametrize("case", SAME)
def test_layouts_do_not_matter(case: str, folder: Path) -> None:
    save(folder / "p" / "noise-0.3.pkl", SAME[case](noisy(0.3)))
    features = test_set().corrupted(load_protocol("p/recorded.toml").conditions[2]).batch.features
    for m in ("audio", "vision"):
        assert torch.equal(features[m], torch.tensor(noisy(0.3)["test"][m]))


def test_a_converted_folder_is_a_level_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bench(("data", "convert", "p/noise-0.3.pkl", "p/noise-0.3"), capsys, monkeypatch)
    assert done.code == 0, done.err
    text = PROTOCOL.replace('"noise-0.3.pkl"', '"noise-0.3"')
    (folder / "p" / "recorded.toml").write_text(text, encoding="utf-8")
    features = test_set().corrupted(load_protocol("p/recorded.toml").conditions[2]).batch.features
    assert torch.equal(features["vision"], torch.tensor(noisy(0.3)["test"]["vision"]))


def test_lost_ends_do_not_shorten_or_move_a_sample(folder: Path) -> None:
    content = mmsa_content()
    for split in content.values():
        for row, length in enumerate(split["audio_lengths"]):
            split["audio"][row, : length // 2] = 0  # half of each sample from its start
            split["vision"][row] *= row % 2  # every second sample in full
        del split["audio_lengths"], split["vision_lengths"]
    save(folder / "p" / "noise-0.1.pkl", content)
    test = test_set()
    corrupted = test.corrupted(load_protocol("p/recorded.toml").conditions[1])
    assert torch.equal(corrupted.batch.features["audio"], torch.tensor(content["test"]["audio"]))
    lengths = test.clean.lengths["audio"]
    assert torch.equal(corrupted.batch.lengths["audio"], lengths)
    assert torch.equal(corrupted.erased["audio"].sum(1), lengths // 2)
    assert torch.equal(corrupted.missing("vision"), torch.tensor([1.0, 0.0] * 10))
    assert not corrupted.noise["audio"].any()


def test_other_corruptions_may_follow(folder: Path) -> None:
    text = PROTOCOL + '\n[[corruption]]\nkind = "modality-missing"\nrate = 0.5\nkeep_one = false\n'
    (folder / "p" / "recorded.toml").write_text(text, encoding="utf-8")
    test = test_set()
    condition = load_protocol("p/recorded.toml").conditions[2]
    corrupted = test.corrupted(condition)
    gone = corrupted.missing("vision") == 1
    assert 0 < gone.sum() < 20
    expected = torch.tensor(noisy(0.3)["test"]["vision"])
    assert torch.equal(corrupted.batch.features["vision"][~gone], expected[~gone])
    assert not corrupted.batch.features["vision"][gone].any()


def test_points_and_one_level_per_modality(folder: Path) -> None:
    text = f"""{HEAD}
[points.babble]
a = 0.1
[points.dark]
v = 0.3
[[corruption]]
kind = "files"
level = {{audio = "a", vision = "v"}}
files = {{"0.1" = "noise-0.1.pkl", "0.30" = "noise-0.3.pkl"}}
"""
    (folder / "p" / "points.toml").write_text(text, encoding="utf-8")
    babble, dark = load_protocol("p/points.toml").conditions
    test = test_set()
    assert torch.equal(test.corrupted(babble).batch.features["vision"], test.clean.features["vision"])
    assert torch.equal(test.corrupted(babble).batch.features["audio"], torch.tensor(noisy(0.1)["test"]["audio"]))
    assert torch.equal(test.corrupted(dark).batch.features["vision"], torch.tensor(noisy(0.3)["test"]["vision"]))


def changed(change: Callable[[dict[str, Any]], object], split: str = "test") -> Content:
    content = noisy(0.3)
    change(content[split])
    return content


def drop_last(split: dict[str, Any]) -> None:
    for key, value in split.items():
        split[key] = value[:-1]


def set_to(key: str, value: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
    return lambda split: split.update({key: value(split[key])})


def relabelled(labels: Any) -> Any:
    labels = labels.copy()
    labels[4] = -labels[4] or 1
    return labels


def lengthened(content: Content) -> Content:
    for split in content.values():
        split["audio"][:, -1] = 1
        split["audio_lengths"][:] = FRAMES["audio"]
    return content


WRONG_FILES: Mapping[str, tuple[Callable[[], object], str]] = {
    "a sample is missing": (
        lambda: changed(drop_last),
        "expected all 20 test samples of 'clean', got 19 of them without 'test19'; add them",
    ),
    "other ids": (
        lambda: changed(set_to("id", lambda ids: [f"x{i}" for i in ids])),
        "expected all 20 test samples of 'clean', got 0 of them without 'test0'",
    ),
    "no ids": (lambda: changed(lambda split: split.pop("id")), "expected all 20 test samples"),
    "other labels": (
        lambda: changed(set_to("regression_labels", relabelled)),
        r"expected the labels of the clean data, got .* for 'test4' instead of .* \(1 such in all\)",
    ),
    "another width": (
        lambda: {n: {**s, "audio": s["audio"][..., :2]} for n, s in noisy(0.3).items()},
        "expected a width of 3 for audio, as in the clean data, got 2",
    ),
    "more frames": (
        lambda: lengthened(noisy(0.3)),
        r"expected \d frames of audio in 'test\d+', as in the clean data, and zeros elsewhere",
    ),
    "fewer frames": (
        lambda: {
            n: {**s, "audio": s["audio"][:, :2], "audio_lengths": s["audio_lengths"].clip(max=2)}
            for n, s in noisy(0.3).items()
        },
        r"expected \d frames of audio in 'test\d+', as in the clean data, and zeros elsewhere",
    ),
    "no audio": (
        lambda: {n: {k: v for k, v in s.items() if not k.startswith("audio")} for n, s in noisy(0.3).items()},
        "expected audio, which the protocol takes from it, got text, vision; leave it out with 'modalities'",
    ),
    "one split": (lambda: {"test": noisy(0.3)["test"]}, "expected a split 'train'"),
    "no data": (lambda: [1, 2, 3], "noise-0.3.pkl"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_of_other_samples_is_refused_before_any_training(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, words = WRONG_FILES[case]
    save(folder / "p" / "noise-0.3.pkl", content())
    done = run(capsys, monkeypatch)
    assert "noise-0.3.pkl" in done.refusal()
    with pytest.raises(BenchError, match=words):
        test_set().corrupted(load_protocol("p/recorded.toml").conditions[2])
    assert not (folder / "results").exists()


WRONG_TABLES: Mapping[str, tuple[str, str, str]] = {
    "missing file": (
        "noise-0.1.pkl", "noise-0.11.pkl", "file of level 0.1: expected a data file, got .*No such file.*relative to",
    ),
    "no file of a level": (', 0.3 = "noise-0.3.pkl"', "", "expected a file for level 0.3 in 'files', got none; add it"),
    "a file of no level": ("0.3]", "0.2]", "expected a file for level 0.2|expected files of the protocol's levels"),
    "one too many": ("[0.0, 0.1, 0.3]", "[0.0, 0.1]", "expected files of the protocol's levels, got one for 0.3; add"),
    "a file of level 0": ("{0.1", '{"0.0" = "noise-0.1.pkl", 0.1', "for 0; remove it, since 0 is the clean data"),
    "no number": ("{0.1", '{loud = "noise-0.1.pkl", 0.1', "expected levels as keys of 'files', got 'loud'"),
    "no path": ('"noise-0.1.pkl"', "1", "expected the path of a data file for level 0.1, got 1"),
    "no files": ("files =", "file =", "unknown key 'file'.*did you mean 'files'"),
    "no table": (
        'files = {0.1 = "noise-0.1.pkl", 0.3 = "noise-0.3.pkl"}', 'files = "a.pkl"', "expected the file of each level",
    ),
    "twice": ("{0.1", '{"0.10" = "noise-0.1.pkl", 0.1', "expected one file for level 0.1, got two; remove one"),
    "an option": ("modalities", "keep_ends = true\nmodalities", "unknown key 'keep_ends'"),
    "negative": ("0.3 =", "-0.3 =", "expected a file for level 0.3"),
    "training": ("[axes]", "[training]\nuntouched = 0.5\n[axes]", "expected 'protocol', since levels that are files"),
    "not first": (
        "[[corruption]]",
        '[[corruption]]\nkind = "modality-missing"\nrate = 0.5\n\n[[corruption]]',
        "expected 'files' once and as the first corruption",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_a_wrong_table_is_refused(case: str, folder: Path) -> None:
    old, new, words = WRONG_TABLES[case]
    assert old in PROTOCOL
    path = folder / "p" / "recorded.toml"
    path.write_text(PROTOCOL.replace(old, new), encoding="utf-8")
    with pytest.raises(BenchError, match=words) as raised:
        load_protocol(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("regime", ["sweep", "matched"])
def test_regimes_that_corrupt_training_samples_are_refused_and_the_advice_works(
    regime: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = run(capsys, monkeypatch, "--regime", regime).refusal()
    assert "since its levels are files, got " + repr(regime) in line
    assert "use --regime clean or spectrum" in line
    assert run(capsys, monkeypatch, "--regime", "clean").code == 0
    if regime == "sweep":
        assert "name another protocol in its [training]" in line
        path = folder / "p" / "recorded.toml"
        path.write_text(PROTOCOL + '\n[training]\nprotocol = "quality-degradation"\n', encoding="utf-8")
        assert run(capsys, monkeypatch, "--regime", "sweep").code == 0


def test_a_file_that_changes_during_a_run_is_named(folder: Path) -> None:
    protocol = load_protocol("p/recorded.toml")
    save(folder / "p" / "noise-0.3.pkl", noisy(0.7))
    with pytest.raises(BenchError, match="expected the content that the run was planned with, got another one"):
        test_set().corrupted(protocol.conditions[2])


def test_other_scales_are_read_as_the_clean_data(folder: Path) -> None:
    for path in (folder / "clean.pkl", *(folder / "p").glob("*.pkl")):
        content = pickle.loads(path.read_bytes())
        for split in content.values():
            split["regression_labels"] = split["regression_labels"] + 4
        save(path, content)
    data = qamoe_bench.load_data("clean.pkl", label_range=(1, 7))
    assert isinstance(data, Dataset)
    test = TestSet(data, 1, CPU)
    features = test.corrupted(load_protocol("p/recorded.toml").conditions[2]).batch.features
    assert torch.equal(features["vision"], torch.tensor(noisy(0.3)["test"]["vision"]))


def test_token_ids_are_refused() -> None:
    from qamoe_bench.run.planner import check_tokens

    data = make_dataset()
    tokens = Dataset("tokens", data.splits, "tokens", token_ids={"audio": 1})
    protocol = qamoe_bench.Protocol(
        "p", "t", "s", "d", {"noise": (0.0, 0.1)}, {}, ({"kind": "files", "levels": {"audio": "noise"}, "options": {}},)
    )
    with pytest.raises(BenchError, match="'files' computes with features"):
        check_tokens(protocol, tokens)
