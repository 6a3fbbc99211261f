"""[CLS] and [SEP] are spared where the data show that the ends of text are these, and nowhere else."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Done, bench
from dataformats import dump
from numpy.typing import NDArray
from tinydata import make_dataset
from tinylanguage import save_language_model, sentences

from qamoe_bench import corrupt
from qamoe_bench.curation.encode import encode_text
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import as_dataset, open_dataset, read
from qamoe_bench.data.text.language_model import find_language_model
from qamoe_bench.data.text.tokens import with_token_ids
from qamoe_bench.protocol.parse import load_protocol, parse_protocol

Bench = Callable[..., Done]
Make = Callable[[NDArray[Any]], Mapping[str, Any]]
"""Turns the numbers of tokens of a split into its keys on text."""

SIZES = {"train": 40, "valid": 12, "test": 20}
LONGEST = 9
CLS, SEP = 101, 102


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The command, in this process."""
    return lambda *arguments: bench(arguments, capsys, monkeypatch)


def token_rows(counts: NDArray[Any], ends: tuple[int, int] = (CLS, SEP), *, front: bool = False) -> NDArray[Any]:
    """Ids, attention mask and segments [N, 3, L] of texts with so many tokens, the ends included."""
    random = np.random.default_rng(3)
    tokens = np.zeros((len(counts), 3, LONGEST), np.float32)
    for row, count in zip(tokens, counts, strict=True):
        place = slice(LONGEST - count, LONGEST) if front else slice(0, count)
        row[0, place] = [ends[0], *random.integers(1000, 2000, count - 2), ends[1]]
        row[1, place] = 1
    return tokens


def frames(counts: NDArray[Any], width: int = 6, *, front: bool = False, filled: bool = False) -> NDArray[Any]:
    """Features [N, L, D] that are nowhere zero, then padding; `filled` has states of padding instead of zeros."""
    x = np.random.default_rng(4).uniform(1, 2, (len(counts), LONGEST, width)).astype(np.float32)
    position = np.arange(LONGEST)
    if front:
        position = position[::-1]
    return x if filled else x * (position < counts[:, None])[..., None]


def write(tmp_path: Path, make: Make, file: str = "ends") -> Path:
    """A file in MMSA's layout; `make` turns the numbers of tokens of a split into its keys on text."""
    content = {}
    for name, size in SIZES.items():
        random = np.random.default_rng(size)
        counts = random.integers(3, LONGEST + 1, size)
        counts[0] = LONGEST
        labels = random.uniform(-3, 3, size).astype(np.float32)
        audio = random.uniform(1, 2, (size, 5, 3)).astype(np.float32)
        ids = [f"{name}{i}" for i in range(size)]
        content[name] = {"audio": audio, "regression_labels": labels, "id": ids, **make(counts)}
    return dump(tmp_path / f"{file}.pkl", content)


def load(tmp_path: Path, make: Make) -> Dataset:
    return as_dataset(read(write(tmp_path, make)))


def kept_at_rate_one(data: Dataset, protocol: str = "frame-missing", condition: str = "eta=1") -> list[int]:
    """How many text frames of each test sample remain where all that can be lost are lost."""
    text = corrupt(data, (protocol, condition)).features["text"]
    return (text != 0).any(-1).sum(1).tolist()


SPARED: Mapping[str, Make] = {
    "a frame per token": lambda n: {"text": frames(n), "text_bert": token_rows(n)},
    "text of another width": lambda n: {"text": frames(n, 768), "text_bert": token_rows(n)},
    "no padding in features": lambda n: {"text": frames(n, filled=True), "text_bert": token_rows(n)},
    "padding at the front": lambda n: {"text": frames(n, front=True), "text_bert": token_rows(n, front=True)},
    "ids of RoBERTa": lambda n: {"text": frames(n), "text_bert": token_rows(n, (0, 2))},
    "ids in the order [N, L, 3]": lambda n: {"text": frames(n), "text_bert": token_rows(n).transpose(0, 2, 1)},
    "stored lengths": lambda n: {"text": frames(n, filled=True), "text_lengths": n, "text_bert": token_rows(n)},
}


@pytest.mark.parametrize("make", SPARED.values(), ids=SPARED)
def test_both_ends_stay_where_token_ids_show_them(make: Make, tmp_path: Path) -> None:
    data = load(tmp_path, make)
    assert data.text_has_ends
    assert kept_at_rate_one(data) == [2] * SIZES["test"]


def without_ends(n: NDArray[Any]) -> NDArray[Any]:
    """Ids of words alone."""
    tokens = token_rows(n)
    tokens[:, 0] = np.where(tokens[:, 1], np.random.default_rng(5).integers(1000, 9000, tokens[:, 0].shape), 0)
    return tokens


LOST: Mapping[str, Make] = {
    "vectors of words": lambda n: {"text": frames(n - 2, 300), "text_bert": token_rows(n)},
    "one vector per text": lambda n: {"text": frames(n)[:, :1], "text_bert": token_rows(n)},
    "one vector without an axis of time": lambda n: {"text": frames(n)[:, 0], "text_bert": token_rows(n)},
    "no token ids": lambda n: {"text": frames(n)},
    "ids of words alone": lambda n: {"text": frames(n), "text_bert": without_ends(n)},
    "one id at both ends": lambda n: {"text": frames(n), "text_bert": token_rows(n, (7, 7))},
    "raw text only": lambda n: {"text": frames(n), "raw_text": ["good film"] * len(n)},
}


@pytest.mark.parametrize("make", LOST.values(), ids=LOST)
def test_all_frames_may_be_lost_where_nothing_shows_the_ends(make: Make, tmp_path: Path) -> None:
    data = load(tmp_path, make)
    assert not data.text_has_ends
    assert kept_at_rate_one(data) == [0] * SIZES["test"]


def test_a_few_texts_that_were_cut_do_not_change_the_decision(tmp_path: Path) -> None:
    def cut(n: NDArray[Any]) -> Mapping[str, Any]:
        tokens = token_rows(n)
        tokens[0, 0, LONGEST - 1] = 1500  # the longest text lost its [SEP]
        return {"text": frames(n), "text_bert": tokens}

    assert load(tmp_path, cut).text_has_ends


def test_without_text_there_is_nothing_to_spare(tmp_path: Path) -> None:
    assert not load(tmp_path, lambda n: {"text_bert": token_rows(n)}).text_has_ends
    assert not make_dataset(("audio", "vision")).text_has_ends


def test_embedded_data_lose_all_text_at_rate_one_under_both_protocols() -> None:
    data = open_dataset("synthetic")
    assert not any(kept_at_rate_one(data))
    head = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
    step = '[[corruption]]\nkind = "frame-missing"\nrate = 1.0\nkeep_ends = true\nshared_draws = true\n'
    shared = parse_protocol("shared", head + step)
    assert not corrupt(data, shared.conditions[0]).features["text"].any()


def test_a_protocol_may_say_that_the_ends_stay_in_any_data() -> None:
    data = open_dataset("synthetic")
    (step,) = load_protocol("frame-missing").conditions[-1].steps
    always = replace(step, options={**step.options, "keep_ends": "always"})
    condition = replace(load_protocol("frame-missing").conditions[-1], steps=(always,))
    text = corrupt(data, condition).features["text"]
    lengths = data.splits["test"].lengths["text"]
    assert torch.equal((text != 0).any(-1).sum(1), lengths.clamp(max=2))


def test_states_and_ids_of_a_language_model_have_ends(tmp_path: Path) -> None:
    language = find_language_model(str(save_language_model(tmp_path / "model")))
    plain = make_dataset()
    spoken = replace(plain, splits={n: replace(s, raw_text=tuple(sentences(len(s)))) for n, s in plain.splits.items()})
    assert not spoken.text_has_ends
    encoded = encode_text(spoken, language, tmp_path / "cache", accept_unknown=True)
    assert encoded.text_has_ends
    assert with_token_ids(spoken, language, accept_unknown=True).text_has_ends


def test_the_command_says_what_is_assumed(run: Bench, tmp_path: Path) -> None:
    with_ids = run("protocol", "show", "frame-missing", "--data", write(tmp_path, SPARED["a frame per token"]))
    assert "Ends of text: the token ids show that they are [CLS] and [SEP], which stay" in with_ids.out
    without = run("protocol", "show", "frame-missing", "--data", write(tmp_path, LOST["no token ids"], "none"))
    assert 'all frames may be lost; if they are, use a copy of the protocol with keep_ends = "always"' in " ".join(
        without.out.split()
    )
    assert "Ends of text" not in run("protocol", "show", "block-missing").out
