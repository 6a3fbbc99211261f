"""Every format goes the whole way: looked at, converted, run as it is and converted, with the same predictions."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commandline import Done, bench
from dataformats import FOLDS, FORMATS, csd_video, read_dataset, write_csd, write_mag, write_mmsa, write_multibench
from tinydata import make_dataset

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.sdk.folds import MOSI
from qamoe_bench.store.store import Store
from qamoe_bench.vocabulary import MODALITIES

REAL = Path(__file__).parents[2].parent / "shared" / "data"
Bench = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


def predictions(run: Bench, data: Path, results: Path, *models: str) -> dict[str, pd.DataFrame]:
    """What models predict under a protocol after one epoch, by the name of the cell's file."""
    options = [word for model in models for word in ("--model", model)]
    protocol = ("--protocol", "random-missing", "--regime", "clean", "--seeds", "1", "--jobs", "1")
    done = run("run", *protocol, "--data", data, "--results", results, *options)
    assert done.code == 0, done.err
    return {c.cell.file_name: c.predictions for c in Store(results).cells()}


def assert_equal(first: dict[str, pd.DataFrame], second: dict[str, pd.DataFrame]) -> None:
    assert first.keys() == second.keys()  # the keys of cells are in these names
    for name, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[name], check_exact=True)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_looked_at_converted_and_run(name: str, run: Bench, tmp_path: Path) -> None:
    path = FORMATS[name](tmp_path)
    converted = tmp_path / "out" / "data"
    looked = run("data", "inspect", path, "--json")
    assert looked.code == 0, looked.err
    inspected = json.loads(looked.out)
    assert {f["split"] for f in inspected["features"]} == {*SPLITS}
    assert path.name in run("data", "inspect", path).out
    done = run("data", "convert", path, converted)
    assert done.code == 0, done.err
    assert done.out == ""
    assert f"wrote {converted}" in done.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["data"]
    again = json.loads(run("data", "inspect", converted, "--json").out)
    assert (again["digest"], again["name"], again["notes"]) == (
        inspected["digest"],
        inspected["name"],
        inspected["notes"],
    )
    models = ("mean", "late-fusion:train.epochs=1,train.selection_window=1")
    assert_equal(
        predictions(run, path, tmp_path / "as-it-is", *models),
        predictions(run, converted, tmp_path / "converted", *models),
    )


@pytest.mark.parametrize("name", ["mosi.pkl", "mosi_av400.pkl"])
def test_real_data_predict_the_same_when_converted(name: str, run: Bench, tmp_path: Path) -> None:
    if not (REAL / name).exists():
        pytest.skip(f"{name} is research data and not here")
    assert run("data", "convert", REAL / name, tmp_path / "data").code == 0
    model = "text-only:train.epochs=1,train.selection_window=1"
    assert_equal(
        predictions(run, REAL / name, tmp_path / "as-it-is", model),
        predictions(run, tmp_path / "data", tmp_path / "converted", model),
    )


# What is particular to a format.


def test_float16_is_kept_and_words_and_tokens_are_known_when_the_file_has_them(tmp_path: Path) -> None:
    split = read_dataset(write_mmsa(tmp_path)).splits["test"]
    assert split.features["text"].dtype == torch.float16
    assert split.raw_text[:2] == ("well", "well it")
    assert split.tokens is not None
    assert split.tokens.shape == (20, 3, 8)


def test_multibench_is_read_like_the_same_samples_padded_at_the_back(tmp_path: Path) -> None:
    data = read_dataset(write_multibench(tmp_path))
    expected = make_dataset()
    split = data.splits["test"]
    same = expected.splits["test"]
    assert split.ids[0] == "test0$_$0.5$_$2.5"
    assert split.lengths["text"][1] == 0
    torch.testing.assert_close(split.target, same.target)
    for m in MODALITIES:
        rows = [0, *range(2, 20)] if m == "text" else [*range(20)]
        assert torch.equal(split.features[m][rows], same.features[m][rows])
        assert torch.equal(split.lengths[m][rows], same.lengths[m][rows])
    assert "train: samples without text: 1. They are kept, as in MulT; MultiBench drops them." in data.notes


def test_mag_tuples_are_padded_and_their_words_kept(tmp_path: Path) -> None:
    data = read_dataset(write_mag(tmp_path))
    expected = make_dataset().splits["test"]
    split = data.splits["test"]
    assert split.modalities == ("audio", "vision")
    assert split.ids[3] == "test3[3]"
    torch.testing.assert_close(split.target, expected.target)
    assert torch.equal(split.lengths["audio"], expected.lengths["audio"])
    assert [len(said.split()) for said in split.raw_text] == split.lengths["audio"].tolist()


def test_sequences_are_aligned_to_words_by_averaging(tmp_path: Path) -> None:
    data = read_dataset(write_csd(tmp_path))
    assert {name: len(split) for name, split in data.splits.items()} == {n: 4 * len(v) for n, v in FOLDS.items()}
    split = data.splits["test"]
    row = 6
    video = csd_video("g")  # the third segment of the second video: words 6 to 8, of which 7 is a pause
    assert split.ids[row] == "g[2]"
    assert split.raw_text[row] == "well was"
    assert split.target[4 + 2] == video["Opinion Segment Labels"][0][2, 0]
    np.testing.assert_array_equal(split.features["text"][row], video["glove_vectors"][0][[6, 8]])
    for m, name in (("audio", "COVAREP"), ("vision", "FACET 4.2")):
        frames = video[name][0]
        expected = [frames[30:35].mean(0), frames[40:45].mean(0)]  # ten frames a second, half a second a word
        np.testing.assert_allclose(split.features[m][row], expected, rtol=1e-5, atol=1e-6)
    mean = np.where(np.isfinite(frames := video["COVAREP"][0][:5]), frames, 0).mean(0)
    np.testing.assert_allclose(split.features["audio"][4, 0], mean, rtol=1e-5, atol=1e-6)


def test_the_standard_folds_of_mosi_have_their_published_sizes() -> None:
    assert [len(MOSI[name]) for name in SPLITS] == [52, 10, 31]
    assert len({video for fold in MOSI.values() for video in fold}) == 93
    if (REAL / "mosi.pkl").exists():
        data = read_dataset(REAL / "mosi.pkl")
        for name, split in data.splits.items():
            assert {sample.partition("$_$")[0] for sample in split.ids} == {*MOSI[name]}
