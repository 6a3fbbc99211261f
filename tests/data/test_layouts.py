"""Layouts of other repositories are read as the same samples in MMSA's layout; nothing disappears without a word."""

import bz2
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commandline import Done, bench
from dataformats import dump, read_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, plain

from qamoe_bench.data.memory import available_bytes
from qamoe_bench.errors import BenchError
from qamoe_bench.store.store import Store

Bench = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_inspected_converted_and_run_as_the_same_data_in_mmsas(
    name: str, run: Bench, tmp_path: Path
) -> None:
    path, same = LAYOUTS[name](tmp_path)
    expected = read_dataset(same).digest  # of samples, labels, names and lengths
    assert json.loads(run("data", "inspect", path, "--json").out)["digest"] == expected
    assert run("data", "convert", path, tmp_path / "converted").code == 0
    assert read_dataset(tmp_path / "converted").digest == expected
    got = predictions(run, path, tmp_path / "of-layout")
    pd.testing.assert_frame_equal(got, predictions(run, same, tmp_path / "of-same"), check_exact=True)


def predictions(run: Bench, data: Path, results: Path) -> pd.DataFrame:
    """What a model predicts after one epoch, with intact samples."""
    model = "late-fusion:train.epochs=1,train.selection_window=1"
    options = ("--regime", "clean", "--seeds", "1", "--jobs", "1", "--results", results)
    done = run("run", "--protocol", "clean", "--model", model, "--data", data, *options)
    assert done.code == 0, done.err
    (cell,) = Store(results).cells()
    return cell.predictions


NOTES = {
    "mmsa_fet": [
        "Not read, since it is no split: 'config'.",
        "Not read: 'align', 'annotations', 'regression_labels_T'.",
    ],
    "data_pre": ["audio: 14 stored lengths exceed the 6 frames and were cut."],
    "with_emotions": ["Not read: 'emotion_labels'."],
    "with_a_fourth_split": ["Not read, since it is no split: 'train_mix'."],
    "other_names": ["text: read from 'language'.", "vision: read from 'visual'."],
    "factorized": ["text: read from 'text_eb', since 'text' holds word ids and no features."],
    "misa": ["Files not read: 'embedding_and_mapping.pkl'.", "Not read: word ids and other columns of ids"],
    "unimse": ["labels: of 7 columns the first, sentiment, was taken;"],
    "file_per_modality": ["audio: read from audio.pkl, joined by id; 3 samples lack it."],
}


@pytest.mark.parametrize("name", NOTES)
def test_what_a_reader_decided_or_left_out_is_said(name: str, tmp_path: Path) -> None:
    notes = read_dataset(LAYOUTS[name](tmp_path)[0]).notes
    for expected in NOTES[name]:
        assert any(note.startswith(expected) for note in notes), notes


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.text(min_size=1, max_size=12) | st.sampled_from(["visual", "Video", "facet", "pose", "label", "text_bert"]),
    axes=st.integers(0, 3),
    instead=st.sampled_from(["", "text", "audio", "vision", "id", "raw_text", "regression_labels", "audio_lengths"]),
    numeric=st.booleans(),
)
def test_every_array_is_read_or_named_or_the_file_is_refused(
    key: str, axes: int, instead: str, numeric: bool, tmp_path: Path
) -> None:
    content = plain()
    for part in content.values():
        part.pop(instead, None)
        count = len(part["id"]) if "id" in part else len(part["audio"])
        shape = (count, 3, 2)[:axes]
        part[key] = np.full(shape, 0.75, np.float32) if numeric else np.full(shape, "x")
    path = dump(tmp_path / "any.pkl", content)
    try:
        data = read_dataset(path)
    except BenchError:
        assert str(path) in refusal(path)
        return
    said = " ".join(data.notes)
    was_read = key in plain()["train"] or any(
        (m.features[name] == 0.75).all() for m in data.splits.values() for name in m.features
    )
    was_left_out = key.lower() == "text_bert" and "text_bert: left out" in said
    assert was_read or was_left_out or repr(key)[:40] in said, (key, data.notes)


# Refusals, and what they advise.


def refusal(path: Path) -> str:
    with pytest.raises(BenchError) as caught:
        read_dataset(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_array_that_could_be_the_missing_modality_is_refused(tmp_path: Path) -> None:
    content = plain()
    for part in content.values():
        part["pose"] = part.pop("vision")
    assert "rename it to 'vision' if it is that, otherwise remove it" in refusal(dump(tmp_path / "a.pkl", content))
    for part in content.values():
        part["vision"] = part.pop("pose")
    assert read_dataset(dump(tmp_path / "b.pkl", content)).splits["test"].modalities == ("text", "audio", "vision")


def test_two_candidates_are_refused_by_name_and_one_of_them_is_enough(tmp_path: Path) -> None:
    content = plain()
    for part in content.values():
        part["covarep"] = part.pop("audio")
        part["acoustic"] = part["covarep"] * 2
    assert "rename the one that is meant to 'audio', or remove the other" in refusal(dump(tmp_path / "a.pkl", content))
    for part in content.values():
        part["audio"] = part.pop("covarep")
    data = read_dataset(dump(tmp_path / "b.pkl", content))
    assert "Not read: 'acoustic'." in data.notes
    assert data.digest == read_dataset(dump(tmp_path / "c.pkl", plain())).digest


@pytest.mark.parametrize("shape", ["[N, T]", "[N, T, 1]", "[N, 3, T]"])
def test_word_ids_are_no_features_and_removing_them_helps(shape: str, tmp_path: Path) -> None:
    content = plain()
    for part in content.values():
        count = len(part["id"])
        ids = np.arange(count * 8) % 3000 + 500
        axes = {"[N, T]": (count, 8), "[N, T, 1]": (count, 8, 1), "[N, 3, T]": (count, 8)}[shape]
        part["text"] = ids.reshape(axes)
        if shape == "[N, 3, T]":
            part["text"] = np.repeat(part["text"][:, None] + 900, 3, axis=1).astype(np.float32)
        del part["text_lengths"]
    assert "which look like word or token ids; remove 'text' from the file" in refusal(
        dump(tmp_path / "a.pkl", content)
    )
    for part in content.values():
        del part["text"]
    assert read_dataset(dump(tmp_path / "b.pkl", content)).splits["test"].modalities == ("audio", "vision")


def test_a_file_of_one_split_or_one_modality_says_how_to_join_it(tmp_path: Path) -> None:
    alone = {name: {"audio": part["audio"], "id": part["id"]} for name, part in plain().items()}
    for part in alone.values():
        part["audio"] = part["audio"] * 2
    assert "put it into a folder with the file that has the labels" in refusal(dump(tmp_path / "audio.pkl", alone))
    split = LAYOUTS["misa"](tmp_path)[0] / "train.pkl"
    assert "train.pkl, valid.pkl and test.pkl into a folder" in refusal(split)
    joined = tmp_path / "joined"
    joined.mkdir()
    dump(joined / "base.pkl", plain())
    dump(joined / "audio.pkl", alone)
    data = read_dataset(joined)
    assert "audio: not read from base.pkl, because audio.pkl has it too." in data.notes
    expected = plain()["test"]["audio"] * 2
    np.testing.assert_array_equal(data.splits["test"].features["audio"].numpy(), expected)
    (joined / "audio.pkl").rename(joined / "other.pkl")
    assert "name the one that is meant audio.pkl" in refusal(joined)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ((np.zeros((62, 63, 73)), np.zeros((62, 63)), *[np.zeros((31, 63, 73))] * 4, [1]), "bc-LSTM"),
        ((np.zeros((5, 50, 4)), np.zeros((2, 50, 4)), np.zeros((2, 50, 4))), "Cross-Modal-BERT"),
        ([{"v": ["v_1"]}, {"v": [0.5]}, {"v": [""]}, {"v": ["it"]}, {"v"}, {"w"}, {"x"}], "give the folder"),
        ({"1": {"punchline_features": 1, "context_features": 2}}, "UR-FUNNY"),
    ],
)
def test_layouts_that_hold_no_data_set_are_named(content: object, said: str, tmp_path: Path) -> None:
    assert said in refusal(dump(tmp_path / "x.pkl", content))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"<!DOCTYPE html><html>", "got a web page; download the file itself"),
        (b"\n <html>", "got a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive; unpack it"),
        (b"", "an empty file"),
        (b"\0" * 600, "starts with zeros"),
        (b"\x1f\x8b broken", "got a damaged one"),
        (b"PK\x03\x04 broken", "got a damaged one"),
    ],
)
def test_what_is_no_data_file_is_named(start: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "mosi.pkl").write_bytes(start)
    assert said in refusal(tmp_path / "mosi.pkl")


def test_compressed_bombs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(bz2.compress(b"\0" * 50_000_000))
    assert "grows to more than 200 times" in refusal(tmp_path / "bomb.pkl")


def test_ids_of_any_type_name_their_samples(tmp_path: Path) -> None:
    def names(make: Callable[[int], object]) -> tuple[str, ...]:
        content = plain()
        for part in content.values():
            part["id"] = make(len(part["audio"]))
        return read_dataset(dump(tmp_path / "ids.pkl", content)).splits["test"].ids[:2]

    assert names(lambda n: np.arange(n) + 0.0) == ("0", "1")
    assert names(lambda n: [7, *range(n - 1)]) == ("7", "0")
    assert names(lambda n: [None] * n) == ("0", "1")
    assert names(lambda n: ["same"] * n) == ("same", "same#2")
    assert names(lambda n: np.array([[f"v{i}".encode(), b"0.5"] for i in range(n)])) == ("v0$_$0.5", "v1$_$0.5")
    assert names(lambda n: np.array([["v", i + 0.5] for i in range(n)], object)) == ("v$_$0.5", "v$_$1.5")
    records = [("video", "U8"), ("clip", "i4")]
    assert names(lambda n: np.array([(f"v{i}", i) for i in range(n)], records)) == ("v0$_$0", "v1$_$1")
    assert names(lambda n: [(f"v{i} ", True) for i in range(n)]) == ("v0$_$True", "v1$_$True")


def test_files_of_torch_hold_tensors_only(tmp_path: Path) -> None:
    import torch

    torch.save(plain(), tmp_path / "arrays.pt")
    assert "nothing was executed; save the same dict with pickle" in refusal(tmp_path / "arrays.pt")
    content = {name: {"text": torch.zeros(1).expand(10**9)} for name in plain()}
    torch.save(content, tmp_path / "bomb.pt")
    assert "ordinary tensors" in refusal(tmp_path / "bomb.pt")
    assert pickle.loads(dump(tmp_path / "good.pkl", plain()).read_bytes())  # the advice


def test_a_file_that_does_not_fit_is_refused_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dump(tmp_path / "large.pkl", plain())
    assert available_bytes() is not None  # on Linux, where tests run
    monkeypatch.setattr("qamoe_bench.data.memory._SMALL_BYTES", 0)
    read_dataset(path)
    monkeypatch.setattr("qamoe_bench.data.memory.available_bytes", lambda: 1.0)
    assert "GB of free memory to read it, got 0.0 GB; read it once on a larger machine" in refusal(path)
