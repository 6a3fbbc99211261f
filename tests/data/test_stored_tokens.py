"""Token ids of a file are read in one shape or left out with a note, and do not pass for features of the text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Done, bench
from dataformats import dump
from numpy.typing import NDArray
from tinydata import mmsa_content
from tinylanguage import save_language_model

from qamoe_bench import load_model
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import as_dataset, read
from qamoe_bench.data.readers.sample_tuples import NO_TEXT_FEATURES
from qamoe_bench.data.stored_tokens import TOKENS_ONLY, stated_token_model
from qamoe_bench.errors import BenchError

Bench = Callable[..., Done]
Tokens = NDArray[Any]
LENGTH = 6


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


def rows(count: int, length: int = LENGTH) -> Tokens:
    """Ids of three words, attention mask and segments [N, 3, L]."""
    tokens = np.zeros((count, 3, length))
    tokens[:, 0, :3] = [2, 5, 3]
    tokens[:, 1, :3] = 1
    return tokens


def write(tmp_path: Path, make: Callable[[int], object], absent: tuple[str, ...] = (), words: bool = False) -> Path:
    """The tiny data set with token ids and, on request, words, and without some keys."""
    content: dict[str, dict[str, Any]] = mmsa_content()
    for part in content.values():
        count = len(part["id"])
        part["text_bert"] = make(count)
        if words:
            part["raw_text"] = ["good film"] * count
        for key in absent:
            del part[key]
    return dump(tmp_path / "tiny.pkl", content)


def load(path: Path) -> Dataset:
    return as_dataset(read(path))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32])
def test_both_orders_of_the_axes_are_the_same_tokens(kind: type, tmp_path: Path) -> None:
    straight = load(write(tmp_path, lambda n: rows(n).astype(kind)))
    turned = load(write(tmp_path, lambda n: rows(n).transpose(0, 2, 1).astype(kind).tolist()))
    assert straight.notes == ()
    assert turned.notes == ("text_bert: shape [N, L, 3] was turned to [N, 3, L].",)
    for name, split in straight.splits.items():
        other = turned.splits[name].tokens
        assert split.tokens is not None
        assert other is not None
        assert split.tokens.equal(other)
    assert straight.digest == turned.digest


UNUSABLE: dict[str, tuple[Callable[[int], object], str]] = {
    "three tokens": (lambda n: rows(n, 3), "the ambiguous shape (40, 3, 3)"),
    "ids alone": (lambda n: rows(n)[:, 0], "shape (40, 6)"),
    "two rows": (lambda n: rows(n)[:, :2], "shape (40, 2, 6)"),
    "fractions": (lambda n: rows(n) + 0.5, "ids that are no whole numbers from 0"),
    "negative": (lambda n: -rows(n), "ids that are no whole numbers from 0"),
    "not a number": (lambda n: rows(n) * np.nan, "ids that are no whole numbers from 0"),
    "huge": (lambda n: rows(n) * 1e12, "ids that are no whole numbers from 0"),
    "another order of rows": (lambda n: rows(n)[:, [1, 0, 2]], "an attention mask of other values than 0 and 1"),
    "words": (lambda n: [["a", "b"]] * n, "no numbers"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_tokens_that_cannot_be_used_are_left_out_with_a_note(kind: str, tmp_path: Path) -> None:
    make, reason = UNUSABLE[kind]
    data = load(write(tmp_path, make))
    (note,) = data.notes
    assert note.startswith(f"text_bert: left out, because train has {reason}; it is read as ids, attention mask")
    assert all(split.tokens is None for split in data.splits.values())
    assert data.spec.modalities == ("text", "audio", "vision")


def test_tokens_of_some_splits_are_left_out(tmp_path: Path) -> None:
    content: dict[str, dict[str, Any]] = mmsa_content()
    content["train"]["text_bert"] = rows(40)
    (note,) = load(dump(tmp_path / "tiny.pkl", content)).notes
    assert note.startswith("text_bert: left out, because valid has none;")


def test_tokens_of_other_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="key 'text_bert': expected 40 samples as there are labels, got 39"):
        load(write(tmp_path, lambda n: rows(n - 1)))


@pytest.mark.parametrize(
    ("make", "words", "note"),
    [
        (rows, True, TOKENS_ONLY),
        (rows, False, TOKENS_ONLY),
        (lambda n: rows(n).transpose(0, 2, 1), False, TOKENS_ONLY),
        (lambda n: None, True, NO_TEXT_FEATURES),
    ],
)
def test_text_without_features_is_noted_and_a_model_of_text_refused(
    make: Callable[[int], object], words: bool, note: str, tmp_path: Path, run: Bench
) -> None:
    path = write(tmp_path, make, ("text", "text_lengths"), words)
    data = load(path)
    assert note in data.notes
    assert data.spec.modalities == ("audio", "vision")
    options = ("run", "--protocol", "clean", "--data", path, "--seeds", 1, "--dry-run")
    line = run(*options, "--model", "text-only").refusal()
    got = "words" if words else "token ids"
    assert f"model 'text-only': expected features of text, got {got} without features in 'tiny'; " in line
    with pytest.raises(BenchError, match="model 'text-only': expected features of text"):
        load_model("text-only", data)
    done = run(*options, "--model", "late-fusion")
    assert done.code == 0, done.err
    assert f"note: data tiny: {note}" in done.err


def test_the_ways_out_that_the_refusal_names_work(tmp_path: Path, run: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, rows, ("text", "text_lengths"), words=True)
    language = save_language_model(tmp_path / "tiny-bert")
    options = ("run", "--protocol", "clean", "--model", "text-only", "--seeds", 1, "--dry-run", "--data")
    done = run(*options, path, "--fine-tune", language)
    assert done.code == 0, done.err
    assert TOKENS_ONLY not in done.err
    done = run("data", "encode", path, "--encoder", language, "--cache", "cache")
    assert done.code == 0, done.err
    assert "0.0 % of 144 tokens are unknown to tiny-bert" in done.err
    assert run(*options, "tiny-tiny-bert").code == 0


def test_ids_alone_need_consent_on_every_way(tmp_path: Path, run: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, rows)
    language = save_language_model(tmp_path / "tiny-bert")
    ways = (
        ("data", "encode", path, "--encoder", language, "--cache", "cache"),
        ("run", "--protocol", "clean", "--model", "mean", "--data", path, "--fine-tune", language, "--dry-run"),
    )
    for way in ways:
        assert "give --accept-unknown-tokens if the ids were made with the vocabulary" in run(*way).refusal()
        done = run(*way, "--accept-unknown-tokens")
        assert done.code == 0, done.err
        assert "it is not checked that the token ids are of tiny-bert" in done.err


@pytest.mark.parametrize("stated", ["tiny-bert", "models/Tiny_BERT/", "someone/tiny-bert"])
@pytest.mark.parametrize("converted", [False, True])
def test_ids_are_read_where_the_file_says_that_they_are_of_the_encoder(
    stated: str, converted: bool, tmp_path: Path, run: Bench
) -> None:
    language = save_language_model(tmp_path / "tiny-bert")
    content: dict[str, Any] = mmsa_content()
    for part in content.values():
        part["text_bert"] = rows(len(part["id"]))
    options = ("run", "--protocol", "clean", "--model", "mean", "--fine-tune", language, "--dry-run", "--data")
    for model, code in ((stated, 0), ("bert-base-chinese", 2)):
        config = {"text": {"model": "bert", "pretrained": model}, "audio": {}}
        path = dump(tmp_path / f"{code}.pkl", {**content, "config": config})
        if converted:
            assert run("data", "convert", path, tmp_path / f"folder{code}").code == 0
            path = tmp_path / f"folder{code}"
        done = run(*options, path)
        assert done.code == code, done.err
        said = {0: "the token ids are of tiny-bert, as the file says", 2: "the file says are of 'bert-base-chinese'; "}
        assert said[code] in done.err


@pytest.mark.parametrize(
    "config", [None, "bert", {"text": None}, {"text": {"pretrained": 3}}, {"text": {"model": "x"}}]
)
def test_a_configuration_without_a_model_says_nothing(config: object) -> None:
    assert stated_token_model({"train": {}, "config": config}) == ""


def test_data_without_any_text_are_no_mistake(tmp_path: Path, run: Bench) -> None:
    path = write(tmp_path, lambda n: None, ("text", "text_lengths", "text_bert"))
    assert load(path).notes == ()
    done = run("run", "--protocol", "clean", "--data", path, "--seeds", 1, "--dry-run", "--model", "text-only")
    assert done.code == 0, done.err
